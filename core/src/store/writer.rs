//! The one connection that writes.
//!
//! After an error in a write transaction the connection is closed, and the next transaction opens another:
//! SQLite may have rolled back by itself while the driver still counts the transaction, so that what would be
//! committed on it would never be stored; a PostgreSQL server that did not answer in time may answer later.

use std::time::Duration;

use netrox_proto::ids::UserId;
use sqlx::{
    Connection as _, SqliteConnection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};
use tokio::time::Instant;

use super::{
    Error,
    batch::{self, Loaded, Rows, StoreError, Wanted, sqlite::cache::Cache},
    engine::{Connection, by, on},
    postgres, upload,
    user::{self, Upsert, UserRow},
};

#[derive(Debug)]
pub(crate) struct Writer {
    engine: Engine,
    open: Option<Open>,
}

/// How to connect.
#[derive(Debug)]
enum Engine {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Of SQLite alone: other cores write to PostgreSQL.
    cache: Cache,
}

/// From the beginning of a transaction to the end of its commit. SQLite has no server that could hang. With the time
/// that settling takes, or that a write may have waited behind a lock, callers are answered within two seconds.
const TRANSACTION_TIMEOUT: Duration = Duration::from_millis(1_400);
/// For finding out what became of a commit; together with the transaction below what a caller waits for.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(450);
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);

const POSTGRES_BEGIN: &str = "begin";
/// Assigns the number, by which the server knows later what became of the transaction.
const TRANSACTION_ID: &str = "select pg_current_xact_id()::text";
const TRANSACTION_STATUS: &str = "select pg_xact_status($1::text::xid8)";
const MESSAGE_EXISTS: &str = "\
    select exists (select 1 from messages
        where thread_id = $1 and id = $2 and created = $3 and sender_seq = $4)";
const CHECK: &str = "select 1";
const PROBE: &str = "\
    insert into write_probe (id, written) values (1, $1)
    on conflict (id) do update set written = excluded.written";

/// What tells later whether a transaction was committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    /// PostgreSQL knows it by this number. After a crash the server may give a number again, or an id,
    /// that was not written to the disk: neither proves anything alone.
    number: Option<String>,
    /// The last message that it stored.
    message: Option<MessageTrace>,
}

#[derive(Debug, Clone, Copy)]
struct MessageTrace {
    thread_id: i64,
    id: i64,
    created: i64,
    sender_seq: u64,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    NotStored,
    Unknown,
}

impl Writer {
    pub(super) async fn sqlite(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        Self::open(Engine::Sqlite(options)).await
    }

    pub(super) async fn postgres(options: PgConnectOptions) -> Result<Self, sqlx::Error> {
        Self::open(Engine::Postgres(options)).await
    }

    async fn open(engine: Engine) -> Result<Self, sqlx::Error> {
        let open = Some(Open::new(&engine).await?);
        Ok(Self { engine, open })
    }

    async fn connected(&mut self) -> Result<&mut Open, sqlx::Error> {
        Ok(match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::new(&self.engine).await?),
        })
    }

    pub(crate) async fn begin(&mut self) -> Result<WriteTransaction<'_>, Error> {
        let deadline = match self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(_) => Some(Instant::now() + TRANSACTION_TIMEOUT),
        };
        let open = by(deadline, self.connected()).await?;
        let trace = by(deadline, open.begin()).await?;
        Ok(WriteTransaction { open, deadline, trace })
    }

    /// Closes the connection. To be called after any error of a transaction.
    pub(crate) async fn discard(&mut self) {
        if let Some(open) = self.open.take() {
            // Its error would only repeat the one that led here.
            let _ = open.connection.abandon().await;
        }
    }

    /// Whether a server is there, as far as can be seen without writing.
    pub(crate) async fn check(&mut self) -> Result<(), Error> {
        let deadline = Some(Instant::now() + TRANSACTION_TIMEOUT);
        let open = by(deadline, self.connected()).await?;
        let checked = async { on!(&mut open.connection, execute, sqlx::query(CHECK)) };
        Ok(by(deadline, checked).await?)
    }

    /// What became of a transaction whose commit failed.
    pub(crate) async fn settle(&mut self, trace: &Trace, now: i64) -> Result<Outcome, Error> {
        match &trace.number {
            None => self.settle_sqlite(trace.message, now).await,
            Some(number) => {
                let deadline = Some(Instant::now() + SETTLE_TIMEOUT);
                Ok(by(deadline, self.settle_postgres(number, trace.message)).await?)
            }
        }
    }

    /// Commits something of its own first, which either makes what is there durable or takes the place of
    /// what is not.
    async fn settle_sqlite(
        &mut self,
        message: Option<MessageTrace>,
        now: i64,
    ) -> Result<Outcome, Error> {
        let mut probe = self.begin().await?;
        probe.probe(now).await?;
        probe.commit(&Rows::default()).await.map_err(CommitError::into_inner)?;
        let Some(message) = message else { return Ok(Outcome::Unknown) };
        let stored = self.connected().await?.has(message).await?;
        Ok(if stored { Outcome::Stored } else { Outcome::NotStored })
    }

    /// The server may be at work on it still.
    async fn settle_postgres(
        &mut self,
        number: &str,
        message: Option<MessageTrace>,
    ) -> Result<Outcome, sqlx::Error> {
        loop {
            let open = self.connected().await?;
            let status: Option<String> = on!(
                &mut open.connection,
                fetch_one,
                sqlx::query_scalar(TRANSACTION_STATUS).bind(number)
            )?;
            match status.as_deref() {
                Some("committed") => {
                    return Ok(match message {
                        Some(message) if open.has(message).await? => Outcome::Stored,
                        Some(_) => Outcome::NotStored,
                        None => Outcome::Unknown,
                    });
                }
                Some("aborted") => return Ok(Outcome::NotStored),
                Some("in progress") => tokio::time::sleep(SETTLE_INTERVAL).await,
                _ => return Ok(Outcome::Unknown),
            }
        }
    }

    pub(crate) async fn close(mut self) -> Result<(), Error> {
        match self.open.take() {
            Some(open) => {
                let deadline = Some(Instant::now() + TRANSACTION_TIMEOUT);
                let deadline = deadline.filter(|_| matches!(self.engine, Engine::Postgres(_)));
                Ok(by(deadline, open.connection.close()).await?)
            }
            None => Ok(()),
        }
    }
}

impl Open {
    async fn new(engine: &Engine) -> Result<Self, sqlx::Error> {
        let connection = match engine {
            Engine::Sqlite(options) => {
                Connection::Sqlite(SqliteConnection::connect_with(options).await?)
            }
            Engine::Postgres(options) => Connection::Postgres(postgres::connect(options).await?),
        };
        Ok(Self { connection, cache: Cache::default() })
    }

    async fn begin(&mut self) -> Result<Trace, sqlx::Error> {
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                batch::sqlite::begin(connection, &mut self.cache).await?;
                Ok(Trace::default())
            }
            Connection::Postgres(connection) => {
                sqlx::query(POSTGRES_BEGIN).execute(&mut *connection).await?;
                let number = sqlx::query_scalar(TRANSACTION_ID).fetch_one(connection).await?;
                Ok(Trace { number: Some(number), message: None })
            }
        }
    }

    async fn has(&mut self, message: MessageTrace) -> Result<bool, sqlx::Error> {
        on!(
            &mut self.connection,
            fetch_one,
            sqlx::query_scalar(MESSAGE_EXISTS)
                .bind(message.thread_id)
                .bind(message.id)
                .bind(message.created)
                .bind(message.sender_seq.cast_signed())
        )
    }
}

/// What a failed commit left behind.
#[derive(Debug)]
pub(crate) enum CommitError {
    NotStored(Error),
    /// It may have been stored, and may not be durable.
    InDoubt(Error, Trace),
}

impl CommitError {
    fn into_inner(self) -> Error {
        match self {
            Self::NotStored(error) | Self::InDoubt(error, _) => error,
        }
    }
}

/// Not committed, it ends with the connection: [`Writer::discard`].
#[derive(Debug)]
pub(crate) struct WriteTransaction<'a> {
    open: &'a mut Open,
    deadline: Option<Instant>,
    trace: Trace,
}

impl WriteTransaction<'_> {
    /// To be called before the directory is changed.
    pub(crate) async fn lock_directory(&mut self) -> Result<(), Error> {
        Ok(by(self.deadline, user::lock(&mut self.open.connection)).await?)
    }

    /// Users that are named once. `None` where one was deleted and stays so.
    pub(crate) async fn upsert_users(
        &mut self,
        upserts: &[Upsert<'_>],
        now: i64,
    ) -> Result<Vec<Option<UserRow>>, Error> {
        for upsert in upserts {
            self.open.cache.forget_user(upsert.change.id);
        }
        Ok(by(self.deadline, user::upsert(&mut self.open.connection, upserts, now)).await?)
    }

    /// Whether there was such a user.
    pub(crate) async fn delete_user(&mut self, id: UserId, now: i64) -> Result<bool, Error> {
        self.open.cache.forget_user(id);
        Ok(by(self.deadline, user::delete(&mut self.open.connection, id, now)).await?)
    }

    pub(crate) async fn load(&mut self, wanted: Wanted) -> Result<Loaded, Error> {
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
        Ok(by(self.deadline, upload::begin(&mut self.open.connection, path)).await?)
    }

    pub(crate) async fn end_upload(&mut self, path: &str) -> Result<(), Error> {
        Ok(by(self.deadline, upload::end(&mut self.open.connection, path)).await?)
    }

    /// Writes what nobody reads, to see whether it can be written.
    pub(crate) async fn probe(&mut self, now: i64) -> Result<(), Error> {
        let probed =
            async { on!(&mut self.open.connection, execute, sqlx::query(PROBE).bind(now)) };
        Ok(by(self.deadline, probed).await?)
    }

    /// Stores what a batch inserts and changes, and commits; durable when it returns.
    pub(crate) async fn commit(mut self, rows: &Rows<'_>) -> Result<(), CommitError> {
        self.trace.message = rows.messages.last().map(|stored| MessageTrace {
            thread_id: stored.thread_id,
            id: stored.id,
            created: stored.created,
            sender_seq: stored.sender_seq,
        });
        let stored = match &mut self.open.connection {
            Connection::Sqlite(connection) => {
                batch::sqlite::commit(connection, rows, &mut self.open.cache).await
            }
            Connection::Postgres(connection) => {
                batch::postgres::commit(connection, rows, self.deadline).await
            }
        };
        stored.map_err(|error| match error {
            StoreError::Statement(error) => CommitError::NotStored(error.into()),
            StoreError::Commit(error) => match Error::from(error) {
                error if error.leaves_nothing() => CommitError::NotStored(error),
                error => CommitError::InDoubt(error, self.trace),
            },
        })
    }
}
