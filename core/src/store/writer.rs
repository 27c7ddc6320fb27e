//! The one connection that writes.
//!
//! After an error in a write transaction the connection is closed, and the next transaction opens another:
//! SQLite may have rolled back by itself while the driver still counts the transaction, so that what would be
//! committed on it would never be stored; a PostgreSQL server that did not answer in time may answer later.
//!
//! * [`transaction`]: what is done between the beginning and the commit.
//! * [`at_once`]: a transaction that is one call.
//! * [`settle`]: what became of a transaction whose commit failed.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection as _, SqliteConnection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};
use tokio::time::Instant;

use super::{
    Error,
    batch::{self, Rows, sqlite::cache::Cache},
    engine::{Connection, by},
    history::{self, History, Start},
    open_files::OpenFiles,
    postgres::{self, SessionName, server_clock},
    search::Damage,
    sqlite,
};
use crate::quotas::Quotas;

mod at_once;
mod settle;
mod transaction;

use self::at_once::CallSession;
pub(crate) use self::{
    settle::{CommitOutcome, Trace},
    transaction::{CommitError, USERS_AT_A_TIME, WriteTransaction},
};

#[derive(Debug)]
pub(crate) struct Writer {
    engine: Engine,
    open: Option<Open>,
    /// Of PostgreSQL: one that was asked for more than it has answered. Nothing is written until it has ended.
    unanswered: Option<SessionName>,
    quotas: Quotas,
    /// Whether what is stored is indexed.
    searches: bool,
    /// Of the index.
    damage: Damage,
}

/// How to connect.
#[derive(Debug)]
enum Engine {
    Sqlite {
        options: SqliteConnectOptions,
        files: Arc<OpenFiles>,
        memory: history::sqlite::Memory,
    },
    Postgres {
        options: PgConnectOptions,
        known: postgres::Known,
        /// The history that whoever uses it knows of.
        told: Start,
    },
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Of SQLite alone: other cores write to PostgreSQL.
    cache: Cache,
    /// The history that the connection writes to.
    start: Start,
    /// Of PostgreSQL.
    session: Option<CallSession>,
    /// When a server last answered.
    heard: Instant,
    /// When a server was last found to be as durable as promised.
    looked: Instant,
    /// Of SQLite: the version of the data when it was opened, where it has written nothing yet that a cache would be of.
    opened_at: Option<i64>,
}

/// From the beginning of a transaction to the end of its commit. SQLite has no server that could hang; its disk is watched by
/// the committer. With the time that a write may have waited behind a lock, callers are answered within two seconds, unless
/// the commit is in doubt.
const TRANSACTION_TIMEOUT: Duration = Duration::from_millis(1_400);
/// The latest start that was written here. It is another one where the tables were restored or the history was renewed since
/// the connection was opened.
macro_rules! latest_start {
    () => {
        "coalesce((
            select start from starts where xmin = written_by order by start desc limit 1), 0)"
    };
}
const POSTGRES_BEGIN: &str = "begin";
/// Assigns the number, by which the server knows later what became of the transaction.
const TRANSACTION_ID: &str = concat!("select pg_current_xact_id()::text, ", latest_start!());
const LATEST_START: &str = concat!("select ", latest_start!());
const LATEST_START_AND_CLOCK: &str = concat!("select ", latest_start!(), ", ", server_clock!());
const PROBE: &str = "\
    insert into write_probe (id, written) values (1, $1)
    on conflict (id) do update set written = excluded.written";

impl Writer {
    /// The start of this core is noted with its first transaction: one that only reads needs none, and would write and
    /// sync for nothing before it is ready. The first of a database is noted at once, where that can be written.
    pub(super) async fn sqlite(
        mut connection: SqliteConnection,
        options: SqliteConnectOptions,
        files: Arc<OpenFiles>,
        quotas: Quotas,
        (searches, damage): (bool, Damage),
    ) -> Result<Self, sqlx::Error> {
        files.opened().await?;
        let opened_at = Some(batch::sqlite::version(&mut connection).await?);
        let memory = history::sqlite::Memory::open(&mut connection).await?;
        let start = memory.history().start();
        let open = Open { opened_at, ..Open::new(Connection::Sqlite(connection), start) };
        let is_nameless = memory.is_nameless();
        let engine = Engine::Sqlite { options, files, memory };
        let mut writer =
            Self { engine, open: Some(open), unanswered: None, quotas, searches, damage };
        if is_nameless && let Err(error) = writer.note_start().await {
            tracing::warn!(%error, "the start cannot be noted yet");
            writer.discard().await;
        }
        Ok(writer)
    }

    pub(super) async fn postgres(
        options: PgConnectOptions,
        known: postgres::Known,
        quotas: Quotas,
        searches: bool,
    ) -> Result<Self, sqlx::Error> {
        let engine = Engine::Postgres { options, known, told: Start::default() };
        let damage = Damage::default();
        let open = Some(engine.open(true).await?);
        let mut writer = Self { engine, open, unanswered: None, quotas, searches, damage };
        writer.take_new_history();
        Ok(writer)
    }

    async fn note_start(&mut self) -> Result<(), Error> {
        let transaction = self.begin().await?;
        transaction.commit(&Rows::default()).await.map_err(CommitError::into_inner)
    }

    /// What users may take.
    pub(crate) fn quotas(&self) -> Quotas {
        self.quotas
    }

    pub(crate) fn history(&self) -> &History {
        match &self.engine {
            Engine::Sqlite { memory, .. } => memory.history(),
            Engine::Postgres { known, .. } => &known.history,
        }
    }

    /// Whether the history is another one than when this was last asked.
    pub(crate) fn take_new_history(&mut self) -> bool {
        match &mut self.engine {
            Engine::Sqlite { memory, .. } => memory.take_another(),
            Engine::Postgres { known, told, .. } => {
                let start = known.history.start();
                std::mem::replace(told, start) != start
            }
        }
    }

    async fn connect(&mut self) -> Result<(), sqlx::Error> {
        self.connected().await.map(drop)
    }

    /// To a server that is as durable as promised, as far as was looked.
    async fn connect_soundly(&mut self, deadline: Option<Instant>) -> Result<(), Error> {
        if self.history().take_suspicion() || self.unanswered.is_some() {
            self.discard().await;
        }
        by(deadline, self.connect()).await?;
        // While one transaction follows the other, nothing else looks.
        if let Some(open) = &mut self.open
            && open.looked.elapsed() >= postgres::LOOK_INTERVAL
        {
            by(deadline, open.look(&self.engine)).await?;
        }
        Ok(())
    }

    async fn connected(&mut self) -> Result<&mut Open, sqlx::Error> {
        let Self { engine, open, unanswered, quotas: _, searches: _, damage: _ } = self;
        Ok(match open {
            Some(open) => open,
            none => {
                let mut opened = engine.open(false).await?;
                opened.end(unanswered).await?;
                none.insert(opened)
            }
        })
    }

    /// Until when a transaction has to be committed that begins now.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.engine {
            Engine::Sqlite { .. } => None,
            Engine::Postgres { .. } => Some(Instant::now() + TRANSACTION_TIMEOUT),
        }
    }

    pub(crate) async fn begin(&mut self) -> Result<WriteTransaction<'_>, Error> {
        self.begin_by(self.deadline()).await
    }

    /// The same where something was tried before.
    pub(crate) async fn begin_by(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<WriteTransaction<'_>, Error> {
        self.make_room().await?;
        if let Engine::Sqlite { files, .. } = &self.engine {
            files.check().await?;
        }
        self.connect_soundly(deadline).await?;
        let begun = by(deadline, self.begin_connected()).await?;
        let trace = match begun {
            Some(trace) => trace,
            // A new connection finds out what became of the history.
            None => {
                self.discard().await;
                by(deadline, self.connect()).await?;
                let again = by(deadline, self.begin_connected()).await?;
                again.ok_or_else(|| Error::Unavailable(history_changed()))?
            }
        };
        let memory = match &mut self.engine {
            Engine::Sqlite { memory, .. } => Some(memory),
            Engine::Postgres { .. } => None,
        };
        let open = self.open.as_mut().ok_or_else(|| Error::Unavailable(history_changed()))?;
        Ok(WriteTransaction::new(open, memory, deadline, trace, (self.searches, &self.damage)))
    }

    /// Of SQLite, whose log is on the same disk: what is in it needs room in the database.
    async fn make_room(&mut self) -> Result<(), Error> {
        let Engine::Sqlite { files, .. } = &self.engine else { return Ok(()) };
        let files = Arc::clone(files);
        if !files.is_short_of_room().await {
            return Ok(());
        }
        if let Connection::Sqlite(connection) = &mut self.connected().await?.connection
            && let Err(error) = sqlite::empty_log(connection).await
        {
            self.discard().await;
            return Err(error.into());
        }
        if files.is_short_of_room().await { Err(Error::no_room_for_log()) } else { Ok(()) }
    }

    /// `None` where the connection works on another history than it was opened on.
    async fn begin_connected(&mut self) -> Result<Option<Trace>, sqlx::Error> {
        let Some(open) = &mut self.open else { return Ok(None) };
        match (&mut open.connection, &mut self.engine) {
            (Connection::Sqlite(connection), Engine::Sqlite { memory, .. }) => {
                batch::sqlite::begin(connection, &mut open.cache, memory).await?;
                open.start = memory.start();
                Ok(Some(Trace::default()))
            }
            (Connection::Postgres(connection), _) => {
                sqlx::query(POSTGRES_BEGIN).execute(&mut *connection).await?;
                let (number, start): (String, Start) =
                    sqlx::query_as(TRANSACTION_ID).fetch_one(connection).await?;
                let trace = Trace::of_postgres(number);
                Ok((start == open.start).then_some(trace))
            }
            (Connection::Sqlite(_), Engine::Postgres { .. }) => Ok(None),
        }
    }

    /// Closes the connection. To be called after any error of a transaction.
    pub(crate) async fn discard(&mut self) {
        if let Some(open) = self.may_close().await {
            // Its error would only repeat the one that led here.
            let _ = open.connection.abandon().await;
        }
    }

    /// Takes the connection where it may be closed.
    async fn may_close(&mut self) -> Option<Open> {
        let open = self.open.take()?;
        if let Engine::Sqlite { files, .. } = &self.engine
            && !files.may_close().await
        {
            // Its file stays open until the process ends, which is soon.
            std::mem::forget(open);
            return None;
        }
        Some(open)
    }

    /// Whether a server is there and as durable as promised, as far as can be seen without writing.
    pub(crate) async fn check(&mut self) -> Result<(), Error> {
        let deadline = Some(Instant::now() + TRANSACTION_TIMEOUT);
        by(deadline, self.connect()).await?;
        if let Some(open) = &mut self.open {
            by(deadline, open.look(&self.engine)).await?;
        }
        let checked = by(deadline, self.has_history()).await?;
        if !checked {
            // Finds out what became of it.
            self.note_start().await?;
        }
        Ok(())
    }

    /// Whether the connection still works on the history that it was opened on.
    async fn has_history(&mut self) -> Result<bool, sqlx::Error> {
        let Some(open) = &mut self.open else { return Ok(false) };
        match &mut open.connection {
            // Whether nobody else has written since.
            Connection::Sqlite(connection) => {
                let version = batch::sqlite::version(connection).await?;
                Ok(open.cache.is_of(version) || open.opened_at == Some(version))
            }
            Connection::Postgres(connection) => {
                let start: Start = sqlx::query_scalar(LATEST_START).fetch_one(connection).await?;
                Ok(start == open.start)
            }
        }
    }

    pub(crate) async fn close(mut self) -> Result<(), Error> {
        match self.may_close().await {
            Some(open) => {
                let deadline = Some(Instant::now() + TRANSACTION_TIMEOUT);
                let deadline = deadline.filter(|_| matches!(self.engine, Engine::Postgres { .. }));
                Ok(by(deadline, open.connection.close()).await?)
            }
            None => Ok(()),
        }
    }
}

/// Opens a file that is still where it was.
async fn connect_to_file(
    options: &SqliteConnectOptions,
    files: &Arc<OpenFiles>,
) -> Result<SqliteConnection, sqlx::Error> {
    files.check_for_opening().await?;
    let connection = SqliteConnection::connect_with(options).await?;
    files.opened().await?;
    Ok(connection)
}

impl Engine {
    async fn open(&self, is_first: bool) -> Result<Open, sqlx::Error> {
        Ok(match self {
            Self::Sqlite { options, files, memory } => {
                let connection = connect_to_file(options, files).await?;
                Open::new(Connection::Sqlite(connection), memory.history().start())
            }
            Self::Postgres { options, known, .. } => {
                let connected = postgres::connect(options, known, is_first).await?;
                let session = Some(CallSession::of(&connected));
                let open = Open::new(Connection::Postgres(connected.connection), connected.start);
                Open { session, ..open }
            }
        })
    }
}

impl Open {
    fn new(connection: Connection, start: Start) -> Self {
        let now = Instant::now();
        let cache = Cache::default();
        Self { connection, cache, start, session: None, heard: now, looked: now, opened_at: None }
    }

    /// Ends a session before anything is written in this one: what it was asked for would be stored behind that.
    async fn end(&mut self, unanswered: &mut Option<SessionName>) -> Result<(), sqlx::Error> {
        if let (Connection::Postgres(connection), Some(session)) =
            (&mut self.connection, *unanswered)
        {
            session.end(connection).await?;
        }
        *unanswered = None;
        Ok(())
    }

    /// Whether the server still is as durable as promised. SQLite has none that could change.
    async fn look(&mut self, engine: &Engine) -> Result<(), sqlx::Error> {
        if let (Connection::Postgres(connection), Engine::Postgres { known, .. }) =
            (&mut self.connection, engine)
        {
            postgres::look(connection, known.accepted).await?;
        }
        self.looked = Instant::now();
        Ok(())
    }
}

fn history_changed() -> sqlx::Error {
    sqlx::Error::Protocol("the history of the database has changed".to_owned())
}
