//! Messages with all words of a query: what the index finds, and of it what is so.

use std::{io, sync::Arc};

use netrox_proto::ids::UserId;
use sqlx::SqlitePool;

use super::{entry, words::Words};
use crate::store::{
    Error, Store,
    engine::{READ_TIMEOUT, Readers, read, within},
    error::{QUERY_CANCELED, has_code, is_of_index},
    message::{Participant, ParticipantsRow, with_participants},
    user::UserKey,
};

/// What the index is asked for at a time, at most.
const MOST_AT_A_TIME: usize = 256;
/// The same at least, and what is read of the table and compared at a time.
const LEAST_AT_A_TIME: usize = 32;
/// What is compared for a page: where more of what the index finds is not so, the page is short.
const MOST_FOR_A_PAGE: usize = 1_024;
const BYTES_FOR_A_PAGE: usize = 4 * 1024 * 1024;

const SQLITE_ENTRIES: &str = "\
    select rowid from message_words where message_words match $1 and rowid < $2
    order by rowid desc limit cast($3 as bigint)";
const POSTGRES_ENTRIES: &str = "select search_entries($1, $2, $3, $4, $5)";
const SQLITE_MESSAGES: &str = with_participants!("m.id in (select value from json_each($1))");
const POSTGRES_MESSAGES: &str = with_participants!("m.id = any($1)");
/// The newest of the user's own that are not indexed: $3 of them at most. None is both sent and received by one.
const UNINDEXED: &str = "\
    select id from (
        select * from (select id from unindexed_messages where sender = $1 and id < $2 order by id desc limit $3) sent
        union all
        select * from (select id from unindexed_messages where receiver = $1 and id < $2 order by id desc limit $3) received
    ) own order by id desc limit $3";

/// What is searched for.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) key: UserKey,
    pub(crate) user: UserId,
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

/// How much is compared for a page yet.
#[derive(Debug)]
struct Room {
    rows: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { rows: MOST_FOR_A_PAGE, bytes: BYTES_FOR_A_PAGE }
    }
}

impl Room {
    fn is_left(&self) -> bool {
        self.rows > 0 && self.bytes > 0
    }

    fn take(&mut self, rows: &[ParticipantsRow]) {
        let bytes: usize = rows.iter().map(|row| row.message.body.len()).sum();
        self.rows = self.rows.saturating_sub(rows.len());
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Search {
    /// As whom the user finds it, if they do.
    fn finds(&self, row: &ParticipantsRow) -> Option<Participant> {
        let participant = row.participant(self.user)?;
        let is_here = self.thread.is_none_or(|thread| row.message.thread_id == thread);
        let text = row.message.text_for(participant)?;
        (is_here && self.words.are_in(&text)).then_some(participant)
    }

    /// Those that are found, the newest first. Where others do not wait: there may be much text.
    async fn compare(
        self: &Arc<Self>,
        mut rows: Vec<ParticipantsRow>,
    ) -> Result<Vec<(Participant, ParticipantsRow)>, Error> {
        let search = Arc::clone(self);
        let compare = move || {
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.message.id));
            rows.into_iter().filter_map(|row| Some((search.finds(&row)?, row))).collect()
        };
        let compared = tokio::task::spawn_blocking(compare).await;
        compared.map_err(|error| Error::Unavailable(sqlx::Error::Io(io::Error::other(error))))
    }
}

impl Store {
    /// The newest messages that a user finds, older than `before`.
    pub(crate) async fn search(
        &self,
        search: &Arc<Search>,
        mut before: i64,
        limit: usize,
    ) -> Result<Found, Error> {
        self.index_damage.refuse()?;
        let mut found = Found::default();
        // First: what is indexed meanwhile is in the index then.
        let unindexed = self.unindexed(search, before).await?;
        // There may be more of them behind it.
        let read_to = unindexed.last().filter(|_| unindexed.len() >= MOST_FOR_A_PAGE).copied();
        let mut room = Room::default();
        loop {
            let wanted = (limit + 1 - found.messages.len()).clamp(LEAST_AT_A_TIME, MOST_AT_A_TIME);
            let below = entry::before(before);
            let entries = self.indexed_entries(search, below, wanted).await?;
            let indexed_to = entries.last().filter(|_| entries.len() >= wanted);
            let end = indexed_to.map(|number| entry::message_of(*number)).max(read_to);
            let indexed = entries.iter().map(|number| entry::message_of(*number));
            let is_here = |id: &i64| *id < before && end.is_none_or(|end| *id >= end);
            let mut ids: Vec<_> =
                indexed.chain(unindexed.iter().copied()).filter(is_here).collect();
            ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
            ids.dedup();
            for ids in ids.chunks(LEAST_AT_A_TIME) {
                if !room.is_left() {
                    found.next = Some(before);
                    return Ok(found);
                }
                let rows = self.messages_by_id(ids).await?;
                room.take(&rows);
                for message in search.compare(rows).await? {
                    if found.messages.len() == limit {
                        found.next = found.messages.last().map(|(_, row)| row.message.id);
                        return Ok(found);
                    }
                    found.messages.push(message);
                }
                before = ids.last().copied().unwrap_or(before);
            }
            let Some(end) = end else { return Ok(found) };
            before = end;
            if !room.is_left() || read_to.is_some_and(|read_to| read_to >= end) {
                found.next = Some(end);
                return Ok(found);
            }
        }
    }

    /// Whether there is an index that is not used any more.
    pub(crate) fn has_damaged_index(&self) -> bool {
        self.index_damage.is_found()
    }

    async fn unindexed(&self, search: &Search, before: i64) -> Result<Vec<i64>, Error> {
        let (key, most) = (search.key, MOST_FOR_A_PAGE as i64);
        read!(self, fetch_all, sqlx::query_scalar(UNINDEXED).bind(key).bind(before).bind(most))
    }

    /// The newest entries below one, as far as the index tells.
    async fn indexed_entries(
        &self,
        search: &Search,
        below: i64,
        most: usize,
    ) -> Result<Vec<i64>, Error> {
        match self.readers()? {
            Readers::Sqlite(pool) => {
                match entries_of_sqlite(pool, search, below, most as i64).await {
                    Err(error) if is_of_index(&error) => {
                        self.index_damage.find(&error);
                        self.index_damage.refuse().map(|()| Vec::new())
                    }
                    read => self.known(read),
                }
            }
            Readers::Postgres(pool) => {
                let read = async {
                    let mut loan = pool.take().await?;
                    let patterns: Vec<String> =
                        search.words.patterns().into_iter().map(str::to_owned).collect();
                    let query = sqlx::query_scalar(POSTGRES_ENTRIES)
                        .bind(search.key)
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

async fn entries_of_sqlite(
    pool: &SqlitePool,
    search: &Search,
    below: i64,
    most: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    let query = super::sqlite::query(search.key, search.thread, &search.words.trigrams());
    sqlx::query_scalar(SQLITE_ENTRIES).bind(query).bind(below).bind(most).fetch_all(pool).await
}
