//! How far users got, as it is imported.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Intake, Taken, WANTED};
use crate::{
    lines::MarkLine,
    store::{engine::Connection, transfer::select_in},
};

/// By the key of a user and the id of a thread.
type Marks = BTreeMap<(i64, i64), Mark>;

#[derive(Debug, Default, Clone, Copy)]
struct Mark {
    /// What was seen, and what was delivered.
    reached: (i64, i64),
    /// What the other one is shown of both, if that is not all.
    shown: Option<(i64, i64)>,
}

/// User, conversation, how far the user is, and how far it is shown.
type MarkRow = (i64, i64, i64, i64, Option<i64>, Option<i64>);

impl Intake {
    /// Whether some go further than what is there.
    pub(crate) async fn has_newer_marks(
        &mut self,
        lines: &[MarkLine],
    ) -> Result<bool, sqlx::Error> {
        let keys = self.keys_of(lines.iter().map(|line| line.user_id).collect()).await?;
        let of = |line: &MarkLine| Some((*keys.get(&line.user_id)?, line.thread_id));
        let stored = self.find_marks(lines.iter().filter_map(of).collect()).await?;
        Ok(lines.iter().any(|line| {
            let stored = of(line).and_then(|key| stored.get(&key));
            stored.is_none_or(|stored| is_newer(reached(line), stored.reached))
        }))
    }

    /// Marks never go back: of two the greater counts.
    pub(crate) async fn marks(&mut self, lines: Vec<MarkLine>) -> Result<Taken, sqlx::Error> {
        let mut taken = Taken::default();
        let keys = self.keys_of(lines.iter().map(|line| line.user_id).collect()).await?;
        let threads = self.find_threads(lines.iter().map(|line| line.thread_id).collect()).await?;
        let threads: HashMap<_, _> =
            threads.into_iter().map(|thread| (thread.id, thread)).collect();
        let of = |line: &MarkLine| Some((*keys.get(&line.user_id)?, line.thread_id));
        let stored = self.find_marks(lines.iter().filter_map(of).collect()).await?;
        let apart = self.apart(threads.keys().copied().collect()).await?;
        let mut marks = Marks::new();
        for (place, line) in lines.iter().enumerate() {
            let Some(user) = keys.get(&line.user_id).copied() else {
                taken.refuse(place, "no such user: the lines of users come first");
                continue;
            };
            let thread = threads.get(&line.thread_id);
            let Some(thread) =
                thread.filter(|thread| [thread.low_key, thread.high_key].contains(&user))
            else {
                taken.refuse(place, "the user has no such thread");
                continue;
            };
            let last = thread.newest();
            let (seen, delivered) = reached(line);
            if seen < 0 || delivered > last {
                taken.refuse(
                    place,
                    format!("a mark beyond the thread, whose last message is {last}"),
                );
                continue;
            }
            let key = (user, line.thread_id);
            if stored.get(&key).is_some_and(|stored| !is_newer((seen, delivered), stored.reached)) {
                taken.known += 1;
                continue;
            }
            let shown = match (line.shown_seen_id, line.shown_delivered_id) {
                (Some(seen), Some(delivered)) => Some((seen, delivered)),
                (None, None) => None,
                (Some(_), None) | (None, Some(_)) => {
                    taken.refuse(place, "shown_seen_id and shown_delivered_id are there together");
                    continue;
                }
            };
            if let Some((shown_seen, shown_delivered)) = shown
                && !((0..=seen.min(shown_delivered)).contains(&shown_seen)
                    && shown_delivered <= delivered)
            {
                taken.refuse(
                    place,
                    "shown_seen_id goes from 0 to shown_delivered_id, and neither beyond the mark",
                );
                continue;
            }
            // What the other one goes on to see is not known by who exported this: under a block, that is what they saw.
            let before = stored.get(&key).copied().unwrap_or_default();
            let kept = before.shown.or(apart.contains(&thread.id).then_some(before.reached));
            let mark = marks.entry(key).or_insert(Mark { shown: kept, ..Mark::default() });
            mark.reached = (mark.reached.0.max(seen), mark.reached.1.max(delivered));
            mark.shown = shown.or(mark.shown);
            taken.stored += 1;
        }
        self.put_marks(marks).await?;
        Ok(taken)
    }

    /// Those of some threads whose users are apart by a block.
    async fn apart(&mut self, threads: BTreeSet<i64>) -> Result<BTreeSet<i64>, sqlx::Error> {
        if threads.is_empty() {
            return Ok(BTreeSet::new());
        }
        let ids: Vec<(i64,)> = select_in!(
            &mut self.connection,
            "select id from threads where (exists (select 1 from blocks
                    where blocker = low_key and blocked = high_key)
                or exists (select 1 from blocks where blocker = high_key and blocked = low_key))
            and id",
            threads
        )?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn find_marks(&mut self, keys: BTreeSet<(i64, i64)>) -> Result<Marks, sqlx::Error> {
        const FIND: &str = "\
            ) select s.user_key, s.thread_id, s.seen_id, s.delivered_id, s.shown_seen_id,
                s.shown_delivered_id
            from wanted w cross join thread_states s
            where s.user_key = w.one and s.thread_id = w.two";
        if keys.is_empty() {
            return Ok(Marks::new());
        }
        macro_rules! find {
            ($engine:ident, $connection:expr) => {{
                let mut query = sqlx::QueryBuilder::<sqlx::$engine>::new(WANTED);
                query.push_values(keys, |mut row, (user, thread)| {
                    row.push_bind(user).push_bind(thread);
                });
                query.push(FIND).build_query_as().fetch_all($connection).await?
            }};
        }
        let rows: Vec<MarkRow> = match &mut self.connection {
            Connection::Sqlite(connection) => find!(Sqlite, connection),
            Connection::Postgres(connection) => find!(Postgres, connection),
        };
        let mark = |(user, thread, seen, delivered, shown_seen, shown_delivered)| {
            let shown = Option::zip(shown_seen, shown_delivered);
            ((user, thread), Mark { reached: (seen, delivered), shown })
        };
        Ok(rows.into_iter().map(mark).collect())
    }

    async fn put_marks(&mut self, marks: Marks) -> Result<(), sqlx::Error> {
        const INSERT: &str = "insert into thread_states (user_key, thread_id, seen_id, delivered_id, shown_seen_id, shown_delivered_id) ";
        const UPDATE: &str = " on conflict (user_key, thread_id) do update set
            seen_id = case when excluded.seen_id > thread_states.seen_id
                then excluded.seen_id else thread_states.seen_id end,
            delivered_id = case when excluded.delivered_id > thread_states.delivered_id
                then excluded.delivered_id else thread_states.delivered_id end,
            shown_seen_id = excluded.shown_seen_id, shown_delivered_id = excluded.shown_delivered_id";
        if marks.is_empty() {
            return Ok(());
        }
        macro_rules! insert {
            ($engine:ident, $connection:expr) => {{
                let mut query = sqlx::QueryBuilder::<sqlx::$engine>::new(INSERT);
                query.push_values(marks, |mut row, ((user, thread), Mark { reached, shown })| {
                    row.push_bind(user).push_bind(thread).push_bind(reached.0).push_bind(reached.1);
                    row.push_bind(shown.map(|shown| shown.0));
                    row.push_bind(shown.map(|shown| shown.1));
                });
                query.push(UPDATE).build().execute($connection).await.map(drop)
            }};
        }
        match &mut self.connection {
            Connection::Sqlite(connection) => insert!(Sqlite, connection),
            Connection::Postgres(connection) => insert!(Postgres, connection),
        }
    }
}

/// What is seen was delivered.
fn reached(line: &MarkLine) -> (i64, i64) {
    (line.seen_id, line.delivered_id.max(line.seen_id))
}

fn is_newer((seen, delivered): (i64, i64), stored: (i64, i64)) -> bool {
    seen > stored.0 || delivered > stored.1
}
