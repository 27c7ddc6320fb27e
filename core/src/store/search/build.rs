//! What was stored before the index was made, or without it, is indexed some at a time, each in a transaction of the writer: the
//! newest first. What a core was at when it died is left for the next, as it was.

use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};

use super::{
    entry::{self, Budget, Entry},
    postgres, sqlite,
};
use crate::store::{
    Error, Store,
    engine::{Connection, read},
    message::{MessageRow, message_columns},
};

/// Few, since senders wait behind them.
const AT_A_TIME: i64 = 100;

const SQLITE_TAKE_UNINDEXED: &str = "\
    delete from unindexed_messages
    where id in (select id from unindexed_messages order by id desc limit $1) returning id";
/// None that another core is at.
const POSTGRES_TAKE_UNINDEXED: &str = "\
    delete from unindexed_messages where id = any (array(
        select id from unindexed_messages order by id desc limit $1 for update skip locked))
    returning id";
const SQLITE_NEXT: &str = "select next_id from search_build where next_id > 0";
const POSTGRES_NEXT: &str =
    "select next_id from search_build where next_id > 0 for update skip locked";
const OLDER: &str = "select id from messages where id <= $1 order by id desc limit $2";
const GO_ON: &str = "update search_build set next_id = $1";
const SQLITE_MESSAGES: &str = concat!(
    "select ",
    message_columns!(),
    " from messages m where m.id in (select value from json_each($1)) order by m.id"
);
const POSTGRES_MESSAGES: &str =
    concat!("select ", message_columns!(), " from messages m where m.id = any($1) order by m.id");
const HAS_UNINDEXED: &str = "\
    select exists (select 1 from unindexed_messages)
        or exists (select 1 from search_build where next_id > 0)";

/// What a step has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Built {
    pub(crate) messages: usize,
    /// There was no more to take.
    pub(crate) is_last: bool,
}

/// Indexes some of what is not indexed, in a transaction of the writer.
pub(in crate::store) async fn step(connection: &mut Connection) -> Result<Built, sqlx::Error> {
    match connection {
        Connection::Sqlite(connection) => on_sqlite(connection).await,
        Connection::Postgres(connection) => on_postgres(connection).await,
    }
}

async fn on_sqlite(connection: &mut SqliteConnection) -> Result<Built, sqlx::Error> {
    let take = sqlx::query_scalar(SQLITE_TAKE_UNINDEXED).bind(AT_A_TIME);
    let mut taken: Vec<i64> = take.fetch_all(&mut *connection).await?;
    let changed = taken.len();
    let next: Option<i64> =
        sqlx::query_scalar(SQLITE_NEXT).fetch_optional(&mut *connection).await?;
    let has_older = match next.filter(|_| room(changed) > 0) {
        Some(next) => {
            let older = sqlx::query_scalar(OLDER).bind(next).bind(room(changed));
            let older: Vec<i64> = older.fetch_all(&mut *connection).await?;
            let next = behind(&older, changed);
            sqlx::query(GO_ON).bind(next).execute(&mut *connection).await?;
            taken.extend(older);
            next > 0
        }
        None => next.is_some(),
    };
    let ids = json(&taken)?;
    let rows: Vec<MessageRow> =
        sqlx::query_as(SQLITE_MESSAGES).bind(ids).fetch_all(&mut *connection).await?;
    // Also those that were removed meanwhile.
    let mut entries = entries(&rows, &taken);
    let later = Budget::default().cut(&mut entries);
    sqlite::note(connection, &later).await?;
    sqlite::store(connection, &[], &entries).await?;
    let is_last = !has_older && room(changed) > 0 && later.is_empty();
    Ok(Built { messages: rows.len().saturating_sub(later.len()), is_last })
}

async fn on_postgres(connection: &mut PgConnection) -> Result<Built, sqlx::Error> {
    let take = sqlx::query_scalar(POSTGRES_TAKE_UNINDEXED).bind(AT_A_TIME);
    let mut taken: Vec<i64> = take.fetch_all(&mut *connection).await?;
    let changed = taken.len();
    let next: Option<i64> =
        sqlx::query_scalar(POSTGRES_NEXT).fetch_optional(&mut *connection).await?;
    let has_older = match next.filter(|_| room(changed) > 0) {
        Some(next) => {
            let older = sqlx::query_scalar(OLDER).bind(next).bind(room(changed));
            let older: Vec<i64> = older.fetch_all(&mut *connection).await?;
            let next = behind(&older, changed);
            sqlx::query(GO_ON).bind(next).execute(&mut *connection).await?;
            taken.extend(older);
            next > 0
        }
        None => next.is_some(),
    };
    let rows: Vec<MessageRow> =
        sqlx::query_as(POSTGRES_MESSAGES).bind(&taken).fetch_all(&mut *connection).await?;
    // An entry of one that was removed meanwhile is gone with it.
    let mut entries = entries(&rows, &[]);
    let later = Budget::default().cut(&mut entries);
    postgres::note(connection, &later).await?;
    postgres::store(connection, &entries).await?;
    let is_last = !has_older && room(changed) > 0 && later.is_empty();
    Ok(Built { messages: rows.len().saturating_sub(later.len()), is_last })
}

/// For how many older ones there is room.
fn room(changed: usize) -> i64 {
    AT_A_TIME - i64::try_from(changed).unwrap_or(AT_A_TIME)
}

/// From where the older ones go on; 0 where there are no more.
fn behind(older: &[i64], changed: usize) -> i64 {
    let is_all = i64::try_from(older.len()).is_ok_and(|count| count < room(changed));
    older.last().filter(|_| !is_all).map_or(0, |last| last.saturating_sub(1))
}

/// In the order of their numbers, those that nobody may find among them; and of what is gone.
fn entries(rows: &[MessageRow], taken: &[i64]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = rows.iter().flat_map(entry::of_row).collect();
    let gone = taken.iter().filter(|id| !rows.iter().any(|row| row.id == **id));
    entries.extend(gone.flat_map(|id| entry::of_none(*id)));
    entries
}

fn json<T: Serialize>(ids: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(ids).map_err(|error| sqlx::Error::Encode(error.into()))
}

impl Store {
    /// Whether something is left to index.
    pub(crate) async fn has_unindexed(&self) -> Result<bool, Error> {
        read!(self, fetch_one, sqlx::query_scalar(HAS_UNINDEXED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_ones_are_taken_as_far_as_there_is_room() {
        let full: Vec<i64> = (101..=200).rev().collect();
        assert_eq!(behind(&full, 0), 100);
        assert_eq!(behind(&full[..99], 0), 0);
        assert_eq!(behind(&full[..90], 10), 110);
        assert_eq!(behind(&[], 10), 0);
        assert_eq!(behind(&[1], 99), 0);
        assert_eq!((room(0), room(100)), (100, 0));
    }
}
