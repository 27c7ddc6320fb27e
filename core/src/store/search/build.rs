//! What was stored before the index was made, or without it, is indexed some at a time, each in a transaction of the writer: of what
//! was noted the oldest first, and beside it of what was there before the newest. What a core was at when it died is left for the
//! next, as it was.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};

use super::{
    entry::{self, Entry, MOST_AT_A_TIME},
    postgres, sqlite,
};
use crate::store::{
    Error, Store,
    engine::{Connection, Readers, read, within},
    message::{MessageRow, message_columns},
};

macro_rules! noted {
    ($lock:literal) => {
        concat!("select id from unindexed_messages order by id limit $1", $lock)
    };
}
const SQLITE_NOTED: &str = noted!("");
/// None that another core is at.
const POSTGRES_NOTED: &str = noted!(" for update skip locked");
const SQLITE_FORGET: &str =
    "delete from unindexed_messages where id in (select value from json_each($1))";
const POSTGRES_FORGET: &str = "delete from unindexed_messages where id = any($1)";
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
/// Whoever removes one of them waits, and removes its entry as well.
const POSTGRES_MESSAGES: &str = concat!(
    "select ",
    message_columns!(),
    " from messages m where m.id = any($1) order by m.id for key share of m"
);
/// Senders wait behind it.
const POSTGRES_LIMITS: &str =
    "select set_config('statement_timeout', '500', true), set_config('lock_timeout', '300', true)";
/// What is sorted into the index of PostgreSQL at a time takes no longer.
const SORTING_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(70);
const LEFT: &str = "\
    select (select count(*) from (select 1 from unindexed_messages limit 100000) noted),
        coalesce((select max(next_id) from search_build where next_id > 0), 0),
        coalesce((select max(id) from messages), 0)";

/// What a step has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Built {
    pub(crate) messages: usize,
    /// There was no more to take, unless another core is at it.
    pub(crate) is_last: bool,
}

/// What is not indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// Messages that were noted; no more of them are counted than a hundred thousand.
    pub(crate) noted: i64,
    /// The newest message of those that were there before, and not indexed yet; 0 if all are.
    pub(crate) next_id: i64,
    /// The newest of all.
    pub(crate) last_id: i64,
}

impl Left {
    pub(crate) fn is_nothing(&self) -> bool {
        self.noted == 0 && self.next_id == 0
    }
}

/// What a step looks at.
#[derive(Debug, Default)]
struct Candidates {
    /// The oldest first.
    noted: Vec<i64>,
    /// Of those that were there before; the newest first.
    older: Vec<i64>,
    /// Whether there may be more than these.
    has_more_noted: bool,
    has_more_older: bool,
}

/// What of it is indexed.
#[derive(Debug, Default)]
struct Taken {
    noted: usize,
    older: usize,
    entries: Vec<Entry>,
}

impl Candidates {
    fn new(noted: Vec<i64>, older: Option<Vec<i64>>, most: i64) -> Self {
        let is_full = |ids: &Vec<i64>| i64::try_from(ids.len()).is_ok_and(|count| count >= most);
        let has_more_noted = is_full(&noted);
        let has_more_older = older.as_ref().is_some_and(is_full);
        Self { noted, older: older.unwrap_or_default(), has_more_noted, has_more_older }
    }

    fn ids(&self) -> Vec<i64> {
        let ids: HashSet<_> = self.noted.iter().chain(&self.older).copied().collect();
        ids.into_iter().collect()
    }

    /// As far as there is room: of each kind at least one, and no more than half where there is another.
    fn take(&self, rows: &[MessageRow], room: usize) -> Taken {
        let rows: HashMap<i64, &MessageRow> = rows.iter().map(|row| (row.id, row)).collect();
        let share = if self.noted.is_empty() || self.older.is_empty() { room } else { room / 2 };
        let mut entries: Vec<Entry> = Vec::new();
        let noted = take_of(&self.noted, &rows, share, &mut entries);
        let older = take_of(&self.older, &rows, share, &mut entries);
        entries.sort_unstable_by_key(Entry::number);
        entries.dedup_by_key(|entry| entry.number());
        Taken { noted, older, entries }
    }

    /// From where the older ones go on; 0 where there are no more.
    fn behind(&self, taken: usize) -> i64 {
        let is_all = taken == self.older.len() && !self.has_more_older;
        let last = taken.checked_sub(1).and_then(|place| self.older.get(place));
        last.filter(|_| !is_all).map_or(0, |last| last.saturating_sub(1))
    }

    fn built(&self, taken: &Taken) -> Built {
        let has_noted = self.has_more_noted || taken.noted < self.noted.len();
        let has_older = self.has_more_older || taken.older < self.older.len();
        Built { messages: taken.noted + taken.older, is_last: !has_noted && !has_older }
    }
}

/// How many of them, and their entries, those that nobody may find among them; and of what is gone.
fn take_of(
    ids: &[i64],
    rows: &HashMap<i64, &MessageRow>,
    room: usize,
    entries: &mut Vec<Entry>,
) -> usize {
    let mut bytes = 0;
    for (place, id) in ids.iter().enumerate() {
        let of_it = rows.get(id).map_or_else(|| entry::of_none(*id), |row| entry::of_row(row));
        bytes += of_it.iter().map(Entry::bytes).sum::<usize>();
        if place > 0 && bytes > room {
            return place;
        }
        entries.extend(of_it);
    }
    ids.len()
}

/// Indexes at most so many of what is not indexed, in a transaction of the writer.
pub(in crate::store) async fn step(
    connection: &mut Connection,
    most: usize,
) -> Result<Built, sqlx::Error> {
    let most = i64::try_from(most).unwrap_or(1).max(1);
    match connection {
        Connection::Sqlite(connection) => on_sqlite(connection, most).await,
        Connection::Postgres(connection) => on_postgres(connection, most).await,
    }
}

async fn on_sqlite(connection: &mut SqliteConnection, most: i64) -> Result<Built, sqlx::Error> {
    let noted = sqlx::query_scalar(SQLITE_NOTED).bind(most).fetch_all(&mut *connection).await?;
    let next: Option<i64> =
        sqlx::query_scalar(SQLITE_NEXT).fetch_optional(&mut *connection).await?;
    let older = match next {
        Some(next) => {
            let older = sqlx::query_scalar(OLDER).bind(next).bind(most);
            Some(older.fetch_all(&mut *connection).await?)
        }
        None => None,
    };
    let candidates = Candidates::new(noted, older, most);
    let rows = sqlx::query_as(SQLITE_MESSAGES).bind(json(&candidates.ids())?);
    let rows: Vec<MessageRow> = rows.fetch_all(&mut *connection).await?;
    let taken = candidates.take(&rows, MOST_AT_A_TIME);
    if taken.noted > 0 {
        let forget = sqlx::query(SQLITE_FORGET).bind(json(&candidates.noted[..taken.noted])?);
        forget.execute(&mut *connection).await?;
    }
    if next.is_some() {
        let next = candidates.behind(taken.older);
        sqlx::query(GO_ON).bind(next).execute(&mut *connection).await?;
    }
    sqlite::store(connection, &[], &taken.entries).await?;
    Ok(candidates.built(&taken))
}

async fn on_postgres(connection: &mut PgConnection, most: i64) -> Result<Built, sqlx::Error> {
    sqlx::query(POSTGRES_LIMITS).execute(&mut *connection).await?;
    let noted = sqlx::query_scalar(POSTGRES_NOTED).bind(most).fetch_all(&mut *connection).await?;
    let next: Option<i64> =
        sqlx::query_scalar(POSTGRES_NEXT).fetch_optional(&mut *connection).await?;
    let older = match next {
        Some(next) => {
            let older = sqlx::query_scalar(OLDER).bind(next).bind(most);
            Some(older.fetch_all(&mut *connection).await?)
        }
        None => None,
    };
    let candidates = Candidates::new(noted, older, most);
    let rows = sqlx::query_as(POSTGRES_MESSAGES).bind(candidates.ids());
    let rows: Vec<MessageRow> = rows.fetch_all(&mut *connection).await?;
    let mut taken = candidates.take(&rows, MOST_AT_A_TIME);
    // An entry of one that was removed is gone with it.
    let there: HashSet<i64> = rows.iter().map(|row| row.id).collect();
    taken.entries.retain(|entry| there.contains(&entry::message_of(entry.number())));
    if taken.noted > 0 {
        let forget = sqlx::query(POSTGRES_FORGET).bind(&candidates.noted[..taken.noted]);
        forget.execute(&mut *connection).await?;
    }
    if next.is_some() {
        let next = candidates.behind(taken.older);
        sqlx::query(GO_ON).bind(next).execute(&mut *connection).await?;
    }
    postgres::store(connection, &taken.entries).await?;
    Ok(candidates.built(&taken))
}

fn json<T: Serialize + ?Sized>(ids: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(ids).map_err(|error| sqlx::Error::Encode(error.into()))
}

impl Store {
    /// What is left to index.
    pub(crate) async fn unindexed_left(&self) -> Result<Left, Error> {
        let (noted, next_id, last_id) = read!(self, fetch_one, sqlx::query_as(LEFT))?;
        Ok(Left { noted, next_id, last_id })
    }

    /// Sorts into the index of PostgreSQL what was put down beside it, where it is ours. Nobody waits for that.
    pub(crate) async fn sort_index(&self) -> Result<(), Error> {
        let Readers::Postgres(pool) = self.readers()? else { return Ok(()) };
        let sorting = async {
            let mut loan = pool.take().await?;
            let connection = loan.connection()?;
            let sorted = async {
                sqlx::raw_sql(postgres::BEGIN_SORTING).execute(&mut *connection).await?;
                let sort = sqlx::query(postgres::SORT_IN);
                sort.persistent(false).fetch_all(&mut *connection).await?;
                sqlx::raw_sql("commit").execute(&mut *connection).await.map(drop)
            };
            let sorted = sorted.await;
            loan.give_back(&sorted);
            sorted
        };
        Ok(within(SORTING_TIMEOUT, sorting).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_goes_on_where_it_ended() {
        let full: Vec<i64> = (101..=200).rev().collect();
        let candidates = |older: &[i64]| Candidates::new(Vec::new(), Some(older.to_vec()), 100);
        assert_eq!(candidates(&full).behind(100), 100);
        assert_eq!(candidates(&full).behind(90), 110);
        assert_eq!(candidates(&full[..99]).behind(99), 0);
        assert_eq!(candidates(&full[..99]).behind(98), 102);
        assert_eq!(candidates(&[]).behind(0), 0);
    }

    #[test]
    fn a_step_is_the_last_where_all_was_taken_and_no_more_is_there() {
        let (noted, older) = (vec![7, 8], Some(vec![6, 5]));
        let candidates = Candidates::new(noted.clone(), older.clone(), 3);
        let is_last = |candidates: &Candidates, noted, older| {
            candidates.built(&Taken { noted, older, entries: Vec::new() }).is_last
        };
        assert!(is_last(&candidates, 2, 2));
        assert!(!is_last(&candidates, 1, 2) && !is_last(&candidates, 2, 1));
        assert!(!is_last(&Candidates::new(noted, None, 2), 2, 0));
        assert!(!is_last(&Candidates::new(Vec::new(), older, 2), 0, 2));
        assert!(is_last(&Candidates::new(Vec::new(), None, 2), 0, 0));
    }

    #[test]
    fn each_kind_is_taken_from_though_there_is_no_room() {
        let candidates = Candidates::new(vec![7, 8], Some(vec![6, 5]), 9);
        // Of messages that are gone there is no text: all fit.
        let taken = candidates.take(&[], 0);
        assert_eq!((taken.noted, taken.older, taken.entries.len()), (2, 2, 8));
        assert!(taken.entries.is_sorted_by_key(Entry::number));
    }
}
