//! The embedded database: the only module, with those below it, that knows SQL.
//!
//! Reads go through a pool of read-only connections; all writes go through the one [`Writer`].
//!
//! * [`batch`]: what a batch of writes loads and stores, in set-based statements.
//! * [`feed`], [`message`], [`thread`], [`upload`], [`user`]: a table each.
//! * [`writer`]: the connection that writes, and what becomes of it after an error.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio_util::sync::CancellationToken;

pub(crate) mod batch;
pub(crate) mod error;
pub(crate) mod feed;
pub(crate) mod message;
pub(crate) mod thread;
pub(crate) mod upload;
pub(crate) mod user;
pub(crate) mod writer;

pub(crate) use error::Error;
pub use error::OpenError;
pub(crate) use writer::Writer;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// The first release without the WAL-reset race, which can corrupt a database.
const MIN_SQLITE_VERSION: (u32, u32, u32) = (3, 51, 3);
const READERS: u32 = 4;
/// Fail fast: a caller is better served by "unavailable" than by a wait.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a statement waits for a lock that another program holds, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const JOURNAL_SIZE_LIMIT_BYTES: &str = "67108864";

#[derive(Clone, Debug)]
pub(crate) struct Store {
    readers: SqlitePool,
    /// Cancelled when a read finds the database damaged.
    damaged: CancellationToken,
}

impl Store {
    /// Opens or creates the database, brings its schema up to date and checks that it is as durable as
    /// promised.
    pub(crate) async fn open(
        path: &Path,
        damaged: CancellationToken,
    ) -> Result<(Self, Writer), OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("trusted_schema", "OFF")
            .pragma("mmap_size", "0")
            .disable_statement_logging();
        let write_options = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", JOURNAL_SIZE_LIMIT_BYTES)
            .pragma("wal_autocheckpoint", "1000");

        let mut connection = SqliteConnection::connect_with(&write_options).await?;
        check_version(&mut connection).await?;
        check_durability(&mut connection).await?;
        MIGRATOR.run(&mut connection).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => OpenError::NewerSchema(version),
            other => OpenError::Migrate(other),
        })?;
        connection.close().await?;

        let writer = Writer::open(write_options).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.read_only(true).pragma("query_only", "ON"))
            .await?;
        Ok((Self { readers, damaged }, writer))
    }

    /// What a failed read means; the damage that it finds is made known.
    fn failure(&self, error: sqlx::Error) -> Error {
        let error = Error::from(error);
        if let Error::Damaged(_) = error {
            self.damaged.cancel();
        }
        error
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
    }
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let version: String =
        sqlx::query_scalar("select sqlite_version()").fetch_one(connection).await?;
    let mut numbers = version.split('.').map(|part| u32::from_str(part).unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    if (next(), next(), next()) < MIN_SQLITE_VERSION {
        return Err(OpenError::SqliteVersion(version));
    }
    Ok(())
}

/// Reads back what decides whether a commit survives a power cut: the file system or the build may
/// have refused it without an error.
async fn check_durability(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    const FULL: i64 = 2;
    let journal_mode: String =
        sqlx::query_scalar("pragma journal_mode").fetch_one(&mut *connection).await?;
    if journal_mode != "wal" {
        return Err(OpenError::Setting { name: "journal_mode", value: journal_mode });
    }
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(connection).await?;
    if synchronous != FULL {
        return Err(OpenError::Setting { name: "synchronous", value: synchronous.to_string() });
    }
    Ok(())
}
