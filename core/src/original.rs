//! The Django original, as it is read: users, threads and messages in the order of their keys, a page at a time, in one read-only
//! snapshot where its database gives one without holding up who writes. Nothing is ever written to it.
//!
//! ```text
//! let mut original = Original::open(&place, mapping).await?;
//! let facts = original.begin().await?;                 // the snapshot
//! let mut after = None;                                // and so `threads` (after an id) and `messages` (within a range)
//! loop { let page = original.users(&mut after).await?; if page.is_empty() { break } … }
//! original.end().await?;                               // nothing is held any more
//! original.close().await;
//! ```
//!
//! * [`mapping`]: what its tables and columns are called. [`statements`]: what they are asked.
//! * [`place`]: where it is. [`value`]: ids and times as Django writes them. [`span`]: what tells which messages differ.
//! * [`file`](mod@file): a database of SQLite that is another's. [`dump`]: a fixture, which becomes a SQLite database for as long as it is read.

use std::{io, time::Duration};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};

use crate::backup::scratch::Scratch;

mod dump;
mod file;
pub(crate) mod mapping;
mod place;
mod row;
pub(crate) mod span;
mod statements;
pub(crate) mod value;

pub use self::{
    mapping::Mapping,
    place::{OriginalError, OriginalPlace},
};
pub(crate) use self::{
    row::{BadRow, FileColumns, OriginalFile, OriginalMessage, OriginalThread, OriginalUser},
    span::{SPAN_IDS, Span},
    value::{OriginalUserId, OriginalUserIds},
};
use self::{
    row::{RawMessage, RawThread, RawUser},
    statements::Statements,
};

/// Rows that are read at a time.
pub(crate) const PAGE_ROWS: i64 = 1_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of the transaction alone: a pooler may give the session to others. A migration that waits for its table does not wait for long
/// behind us, nor we behind it.
const SNAPSHOT: &str = "begin isolation level repeatable read read only; \
    set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0; \
    set local lock_timeout = '10s'";
/// The first version that has it; those before refuse the name.
const TRANSACTION_TIMEOUT_SINCE: u32 = 170_000;

/// What there is to say of it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// How its users are called; none without a user.
    pub(crate) user_ids: Option<OriginalUserIds>,
    pub(crate) users: u64,
    pub(crate) threads: u64,
    /// The greatest id of a message; 0 without one. What came later is not read.
    pub(crate) newest_message: i64,
    pub(crate) newest_thread: i64,
    /// Whether times have whole milliseconds alone: `dumpdata` cuts off the rest.
    pub(crate) is_cut_to_millis: bool,
}

#[derive(Debug)]
enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// `on!(connection, fetch_all, query)`: runs a query on either engine.
macro_rules! on {
    ($connection:expr, $fetch:ident, $query:expr) => {
        match $connection {
            Connection::Sqlite(connection) => $query.$fetch(connection).await,
            Connection::Postgres(connection) => $query.$fetch(connection).await,
        }
    };
}

/// An open original.
#[derive(Debug)]
pub(crate) struct Original {
    connection: Connection,
    statements: Statements,
    /// A reader of SQLite holds up who writes, unless it has a write-ahead log.
    has_snapshot: bool,
    /// Of a fixture.
    scratch: Option<Scratch>,
}

impl Original {
    /// Fails where a table or a column of the mapping is not there.
    pub(crate) async fn open(
        place: &OriginalPlace,
        mapping: &Mapping,
    ) -> Result<Self, OriginalError> {
        match place {
            OriginalPlace::Postgres(url) => {
                let options = url.options().clone();
                let options = match options.get_application_name() {
                    Some(_) => options,
                    None => options.application_name("netrox-chat import"),
                };
                let options = options.disable_statement_logging();
                let connected = PgConnection::connect_with(&options);
                let connection = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
                let connection = connection.unwrap_or_else(|_| {
                    Err(sqlx::Error::Io(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the database did not answer in time",
                    )))
                })?;
                Self::of(Connection::Postgres(connection), mapping, true, None).await
            }
            OriginalPlace::Sqlite(path) => {
                let mut connection = file::open(path.clone()).await?;
                let journal: String =
                    sqlx::query_scalar("pragma journal_mode").fetch_one(&mut connection).await?;
                Self::of(Connection::Sqlite(connection), mapping, journal == "wal", None).await
            }
            OriginalPlace::Dump(path) => {
                let scratch = Scratch::new().map_err(|error| OriginalError::File {
                    path: std::env::temp_dir(),
                    error: io::Error::other(error.to_string()),
                })?;
                let made = scratch.path().join("dump.db");
                dump::load(path, mapping, &made).await?;
                let connection = Connection::Sqlite(file::open(made).await?);
                Self::of(connection, &Mapping::default(), true, Some(scratch)).await
            }
        }
    }

    async fn of(
        mut connection: Connection,
        mapping: &Mapping,
        has_snapshot: bool,
        scratch: Option<Scratch>,
    ) -> Result<Self, OriginalError> {
        let statements = Statements::of(&mut connection, mapping).await?;
        Ok(Self { connection, statements, has_snapshot, scratch })
    }

    /// From here on it is as it is now, as far as there is a snapshot: else messages that came later are left out, and what they
    /// do not need may be newer.
    pub(crate) async fn begin(&mut self) -> Result<Facts, OriginalError> {
        match &mut self.connection {
            Connection::Postgres(connection) => {
                sqlx::raw_sql(SNAPSHOT).execute(&mut *connection).await?;
                let version = connection.server_version_num();
                if version.is_some_and(|version| version >= TRANSACTION_TIMEOUT_SINCE) {
                    let lift = sqlx::raw_sql("set local transaction_timeout = 0");
                    lift.execute(connection).await?;
                }
            }
            Connection::Sqlite(connection) if self.has_snapshot => {
                sqlx::raw_sql("begin").execute(connection).await?;
            }
            Connection::Sqlite(_) => {}
        }
        let counts = AssertSqlSafe(self.statements.counts.clone());
        // Messages first: what they refer to is there by then.
        let (newest_message, newest_thread, users, threads): (i64, i64, i64, i64) =
            on!(&mut self.connection, fetch_one, sqlx::query_as(counts))?;
        let user_ids = self.user_ids().await?;
        Ok(Facts {
            user_ids,
            users: users.unsigned_abs(),
            threads: threads.unsigned_abs(),
            newest_message,
            newest_thread,
            is_cut_to_millis: self.scratch.is_some(),
        })
    }

    /// By the first user whose id is one.
    async fn user_ids(&mut self) -> Result<Option<OriginalUserIds>, OriginalError> {
        let mut after = None;
        loop {
            let page = self.users(&mut after).await?;
            if page.is_empty() {
                return Ok(None);
            }
            if let Some(user) = page.into_iter().flatten().next() {
                return Ok(Some(user.id.kind()));
            }
        }
    }

    /// Nothing is held any more.
    pub(crate) async fn end(&mut self) -> Result<(), OriginalError> {
        if self.has_snapshot {
            match &mut self.connection {
                Connection::Sqlite(connection) => {
                    sqlx::raw_sql("rollback").execute(connection).await?;
                }
                Connection::Postgres(connection) => {
                    sqlx::raw_sql("rollback").execute(connection).await?;
                }
            }
        }
        Ok(())
    }

    /// It was only read: nothing is lost with a connection that does not end well.
    pub(crate) async fn close(self) {
        let _ = match self.connection {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
        };
    }

    /// Users after one of them, of which `after` becomes the last. An empty page is the end; so of all that follow.
    pub(crate) async fn users(
        &mut self,
        after: &mut Option<String>,
    ) -> Result<Vec<Result<OriginalUser, BadRow>>, OriginalError> {
        let rows: Vec<RawUser> = match after.as_deref() {
            None => {
                let text = AssertSqlSafe(self.statements.users_first.clone());
                on!(&mut self.connection, fetch_all, sqlx::query_as(text).bind(PAGE_ROWS))?
            }
            Some(key) => {
                let text = AssertSqlSafe(self.statements.users_next.clone());
                let (connection, limit) = (&mut self.connection, PAGE_ROWS);
                on!(connection, fetch_all, sqlx::query_as(text).bind(limit).bind(key))?
            }
        };
        if let Some(last) = rows.last() {
            *after = Some(last.key.clone());
        }
        let is_json = self.statements.profile_is_json;
        Ok(rows.into_iter().map(|row| row.user(is_json)).collect())
    }

    /// Threads after an id; the first are those after `i64::MIN`.
    pub(crate) async fn threads(
        &mut self,
        after: &mut i64,
    ) -> Result<Vec<Result<OriginalThread, BadRow>>, OriginalError> {
        let text = AssertSqlSafe(self.statements.threads.clone());
        let (connection, key) = (&mut self.connection, *after);
        let rows: Vec<RawThread> =
            on!(connection, fetch_all, sqlx::query_as(text).bind(PAGE_ROWS).bind(key))?;
        if let Some(last) = rows.last() {
            *after = last.id;
        }
        Ok(rows.into_iter().map(RawThread::thread).collect())
    }

    /// Messages after an id, up to another, which is `newest_message` at most.
    pub(crate) async fn messages(
        &mut self,
        after: &mut i64,
        until: i64,
    ) -> Result<Vec<Result<OriginalMessage, BadRow>>, OriginalError> {
        let text = AssertSqlSafe(self.statements.messages.clone());
        let (connection, key) = (&mut self.connection, *after);
        let rows: Vec<RawMessage> =
            on!(connection, fetch_all, sqlx::query_as(text).bind(PAGE_ROWS).bind(key).bind(until))?;
        if let Some(last) = rows.last() {
            *after = last.id;
        }
        Ok(rows.into_iter().map(RawMessage::message).collect())
    }

    /// What its messages up to an id are, so many ids at a time ([`SPAN_IDS`]), in their order. One scan of the table by its
    /// server: whoever has the same of another database knows which messages are not the same.
    pub(crate) async fn spans(&mut self, until: i64) -> Result<Vec<Span>, OriginalError> {
        let text = AssertSqlSafe(self.statements.spans.clone());
        let connection = &mut self.connection;
        let rows: Vec<span::Raw> =
            on!(connection, fetch_all, sqlx::query_as(text).bind(SPAN_IDS).bind(until))?;
        rows.into_iter().map(Span::of).collect::<Result<_, _>>().map_err(OriginalError::Tables)
    }
}

#[cfg(test)]
mod tests;
