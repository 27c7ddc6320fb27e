//! Messages with all words of a query: what the index finds, and of it what is so.

use sqlx::SqlitePool;

use super::{entry, words::Words};
use crate::store::{
    Error, Store,
    engine::{READ_TIMEOUT, Readers, read, within},
    error::has_code,
    message::{Participant, ParticipantsRow, with_participants},
    user::UserRow,
};

/// What the index is asked for at a time, and read of the table, at most and at least.
const MOST_AT_A_TIME: usize = 256;
const LEAST_AT_A_TIME: usize = 32;
/// What is read for a page: where more of what the index finds is not so, the page is short.
const MOST_FOR_A_PAGE: usize = 1_024;

const SQLITE_ENTRIES: &str = "\
    select rowid from message_words where message_words match $1 and rowid < $2
    order by rowid desc limit cast($3 as bigint)";
const POSTGRES_ENTRIES: &str = "select search_entries($1, $2, $3, $4, $5)";
const SQLITE_MESSAGES: &str = with_participants!("m.id in (select value from json_each($1))");
const POSTGRES_MESSAGES: &str = with_participants!("m.id = any($1)");

/// Of those that are not indexed, the newest: where they are few, none is missed. Elsewhere others index them meanwhile.
macro_rules! unindexed {
    ($join:literal) => {
        concat!(
            "select m.id from (select id from unindexed_messages order by id desc limit 512) u ",
            $join,
            " messages m on m.id = u.id where (m.sender = $1 or m.receiver = $1) and m.id < $2
            order by m.id desc"
        )
    };
}
const UNINDEXED: &str = unindexed!("cross join");
const POSTGRES_UNINDEXED: &str = unindexed!("join");

/// What is searched for.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) user: &'a UserRow,
    /// Of one thread alone.
    pub(crate) thread: Option<i64>,
    pub(crate) words: Words,
}

/// A page of what was found, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) messages: Vec<(Participant, ParticipantsRow)>,
    /// The message behind which to go on, where there may be more.
    pub(crate) next: Option<i64>,
}

impl Search<'_> {
    /// As whom the user finds it, if they do.
    fn finds(&self, row: &ParticipantsRow) -> Option<Participant> {
        let participant = row.participant(self.user.id())?;
        let is_here = self.thread.is_none_or(|thread| row.message.thread_id == thread);
        let text = row.message.text_for(participant)?;
        (is_here && self.words.are_in(&text)).then_some(participant)
    }
}

impl Store {
    /// The newest messages that a user finds, older than `before`.
    pub(crate) async fn search(
        &self,
        search: &Search<'_>,
        before: i64,
        limit: usize,
    ) -> Result<Found, Error> {
        let mut found = Found::default();
        // First: what is indexed meanwhile is in the index then.
        let unindexed = self.unindexed(search, before).await?;
        let (mut before, mut read) = (before, 0);
        while read < MOST_FOR_A_PAGE {
            let wanted = (limit + 1 - found.messages.len()).clamp(LEAST_AT_A_TIME, MOST_AT_A_TIME);
            let below = entry::before(before);
            let entries = self.indexed_entries(search, below, wanted).await?;
            let last = entries.last().map(|last| entry::message_of(*last));
            let last = last.filter(|_| entries.len() >= wanted);
            let is_here = |id: &&i64| **id < before && last.is_none_or(|last| **id >= last);
            let indexed = entries.iter().map(|number| entry::message_of(*number));
            let mut ids: Vec<_> =
                indexed.chain(unindexed.iter().filter(is_here).copied()).collect();
            ids.sort_unstable();
            ids.dedup();
            let mut rows = self.messages_by_id(&ids).await?;
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.message.id));
            for row in rows {
                let Some(participant) = search.finds(&row) else { continue };
                if found.messages.len() == limit {
                    found.next = found.messages.last().map(|(_, row)| row.message.id);
                    return Ok(found);
                }
                found.messages.push((participant, row));
            }
            let Some(last) = last else { return Ok(found) };
            before = last;
            read += ids.len();
        }
        found.next = Some(before);
        Ok(found)
    }

    async fn unindexed(&self, search: &Search<'_>, before: i64) -> Result<Vec<i64>, Error> {
        let statement = match self.readers()? {
            Readers::Sqlite(_) => UNINDEXED,
            Readers::Postgres(_) => POSTGRES_UNINDEXED,
        };
        let user = search.user.key;
        read!(self, fetch_all, sqlx::query_scalar(statement).bind(user).bind(before))
    }

    /// The newest entries below one, as far as the index tells.
    async fn indexed_entries(
        &self,
        search: &Search<'_>,
        below: i64,
        most: usize,
    ) -> Result<Vec<i64>, Error> {
        match self.readers()? {
            Readers::Sqlite(pool) => {
                self.known(entries_of_sqlite(pool, search, below, most as i64).await)
            }
            Readers::Postgres(pool) => {
                let read = async {
                    let mut loan = pool.take().await?;
                    let patterns: Vec<String> =
                        search.words.patterns().into_iter().map(str::to_owned).collect();
                    let query = sqlx::query_scalar(POSTGRES_ENTRIES)
                        .bind(search.user.key)
                        .bind(search.thread)
                        .bind(patterns)
                        .bind(below)
                        .bind(most as i64);
                    let read = query.fetch_one(loan.connection()?).await;
                    loan.give_back(&read);
                    read
                };
                match within(READ_TIMEOUT, read).await {
                    // The search is what takes too long, of a database that is well.
                    Err(error) if has_code(&error, QUERY_CANCELED) => {
                        Err(Error::Unavailable(sqlx::Error::PoolTimedOut))
                    }
                    read => self.known(read),
                }
            }
        }
    }

    async fn messages_by_id(&self, ids: &[i64]) -> Result<Vec<ParticipantsRow>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = match self.readers()? {
            Readers::Sqlite(pool) => {
                let ids = serde_json::json!(ids).to_string();
                sqlx::query_as(SQLITE_MESSAGES).bind(ids).fetch_all(pool).await
            }
            Readers::Postgres(pool) => {
                use crate::store::engine::read_postgres;
                read_postgres!(pool, fetch_all, sqlx::query_as(POSTGRES_MESSAGES).bind(ids))
            }
        };
        self.known(rows)
    }
}

/// By the limit for a statement.
const QUERY_CANCELED: &str = "57014";

async fn entries_of_sqlite(
    pool: &SqlitePool,
    search: &Search<'_>,
    below: i64,
    most: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    let query = super::sqlite::query(search.user.key, search.thread, &search.words.trigrams());
    sqlx::query_scalar(SQLITE_ENTRIES).bind(query).bind(below).bind(most).fetch_all(pool).await
}
