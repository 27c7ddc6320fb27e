//! A transaction that writes, from its beginning to its commit.

use std::collections::HashSet;

use netrox_proto::{external_id::ExternalId, ids::UserId};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Open, PROBE, TRANSACTION_TIMEOUT, Trace};
use crate::store::{
    Error,
    batch::{self, BatchData, BatchQuery, Rows, StoreError},
    engine::{Connection, by, on},
    erasure,
    external_id::{self, Owners},
    history::{self, Start},
    presence,
    retention::{self, Due, Removed},
    search::{self, Budget, Built, Damage},
    session::{self, Kept, NewNotice, Noted, TooMany},
    ticket::{self, KeyRow, SpentRow},
    upload,
    user::{self, Upsert, UserRow},
};

/// Users that one call changes: up to a megabyte, and no long time without a sign of the database.
pub(crate) const USERS_AT_A_TIME: usize = 64;
/// As a batch does: a table that somebody else keeps locked takes no batch.
const LOCK_TABLES: &str =
    "lock table users, threads, feeds, messages, thread_states in row exclusive mode";
/// 8 MiB, twice the text of a batch, that no file system makes smaller. On PostgreSQL the table is not logged: a full disk
/// may have no room for another file of the log either, and then the server ends. What is not committed, the server gives
/// back by itself, because the transaction began with a new file.
const TAKE_ROOM_POSTGRES: &str = "\
    with part as materialized (
        select string_agg(sha256(random()::text::bytea), '') as bytes from generate_series(1, 32768))
    insert into write_room (bytes) select bytes from part, generate_series(1, 8)";
const TAKE_ROOM_SQLITE: &str =
    "insert into write_room (bytes) values (randomblob(8 * 1024 * 1024))";
const GIVE_ROOM_BACK_POSTGRES: &str = "truncate write_room";
const GIVE_ROOM_BACK_SQLITE: &str = "delete from write_room";

/// What a failed commit left behind.
#[derive(Debug)]
pub(crate) enum CommitError {
    NotStored(Error),
    /// It may have been stored, and may not be durable.
    InDoubt(Error, Trace),
}

impl CommitError {
    pub(super) fn into_inner(self) -> Error {
        match self {
            Self::NotStored(error) | Self::InDoubt(error, _) => error,
        }
    }
}

/// Not committed, it ends with the connection: [`super::Writer::discard`].
#[derive(Debug)]
pub(crate) struct WriteTransaction<'a> {
    open: &'a mut Open,
    /// Of SQLite.
    memory: Option<&'a mut history::sqlite::Memory>,
    deadline: Option<Instant>,
    trace: Trace,
    /// Whether what is stored is indexed.
    searches: bool,
    damage: &'a Damage,
}

impl<'a> WriteTransaction<'a> {
    pub(super) fn new(
        open: &'a mut Open,
        memory: Option<&'a mut history::sqlite::Memory>,
        deadline: Option<Instant>,
        trace: Trace,
        (searches, damage): (bool, &'a Damage),
    ) -> Self {
        Self { open, memory, deadline, trace, searches, damage }
    }

    /// What feeds move in.
    pub(crate) fn start(&self) -> Start {
        self.open.start
    }

    /// To be called before the directory is changed.
    pub(crate) async fn lock_directory(&mut self) -> Result<(), Error> {
        Ok(by(self.deadline, user::lock(&mut self.open.connection)).await?)
    }

    /// Whose external ids are, as far as they are known.
    pub(crate) async fn find_owners(&mut self, ids: &[&ExternalId]) -> Result<Owners, Error> {
        let owners = external_id::find_owners(&mut self.open.connection, ids);
        Ok(by(self.deadline, owners).await?)
    }

    /// Users that are named once, at most [`USERS_AT_A_TIME`]. `None` where one was deleted and stays so.
    pub(crate) async fn upsert_users(
        &mut self,
        upserts: &[Upsert<'_>],
        now: i64,
    ) -> Result<Vec<Option<UserRow>>, Error> {
        for upsert in upserts {
            self.open.cache.forget_user(upsert.change.id);
        }
        let rows = by(self.deadline, user::upsert(&mut self.open.connection, upserts, now)).await?;
        // A server that answers is not one that hangs: what is left has as much time again.
        self.deadline = self.deadline.map(|_| Instant::now() + TRANSACTION_TIMEOUT);
        Ok(rows)
    }

    /// Whether there was such a user.
    pub(crate) async fn delete_user(
        &mut self,
        id: UserId,
        erases_messages: bool,
        now: i64,
    ) -> Result<bool, Error> {
        self.open.cache.forget_user(id);
        let deleted = user::delete(&mut self.open.connection, id, erases_messages, now);
        Ok(by(self.deadline, deleted).await?)
    }

    /// Notes how far an erasure is with what the batch erases. Gives up to which message it may, if it is where it was thought to be.
    pub(crate) async fn go_on_erasing(
        &mut self,
        step: &erasure::Step,
    ) -> Result<Option<i64>, Error> {
        Ok(by(self.deadline, erasure::go_on(&mut self.open.connection, step)).await?)
    }

    /// Removes some of the messages that are due.
    pub(crate) async fn remove_some(&mut self, due: Due) -> Result<Removed, Error> {
        let indexes = !self.damage.is_found();
        if let (Connection::Sqlite(connection), false) = (&mut self.open.connection, indexes) {
            // What follows it would fail, too.
            search::sqlite::give_up(connection).await?;
        }
        let step = retention::step(&mut self.open.connection, due, self.open.start, indexes);
        let removed = by(self.deadline, step).await;
        let removed = removed.map_err(|error| self.damage.learn(error.into()))?;
        for pair in &removed.changed {
            self.open.cache.forget_thread(*pair);
        }
        Ok(removed)
    }

    /// To be called under the lock of the directory. `now` is in seconds since the epoch.
    pub(crate) async fn note(
        &mut self,
        notice: &NewNotice,
        now: i64,
        kept: &mut Kept,
    ) -> Result<Result<Noted, TooMany>, Error> {
        let noted = session::note(&mut self.open.connection, notice, now, kept);
        let noted = by(self.deadline, noted).await?;
        // As with users.
        self.deadline = self.deadline.map(|_| Instant::now() + TRANSACTION_TIMEOUT);
        Ok(noted)
    }

    pub(crate) async fn see_edges(&mut self, edges: &[String]) -> Result<(), Error> {
        Ok(by(self.deadline, session::see_edges(&mut self.open.connection, edges)).await?)
    }

    pub(crate) async fn forget_edges(&mut self, edges: &[String]) -> Result<(), Error> {
        Ok(by(self.deadline, session::forget_edges(&mut self.open.connection, edges)).await?)
    }

    pub(crate) async fn answer_question(
        &mut self,
        question: Uuid,
        edge: &str,
        sessions: &[u8],
    ) -> Result<(), Error> {
        let answered = session::answer(&mut self.open.connection, question, edge, sessions);
        Ok(by(self.deadline, answered).await?)
    }

    /// Gives those that were not used before.
    pub(crate) async fn spend_tickets(
        &mut self,
        tickets: &[SpentRow],
        forget_before: i64,
    ) -> Result<HashSet<Uuid>, Error> {
        let spent = ticket::spend(&mut self.open.connection, tickets, forget_before);
        Ok(by(self.deadline, spent).await?)
    }

    pub(crate) async fn add_ticket_key(
        &mut self,
        key: &KeyRow,
        forget_before: i64,
    ) -> Result<(), Error> {
        let added = ticket::add_key(&mut self.open.connection, key, forget_before);
        Ok(by(self.deadline, added).await?)
    }

    /// Whether the user was deleted; nothing of one who never was there.
    pub(crate) async fn hide(&mut self, user: UserId, hides: bool) -> Result<Option<bool>, Error> {
        Ok(by(self.deadline, presence::hide(&mut self.open.connection, user, hides)).await?)
    }

    pub(crate) async fn note_seen(&mut self, seen: &[(UserId, i64)]) -> Result<(), Error> {
        Ok(by(self.deadline, presence::note_seen(&mut self.open.connection, seen)).await?)
    }

    pub(crate) async fn keep_roll(
        &mut self,
        core: Uuid,
        users: Option<&[u8]>,
    ) -> Result<(), Error> {
        Ok(by(self.deadline, presence::keep_roll(&mut self.open.connection, core, users)).await?)
    }

    pub(crate) async fn load(&mut self, wanted: BatchQuery) -> Result<BatchData, Error> {
        let loaded = async {
            match &mut self.open.connection {
                Connection::Sqlite(connection) => {
                    batch::sqlite::load(connection, wanted, &mut self.open.cache).await
                }
                Connection::Postgres(connection) => batch::postgres::load(connection, wanted).await,
            }
        };
        Ok(by(self.deadline, loaded).await?)
    }

    pub(crate) async fn begin_upload(&mut self, path: &str) -> Result<(), Error> {
        Ok(by(self.deadline, upload::begin(&mut self.open.connection, path, self.open.start))
            .await?)
    }

    pub(crate) async fn end_upload(&mut self, path: &str) -> Result<(), Error> {
        Ok(by(self.deadline, upload::end(&mut self.open.connection, path)).await?)
    }

    /// Indexes some of what is not indexed, at most so many messages.
    pub(crate) async fn index_some(&mut self, most: usize) -> Result<Built, Error> {
        let step = search::build::step(&mut self.open.connection, most);
        by(self.deadline, step).await.map_err(|error| self.failed_index(error))
    }

    /// Indexes what a batch inserts and changes.
    async fn index(&mut self, rows: &Rows<'_>) -> Result<(), sqlx::Error> {
        if rows.messages.is_empty() && rows.changed.is_empty() {
            return Ok(());
        }
        if self.damage.is_found() {
            return match &mut self.open.connection {
                Connection::Sqlite(connection) => search::sqlite::give_up(connection).await,
                Connection::Postgres(_) => Ok(()),
            };
        }
        if !self.searches {
            return Ok(());
        }
        let mut new =
            search::entry::of_new(rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let mut changed = search::entry::of_changed(rows);
        let mut budget = Budget::default();
        let mut later = budget.cut(&mut changed);
        later.extend(budget.cut(&mut new));
        later.sort_unstable_by_key(search::entry::Note::id);
        later.dedup_by_key(|note| note.id());
        match &mut self.open.connection {
            Connection::Sqlite(connection) => {
                search::sqlite::note(connection, &later).await?;
                search::sqlite::store(connection, &new, &changed).await
            }
            Connection::Postgres(connection) => {
                new.extend(changed);
                new.sort_unstable_by_key(search::entry::Entry::number);
                let indexed = async {
                    search::postgres::note(connection, &later).await?;
                    search::postgres::store(connection, &new).await
                };
                by(self.deadline, indexed).await
            }
        }
    }

    /// What an error of the index means, which is of SQLite.
    fn failed_index(&self, error: sqlx::Error) -> Error {
        match &self.open.connection {
            Connection::Sqlite(_) => self.damage.learn_of_index(error.into()),
            Connection::Postgres(_) => error.into(),
        }
    }

    /// Writes what nobody reads, to see whether it can be written.
    pub(crate) async fn probe(&mut self, now: i64) -> Result<(), Error> {
        let probed = async {
            if let Connection::Postgres(connection) = &mut self.open.connection {
                sqlx::query(LOCK_TABLES).execute(connection).await?;
            }
            on!(&mut self.open.connection, execute, sqlx::query(PROBE).bind(now))
        };
        Ok(by(self.deadline, probed).await?)
    }

    /// Writes more than a batch may have.
    pub(crate) async fn take_room(&mut self) -> Result<(), Error> {
        // What an attempt before left.
        self.give_room_back().await?;
        self.run(TAKE_ROOM_SQLITE, TAKE_ROOM_POSTGRES).await
    }

    pub(crate) async fn give_room_back(&mut self) -> Result<(), Error> {
        self.run(GIVE_ROOM_BACK_SQLITE, GIVE_ROOM_BACK_POSTGRES).await
    }

    async fn run(&mut self, sqlite: &'static str, postgres: &'static str) -> Result<(), Error> {
        let ran = async {
            match &mut self.open.connection {
                Connection::Sqlite(connection) => {
                    sqlx::query(sqlite).execute(connection).await.map(drop)
                }
                Connection::Postgres(connection) => {
                    sqlx::query(postgres).execute(connection).await.map(drop)
                }
            }
        };
        Ok(by(self.deadline, ran).await?)
    }

    /// Stores what a batch inserts and changes, and commits; durable when it returns.
    pub(crate) async fn commit(mut self, rows: &Rows<'_>) -> Result<(), CommitError> {
        self.trace.note(rows);
        if let Err(error) = self.index(rows).await {
            return Err(CommitError::NotStored(self.failed_index(error)));
        }
        let stored = match &mut self.open.connection {
            Connection::Sqlite(connection) => {
                batch::sqlite::commit(connection, rows, &mut self.open.cache).await
            }
            Connection::Postgres(connection) => {
                batch::postgres::commit(connection, rows, self.deadline).await
            }
        };
        if let (Ok(()), Some(memory)) = (&stored, self.memory) {
            memory.committed(rows.messages.last().map(|last| last.id));
        }
        if stored.is_ok() {
            self.open.heard = Instant::now();
        }
        let damage = self.damage;
        stored.map_err(|error| match error {
            StoreError::Statement(error) => CommitError::NotStored(damage.learn(error.into())),
            StoreError::Commit(error) => match damage.learn(error.into()) {
                error if error.leaves_nothing() => CommitError::NotStored(error),
                error => CommitError::InDoubt(error, self.trace),
            },
        })
    }
}
