//! A database that is imported into. No core uses it meanwhile, so nothing is read twice, and nobody is told of anything.
//!
//! What is new takes places at the ends of feeds, as if it happened now. No position from before is good any more: else clients
//! would be shown old messages as new ones. So a new history begins before the first write.

use sqlx::Connection as _;

use super::PAGE_ROWS;
use crate::{
    config::Database,
    store::{
        Expected, OpenError,
        copy::table::Table,
        engine::{Connection, on},
        history::{self, Start},
        postgres::{self, Migrations, sequences::lift_sequences},
        session::Kept,
        sqlite,
    },
};

mod mark;
mod message;
mod revocation;
mod thread;
mod user;

const LAST_KEY: &str = "select coalesce(max(key), 0) from users";

#[derive(Debug)]
pub(crate) struct Intake {
    connection: Connection,
    /// Of PostgreSQL.
    migrations: Migrations,
    /// In which feeds move; none before the first write.
    start: Option<Start>,
    /// The greatest key of a user, and that of those who were there before.
    last_key: i64,
    last_old_key: i64,
    revocations: Kept,
}

/// What became of some lines.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) stored: u64,
    /// There already.
    pub(crate) known: u64,
    /// There already, and changed to what is newer.
    pub(crate) changed: u64,
    /// Messages that are not younger than the one before.
    pub(crate) not_younger: u64,
    /// Files that have to be there before the commit.
    pub(crate) files: Vec<NeededFile>,
    /// Lines that cannot be taken, of which nothing was written.
    pub(crate) problems: Vec<Problem>,
}

#[derive(Debug, Clone)]
pub(crate) struct NeededFile {
    /// Which of the lines names it.
    pub(crate) place: usize,
    pub(crate) path: String,
    pub(crate) size: i64,
}

#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) place: usize,
    pub(crate) reason: String,
}

impl Taken {
    fn refuse(&mut self, place: usize, reason: impl Into<String>) {
        self.problems.push(Problem { place, reason: reason.into() });
    }
}

/// Why a database cannot be imported into.
#[derive(Debug)]
pub(crate) enum IntakeError {
    Open(OpenError),
    /// A core, or another import, uses it.
    InUse,
}

impl From<OpenError> for IntakeError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<sqlx::Error> for IntakeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Open(error.into())
    }
}

impl Intake {
    /// Locks cores out. A file of SQLite has to be locked before.
    pub(crate) async fn open(database: &Database, expected: Expected) -> Result<Self, IntakeError> {
        let (mut connection, migrations) = match database {
            Database::Sqlite(path) => {
                let prepared = sqlite::prepare(path, expected, false).await?;
                (Connection::Sqlite(prepared.connection), Migrations::Usual)
            }
            Database::Postgres(database) => {
                let (mut connection, migrations) = postgres::connect_for_import(database).await?;
                if !postgres::lock_out_cores(&mut connection).await? {
                    return Err(IntakeError::InUse);
                }
                (Connection::Postgres(connection), migrations)
            }
        };
        let last_key = on!(&mut connection, fetch_one, sqlx::query_scalar(LAST_KEY))?;
        let (last_old_key, revocations) = (last_key, Kept::default());
        Ok(Self { connection, migrations, start: None, last_key, last_old_key, revocations })
    }

    /// Begins a transaction. Of one that is only tried, nothing stays, and no history begins.
    pub(crate) async fn begin(&mut self, is_trial: bool) -> Result<(), sqlx::Error> {
        if is_trial {
            self.start = Some(Start::default());
        }
        if self.start.is_none() {
            let history = match &mut self.connection {
                Connection::Sqlite(connection) => history::sqlite::renew(connection).await?,
                Connection::Postgres(connection) => {
                    let renewed = history::postgres::renew(connection, self.migrations).await;
                    renewed.map_err(postgres::unusable)?
                }
            };
            self.start = Some(history.start());
        }
        let begin = match &self.connection {
            Connection::Sqlite(_) => "begin immediate",
            Connection::Postgres(_) => "begin",
        };
        on!(&mut self.connection, execute, sqlx::query(begin))
    }

    pub(crate) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        on!(&mut self.connection, execute, sqlx::query("commit"))
    }

    pub(crate) async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        on!(&mut self.connection, execute, sqlx::query("rollback"))
    }

    /// Cores may use it again.
    pub(crate) async fn close(mut self) -> Result<(), sqlx::Error> {
        if let Connection::Postgres(connection) = &mut self.connection {
            // What a core would do, with a warning.
            lift_sequences(connection, 0).await?;
        }
        match self.connection {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
        }
    }

    fn start(&self) -> Start {
        self.start.unwrap_or_default()
    }

    async fn write<T: Table>(&mut self, rows: Vec<T>) -> Result<(), sqlx::Error> {
        debug_assert!(rows.len() <= PAGE_ROWS, "more rows than a statement takes");
        if rows.is_empty() {
            return Ok(());
        }
        match &mut self.connection {
            Connection::Sqlite(connection) => T::write_sqlite(connection, rows).await,
            Connection::Postgres(connection) => T::write(connection, rows).await,
        }
    }
}
