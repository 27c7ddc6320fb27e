//! How far users got, as it is imported.

use std::collections::{BTreeMap, HashMap};

use super::{Intake, Taken};
use crate::{lines::MarkLine, store::engine::Connection};

impl Intake {
    /// Marks never go back: of two the greater counts.
    pub(crate) async fn marks(&mut self, lines: Vec<MarkLine>) -> Result<Taken, sqlx::Error> {
        let mut taken = Taken::default();
        let keys = self.keys_of(lines.iter().map(|line| line.user_id).collect()).await?;
        let threads = self.find_threads(lines.iter().map(|line| line.thread_id).collect()).await?;
        let threads: HashMap<_, _> =
            threads.into_iter().map(|thread| (thread.id, thread)).collect();
        let mut marks: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
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
            let last = thread.last_message.unwrap_or_default();
            // What is seen was delivered.
            let (seen, delivered) = (line.seen_id, line.delivered_id.max(line.seen_id));
            if seen < 0 || delivered > last {
                taken.refuse(
                    place,
                    format!("a mark beyond the thread, whose last message is {last}"),
                );
                continue;
            }
            let mark = marks.entry((user, line.thread_id)).or_default();
            *mark = (mark.0.max(seen), mark.1.max(delivered));
            taken.stored += 1;
        }
        self.put_marks(marks).await?;
        Ok(taken)
    }

    async fn put_marks(
        &mut self,
        marks: BTreeMap<(i64, i64), (i64, i64)>,
    ) -> Result<(), sqlx::Error> {
        const INSERT: &str =
            "insert into thread_states (user_key, thread_id, seen_id, delivered_id) ";
        const UPDATE: &str = " on conflict (user_key, thread_id) do update set
            seen_id = case when excluded.seen_id > thread_states.seen_id
                then excluded.seen_id else thread_states.seen_id end,
            delivered_id = case when excluded.delivered_id > thread_states.delivered_id
                then excluded.delivered_id else thread_states.delivered_id end";
        if marks.is_empty() {
            return Ok(());
        }
        macro_rules! insert {
            ($engine:ident, $connection:expr) => {{
                let mut query = sqlx::QueryBuilder::<sqlx::$engine>::new(INSERT);
                query.push_values(marks, |mut row, ((user, thread), (seen, delivered))| {
                    row.push_bind(user).push_bind(thread).push_bind(seen).push_bind(delivered);
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
