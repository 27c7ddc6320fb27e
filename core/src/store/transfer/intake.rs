//! A database that is imported into. No core uses it meanwhile, so nothing is read twice, and nobody is told of anything.
//!
//! What is new takes places at the ends of feeds, as if it happened now. No position from before is good any more: else clients
//! would be shown old messages as new ones, and would never learn of marks. So a new history begins before the first of both.

use sqlx::Connection as _;

use super::{
    PAGE_ROWS,
    snapshot::{Snapshot, check_schema},
};
use crate::{
    clock,
    command::MAX_ID,
    config::Database,
    lines::Moment,
    store::{
        Expected, OpenError,
        copy::table::Table,
        engine::{Connection, on},
        history::{self, Start},
        postgres::{self, Migrations, sequences::lift_sequences},
        search,
        session::Kept,
        sqlite,
    },
};

mod block;
mod follow;
mod mark;
mod message;
mod revocation;
mod thread;
mod user;

/// A database goes on above the greatest id that it has, and leaves out many at each start: one that began near the end would soon
/// give none.
const MAX_NEW_ID: i64 = MAX_ID / 2;
/// Clocks differ, but not by so much.
const MOST_AHEAD_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// Before rows of two values, which a table is joined to. Asked for `(one, two) in (values …)`, SQLite leaves a partial index for
/// another of the first column alone. A `cross join` is one that SQLite does not turn round: of many rows it thinks that they are
/// found sooner by going through the table.
const WANTED: &str = "with wanted (one, two) as (";

/// Of SQLite: 256 MiB of pages. A power cut takes the last transactions, in their order: the import is run again then.
const IN_BULK: &str = "pragma cache_size = -262144; pragma synchronous = normal";
/// It ends when all is on disk.
const TO_DISK: &str = "pragma synchronous = full; pragma wal_checkpoint(truncate)";

const LAST_KEY: &str = "select coalesce(max(key), 0) from users";

#[derive(Debug)]
pub(crate) struct Intake {
    connection: Connection,
    /// Of PostgreSQL.
    migrations: Migrations,
    /// Nothing stays of what is written.
    is_trial: bool,
    /// In which feeds move; none before a new history begins.
    start: Option<Start>,
    /// The greatest key of a user, and that of those who were there before.
    last_key: i64,
    last_old_key: i64,
    revocations: Kept,
    /// What is there is brought up to what lines say.
    follows: bool,
    /// Also where what is there is newer.
    yields: bool,
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
    /// Messages that came between others, where lines are followed.
    pub(crate) late: u64,
    /// Messages that changed here later than their lines say, and stay so.
    pub(crate) newer: u64,
    /// Files that have to be there before the commit.
    pub(crate) files: Vec<NeededFile>,
    /// Those of messages that are there already.
    pub(crate) known_files: Vec<NeededFile>,
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
    /// Locks cores out. A file of SQLite has to be locked before. A trial makes no tables, and brings none up to date.
    pub(crate) async fn open(
        database: &Database,
        expected: Expected,
        is_trial: bool,
    ) -> Result<Self, IntakeError> {
        let (mut connection, migrations) = match database {
            Database::Sqlite(path) => {
                if is_trial && expected == Expected::Database {
                    Snapshot::open(database).await?.close().await;
                }
                let mut prepared = sqlite::prepare(path, expected, false).await?;
                sqlx::raw_sql(IN_BULK).execute(&mut prepared.connection).await?;
                // What is imported is indexed by the next start with --search.
                if !is_trial {
                    search::sqlite::enter(&mut prepared.connection, false).await?;
                }
                (Connection::Sqlite(prepared.connection), Migrations::Usual)
            }
            Database::Postgres(database) => {
                let opened = postgres::connect_for_import(database, is_trial).await?;
                let (connection, migrations) = opened.ok_or(IntakeError::InUse)?;
                let mut connection = Connection::Postgres(connection);
                check_schema(&mut connection, migrations).await?;
                (connection, migrations)
            }
        };
        let last_key = on!(&mut connection, fetch_one, sqlx::query_scalar(LAST_KEY))?;
        let (last_old_key, revocations) = (last_key, Kept::default());
        let (start, follows) = (None, false);
        Ok(Self {
            connection,
            migrations,
            is_trial,
            start,
            last_key,
            last_old_key,
            revocations,
            follows,
            yields: false,
        })
    }

    /// From here on, what is there is brought up to what lines say, where they are no older, and messages may come late: their
    /// server goes on, and is asked again. `yields`: where they are older, too.
    pub(crate) fn follow(&mut self, yields: bool) {
        self.follows = true;
        self.yields = yields;
    }

    /// A new history begins, unless one did already, or this is only tried. Outside of a transaction.
    pub(crate) async fn renew(&mut self) -> Result<(), sqlx::Error> {
        if self.is_trial {
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
        Ok(())
    }

    pub(crate) fn has_renewed(&self) -> bool {
        self.start.is_some()
    }

    /// Begins a transaction. Of one that is only tried, nothing stays.
    pub(crate) async fn begin(&mut self) -> Result<(), sqlx::Error> {
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
        if let (Connection::Postgres(connection), false) = (&mut self.connection, self.is_trial) {
            // What a core would do, with a warning.
            lift_sequences(connection, 0).await?;
        }
        match self.connection {
            Connection::Sqlite(mut connection) => {
                sqlx::raw_sql(TO_DISK).execute(&mut connection).await?;
                connection.close().await
            }
            Connection::Postgres(connection) => connection.close().await,
        }
    }

    fn start(&self) -> Start {
        self.start.unwrap_or_default()
    }

    /// No more at a time than a statement takes: two users have moved with each of a page of messages.
    async fn write<T: Table>(&mut self, rows: Vec<T>) -> Result<(), sqlx::Error> {
        let mut rows = rows.into_iter();
        loop {
            let page: Vec<_> = rows.by_ref().take(PAGE_ROWS).collect();
            if page.is_empty() {
                return Ok(());
            }
            match &mut self.connection {
                Connection::Sqlite(connection) => T::write_sqlite(connection, page).await?,
                Connection::Postgres(connection) => T::write(connection, page).await?,
            }
        }
    }
}

/// A time far ahead would hold up all that comes after it.
fn check_time(field: &str, at: Option<Moment>) -> Result<(), String> {
    let latest = clock::now_micros().saturating_add(MOST_AHEAD_MICROS);
    match at.filter(|at| at.0 > latest) {
        None => Ok(()),
        Some(at) => Err(format!("{field} is more than a day ahead: {at}")),
    }
}

/// The same of seconds.
fn is_far_ahead(seconds: i64) -> bool {
    let latest = clock::now_micros().saturating_add(MOST_AHEAD_MICROS);
    seconds > latest / 1_000_000
}

fn check_new_id(id: i64) -> Result<(), String> {
    if id <= MAX_NEW_ID { Ok(()) } else { Err(format!("an id above {MAX_NEW_ID}: {id}")) }
}
