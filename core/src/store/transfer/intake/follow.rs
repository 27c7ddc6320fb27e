//! What the database has of what another server has as well: to find what differs, and to see that nothing does.

use uuid::Uuid;

use super::Intake;
use crate::{
    lines::{LineKind, MarkLine, MessageLine},
    original::span::{self, SPAN_IDS, Span},
    store::{
        copy::table::{Message, Table as _},
        engine::{Connection, on},
        transfer::{PAGE_ROWS, snapshot},
    },
};

/// As `original::statements` has it of the other.
const SQLITE_SPANS: &str = "\
    select id / $1, count(*), sum((seen <> 0) * (id % $1 + 1)),
        sum((deleted <> 0) * (id % $1 + 1)), count(attachment_path),
        sum(case when deleted then 0 else (id % $1 + 1) * length(body) end),
        cast(max(updated) as text)
    from messages where id <= $2 and removed is null group by 1 order by 1";
const POSTGRES_SPANS: &str = "\
    select id / $1, count(*), sum(case when seen then id % $1 + 1 else 0 end)::bigint,
        sum(case when deleted then id % $1 + 1 else 0 end)::bigint, count(attachment_path),
        sum(case when deleted then 0 else (id % $1 + 1) * length(body) end)::bigint,
        max(updated)::text
    from messages where id <= $2 and removed is null group by 1 order by 1";
const THREADS: &str = "select count(*), coalesce(max(id), 0) from threads where id <= $1";
const THREAD_IDS: &str = "select id from threads where id > $1 order by id limit $2";
/// All that a user was sent up to there was seen, but for what was deleted.
macro_rules! seen_marks {
    ($of_threads:literal) => {
        concat!(
            "with unseen as (select thread_id, receiver, min(id) as id from messages
                where ",
            $of_threads,
            " and not seen and not deleted group by thread_id, receiver)
            select m.thread_id, u.id, max(m.id) from messages m
                join users u on u.key = m.receiver
                left join unseen n on n.thread_id = m.thread_id and n.receiver = m.receiver
            where m.",
            $of_threads,
            " and m.seen and (n.id is null or m.id < n.id)
            group by m.thread_id, u.id order by m.thread_id, u.id"
        )
    };
}
const SQLITE_MARKS: &str = seen_marks!("thread_id in (select value from json_each($1))");
const POSTGRES_MARKS: &str = seen_marks!("thread_id = any($1)");
const FILES_OF_TYPE: &str = "\
    select thread_id, id, attachment_path, coalesce(attachment_size, 0) from messages
    where (thread_id, id) > ($1, $2) and attachment_type = $3 and not deleted
        and attachment_path is not null
    order by thread_id, id limit $4";
const NEWEST: &str = "select coalesce(max(id), 0) from messages";
const KNOWN_USERS: &str = "select count(*) from users";

impl Intake {
    /// The greatest id of a message; 0 without one.
    pub(crate) async fn newest_message(&mut self) -> Result<i64, sqlx::Error> {
        on!(&mut self.connection, fetch_one, sqlx::query_scalar(NEWEST))
    }

    pub(crate) async fn count_users(&mut self) -> Result<u64, sqlx::Error> {
        let count: i64 = on!(&mut self.connection, fetch_one, sqlx::query_scalar(KNOWN_USERS))?;
        Ok(count.unsigned_abs())
    }

    /// How many threads there are up to an id, and the greatest of theirs.
    pub(crate) async fn count_threads(&mut self, until: i64) -> Result<(u64, i64), sqlx::Error> {
        let (count, newest): (i64, i64) =
            on!(&mut self.connection, fetch_one, sqlx::query_as(THREADS).bind(until))?;
        Ok((count.unsigned_abs(), newest))
    }

    /// What messages up to an id are, so many ids at a time.
    pub(crate) async fn spans(&mut self, until: i64) -> Result<Vec<Span>, sqlx::Error> {
        let rows: Vec<span::Raw> = match &mut self.connection {
            Connection::Sqlite(connection) => {
                let spans = sqlx::query_as(SQLITE_SPANS).bind(SPAN_IDS).bind(until);
                spans.fetch_all(connection).await?
            }
            Connection::Postgres(connection) => {
                let spans = sqlx::query_as(POSTGRES_SPANS).bind(SPAN_IDS).bind(until);
                spans.fetch_all(connection).await?
            }
        };
        let spans = rows.into_iter().map(Span::of);
        spans.collect::<Result<_, _>>().map_err(|reason| sqlx::Error::Decode(reason.into()))
    }

    /// Ids of threads after one, which becomes the last of them; none are the end.
    pub(crate) async fn thread_ids(&mut self, after: &mut i64) -> Result<Vec<i64>, sqlx::Error> {
        let limit = PAGE_ROWS as i64;
        let ids: Vec<i64> = on!(
            &mut self.connection,
            fetch_all,
            sqlx::query_scalar(THREAD_IDS).bind(*after).bind(limit)
        )?;
        if let Some(last) = ids.last() {
            *after = *last;
        }
        Ok(ids)
    }

    /// The marks that follow from what was seen of some threads. What is delivered is seen, as far as anybody knows.
    pub(crate) async fn seen_marks(
        &mut self,
        threads: Vec<i64>,
    ) -> Result<Vec<MarkLine>, sqlx::Error> {
        let rows: Vec<(i64, Uuid, i64)> = match &mut self.connection {
            Connection::Sqlite(connection) => {
                let threads = serde_json::to_string(&threads);
                let threads = threads.map_err(|error| sqlx::Error::Encode(error.into()))?;
                sqlx::query_as(SQLITE_MARKS).bind(threads).fetch_all(connection).await?
            }
            Connection::Postgres(connection) => {
                sqlx::query_as(POSTGRES_MARKS).bind(threads).fetch_all(connection).await?
            }
        };
        let line = |(thread_id, user_id, seen_id)| MarkLine {
            kind: LineKind::Mark,
            thread_id,
            user_id,
            seen_id,
            delivered_id: seen_id,
            shown_seen_id: None,
            shown_delivered_id: None,
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// Messages, paths and lengths of files of a type, after the key of one, which becomes that of the last; none are the end.
    pub(crate) async fn files_of_type(
        &mut self,
        content_type: &str,
        after: &mut (i64, i64),
    ) -> Result<Vec<(i64, String, i64)>, sqlx::Error> {
        let limit = PAGE_ROWS as i64;
        let (thread, id) = *after;
        let rows: Vec<(i64, i64, String, i64)> = on!(
            &mut self.connection,
            fetch_all,
            sqlx::query_as(FILES_OF_TYPE).bind(thread).bind(id).bind(content_type).bind(limit)
        )?;
        if let Some((thread, id, ..)) = rows.last() {
            *after = (*thread, *id);
        }
        Ok(rows.into_iter().map(|(_, id, path, bytes)| (id, path, bytes)).collect())
    }

    /// Messages as lines, after the key of one, which becomes that of the last; none are the end.
    pub(crate) async fn stored(
        &mut self,
        after: &mut (i64, i64),
    ) -> Result<Vec<MessageLine>, sqlx::Error> {
        let limit = PAGE_ROWS as i64;
        let rows = match &mut self.connection {
            Connection::Sqlite(connection) => {
                Message::read_sqlite(connection, after, limit).await?
            }
            Connection::Postgres(connection) => {
                Message::read_postgres(connection, after, limit).await?
            }
        };
        if let Some(last) = rows.last() {
            *after = (last.thread_id, last.id);
        }
        self.lines(rows).await
    }

    /// Those of a span.
    pub(crate) async fn stored_in(
        &mut self,
        after: i64,
        last: i64,
    ) -> Result<Vec<MessageLine>, sqlx::Error> {
        let rows: Vec<Message> = on!(
            &mut self.connection,
            fetch_all,
            sqlx::query_as(Message::READ_BETWEEN).bind(after).bind(last)
        )?;
        self.lines(rows).await
    }

    async fn lines(&mut self, rows: Vec<Message>) -> Result<Vec<MessageLine>, sqlx::Error> {
        let keys = rows.iter().flat_map(|row| [row.sender, row.receiver]).collect();
        let ids = snapshot::ids_of(&mut self.connection, keys).await?;
        let id = |key: i64| ids.get(&key).copied().ok_or(sqlx::Error::RowNotFound);
        let lines = rows.into_iter().map(|row| {
            let (sender, receiver) = (id(row.sender)?, id(row.receiver)?);
            snapshot::message_line(row, sender, receiver)
        });
        lines.collect()
    }
}
