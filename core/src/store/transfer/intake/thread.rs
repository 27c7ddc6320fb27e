//! Conversations that are imported.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Intake, Taken, WANTED, check_new_id, check_time};
use crate::{
    command::MAX_ID,
    lines::ThreadLine,
    store::{copy::table::Thread, engine::Connection, transfer::select_in},
};

type Pair = (i64, i64);

impl Intake {
    /// Two users have one conversation, and an id names one.
    pub(crate) async fn threads(&mut self, lines: Vec<ThreadLine>) -> Result<Taken, sqlx::Error> {
        let mut taken = Taken::default();
        let users = lines.iter().flat_map(|line| [line.user_one, line.user_two]).collect();
        let keys = self.keys_of(users).await?;
        let ids = lines.iter().map(|line| line.id).collect();
        let mut by_id: HashMap<i64, Pair> = HashMap::new();
        for thread in self.find_threads(ids).await? {
            by_id.insert(thread.id, (thread.low_key, thread.high_key));
        }
        let pairs = lines.iter().filter_map(|line| {
            let (one, two) = (*keys.get(&line.user_one)?, *keys.get(&line.user_two)?);
            Some((one.min(two), one.max(two)))
        });
        let mut by_pair = self.find_pairs(pairs.collect()).await?;
        let mut new = Vec::new();
        for (place, line) in lines.iter().enumerate() {
            let (Some(one), Some(two)) = (keys.get(&line.user_one), keys.get(&line.user_two))
            else {
                taken.refuse(place, "no such user: the lines of users come first");
                continue;
            };
            let (one, two) = (*one, *two);
            if one == two || !(1..=MAX_ID).contains(&line.id) {
                taken.refuse(place, "two users and an id from 1 to 2^53 - 1 make a thread");
                continue;
            }
            let pair = (one.min(two), one.max(two));
            match (by_id.get(&line.id), by_pair.get(&pair)) {
                (Some(stored), _) if *stored == pair => taken.known += 1,
                (Some(_), _) => taken.refuse(place, "another thread has this id"),
                (None, Some(id)) => {
                    taken.refuse(place, format!("the two have a thread already, {id}"));
                }
                (None, None) => {
                    let checked = check_new_id(line.id)
                        .and_then(|()| check_time("created", Some(line.created)))
                        .and_then(|()| {
                            let begun = line.begun_for_two.as_ref().map(|begun| begun.created);
                            check_time("begun_for_two", begun)
                        });
                    if let Err(reason) = checked {
                        taken.refuse(place, reason);
                        continue;
                    }
                    let late = match &line.begun_for_two {
                        None => None,
                        Some(begun) => match keys.get(&begun.user_one).copied() {
                            Some(key) if [one, two].contains(&key) => Some((key, begun.created.0)),
                            Some(_) | None => {
                                taken.refuse(
                                    place,
                                    "user_one of begun_for_two is neither of the two",
                                );
                                continue;
                            }
                        },
                    };
                    by_id.insert(line.id, pair);
                    by_pair.insert(pair, line.id);
                    new.push(empty(line, one, pair, late));
                    taken.stored += 1;
                }
            }
        }
        self.write(new).await?;
        Ok(taken)
    }

    /// With their newest messages as they are, whoever noted them.
    pub(super) async fn find_threads(
        &mut self,
        ids: BTreeSet<i64>,
    ) -> Result<Vec<Thread>, sqlx::Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut threads: Vec<Thread> = select_in!(
            &mut self.connection,
            "select id, low_key, high_key, user_one, created, last_activity, last_message,
                last_message_at, low_sent, low_shown, high_sent, high_shown, low_swallowed,
                high_swallowed, late_created, late_one
            from threads where id",
            ids
        )?;
        // Those in which nothing was written, or by cores of before.
        let mut unnoted: BTreeMap<_, _> = threads
            .iter_mut()
            .filter(|thread| {
                thread.last_message_at != Some(thread.last_activity)
                    || ![thread.low_sent, thread.high_sent].contains(&thread.last_message)
            })
            .map(|thread| (thread.id, thread))
            .collect();
        if unnoted.is_empty() {
            return Ok(threads);
        }
        let ids: Vec<_> = unnoted.keys().copied().collect();
        let greatest: Vec<(i64, i64)> = select_in!(
            &mut self.connection,
            "select t.id, coalesce((select max(m.id) from messages m where m.thread_id = t.id
                and (m.receiver_seq is not null or m.hidden_for_receiver is null)), 0)
            from threads t where t.id",
            ids
        )?;
        let greatest: HashMap<_, _> = greatest.into_iter().collect();
        for (id, thread) in &mut unnoted {
            thread.last_message = Some(greatest.get(id).copied().unwrap_or_default());
            (thread.low_sent, thread.low_shown) = (None, None);
            (thread.high_sent, thread.high_shown) = (None, None);
        }
        Ok(threads)
    }

    async fn find_pairs(
        &mut self,
        pairs: BTreeSet<Pair>,
    ) -> Result<HashMap<Pair, i64>, sqlx::Error> {
        const FIND: &str = ") select t.low_key, t.high_key, t.id
            from wanted w cross join threads t where t.low_key = w.one and t.high_key = w.two";
        if pairs.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(i64, i64, i64)> = match &mut self.connection {
            Connection::Sqlite(connection) => {
                let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(WANTED);
                query.push_values(pairs, |mut pair, (low, high)| {
                    pair.push_bind(low).push_bind(high);
                });
                query.push(FIND).build_query_as().fetch_all(connection).await?
            }
            Connection::Postgres(connection) => {
                let mut query = sqlx::QueryBuilder::<sqlx::Postgres>::new(WANTED);
                query.push_values(pairs, |mut pair, (low, high)| {
                    pair.push_bind(low).push_bind(high);
                });
                query.push(FIND).build_query_as().fetch_all(connection).await?
            }
        };
        Ok(rows.into_iter().map(|(low, high, id)| ((low, high), id)).collect())
    }

    /// Notes what their newest messages are now.
    pub(super) async fn note_ends(
        &mut self,
        threads: BTreeMap<i64, Thread>,
    ) -> Result<(), sqlx::Error> {
        const INSERT: &str = "\
            insert into threads (id, low_key, high_key, user_one, created, last_activity,
                last_message, last_message_at, low_sent, low_shown, high_sent, high_shown,
                low_swallowed, high_swallowed, late_created, late_one) ";
        const UPDATE: &str = "\
            on conflict (id) do update set last_activity = excluded.last_activity,
                last_message = excluded.last_message, last_message_at = excluded.last_message_at,
                low_sent = excluded.low_sent, low_shown = excluded.low_shown,
                high_sent = excluded.high_sent, high_shown = excluded.high_shown,
                low_swallowed = excluded.low_swallowed, high_swallowed = excluded.high_swallowed";
        if threads.is_empty() {
            return Ok(());
        }
        macro_rules! insert {
            ($engine:ident, $connection:expr) => {{
                let mut query = sqlx::QueryBuilder::<sqlx::$engine>::new(INSERT);
                query.push_values(threads.into_values(), |mut row, thread| {
                    row.push_bind(thread.id)
                        .push_bind(thread.low_key)
                        .push_bind(thread.high_key)
                        .push_bind(thread.user_one)
                        .push_bind(thread.created)
                        .push_bind(thread.last_activity)
                        .push_bind(thread.last_message)
                        .push_bind(thread.last_message_at)
                        .push_bind(thread.low_sent)
                        .push_bind(thread.low_shown)
                        .push_bind(thread.high_sent)
                        .push_bind(thread.high_shown)
                        .push_bind(thread.low_swallowed)
                        .push_bind(thread.high_swallowed)
                        .push_bind(thread.late_created)
                        .push_bind(thread.late_one);
                });
                query.push(" ").push(UPDATE).build().execute($connection).await.map(drop)
            }};
        }
        match &mut self.connection {
            Connection::Sqlite(connection) => insert!(Sqlite, connection),
            Connection::Postgres(connection) => insert!(Postgres, connection),
        }
    }
}

/// Without messages.
fn empty(
    line: &ThreadLine,
    user_one: i64,
    (low_key, high_key): Pair,
    late: Option<(i64, i64)>,
) -> Thread {
    let (created, none) = (line.created.0, Some(0));
    Thread {
        id: line.id,
        low_key,
        high_key,
        user_one,
        created,
        last_activity: created,
        last_message: none,
        last_message_at: Some(created),
        low_sent: none,
        low_shown: none,
        high_sent: none,
        high_shown: none,
        low_swallowed: None,
        high_swallowed: None,
        late_created: late.map(|(_, created)| created),
        late_one: late.map(|(one, _)| one),
    }
}
