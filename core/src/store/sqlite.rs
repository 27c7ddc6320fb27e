//! Opening SQLite: its settings, and whether they make it as durable as promised.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Expected, OpenError, error::not_writable};
use crate::lock::FileId;

mod upgrade;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// The first release without the WAL-reset race, which can corrupt a database.
const MIN_VERSION: (u32, u32, u32) = (3, 51, 3);
/// Of chat, and as many for what takes its time.
const READERS: u32 = 4;
/// Fail fast: a caller is better served by "unavailable" than by a wait.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a statement waits for a lock that another program holds, such as a backup: less than a transaction may take
/// to begin.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1_200);
const JOURNAL_SIZE_LIMIT_BYTES: &str = "67108864";
/// 64 MiB: a page that many commits rewrote is written back to the database once, and few commits have to
/// wait for that. More would make a start after a crash longer.
const CHECKPOINT_PAGES: &str = "16000";
/// 16 MiB, in KiB with a minus: the pages that a batch of many conversations changes. Taken as it is used.
const WRITER_CACHE: &str = "-16384";

/// Of a database that is up to date.
pub(super) fn newest_schema() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        // A message is only written for users and a thread that its transaction has read, and neither is ever removed.
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF")
        .pragma("mmap_size", "0")
        .disable_statement_logging()
}

/// Of a database that exists: one that vanished must not be made anew.
pub(super) fn write_options(path: &Path) -> SqliteConnectOptions {
    options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", JOURNAL_SIZE_LIMIT_BYTES)
        // What a set-based statement changes is kept for its own rollback, in a file unless told.
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("cache_size", WRITER_CACHE)
}

const HAS_SCHEMA: &str = "\
    select exists (select 1 from sqlite_schema where type = 'table' and name = '_sqlx_migrations')";

/// Not committed: a start does not wait for the disk.
const TRY_WRITING: &str = "\
    begin immediate;
    insert into write_probe (id, written) values (1, 0) on conflict (id) do update set written = 0;
    rollback";

/// A database that is as it has to be.
pub(super) struct Prepared {
    /// For writing. Whoever closes it while no other is open writes back what the log holds, which takes its time.
    pub(super) connection: SqliteConnection,
    /// Of the file that it has open.
    pub(super) file: FileId,
    /// There was nothing of ours in it.
    pub(super) is_new: bool,
}

/// Opens or, where that was found to be right, creates the database, checks that it is as durable as promised, and brings its
/// schema up to date.
pub(super) async fn prepare(
    path: &Path,
    expected: Expected,
    require_data: bool,
) -> Result<Prepared, OpenError> {
    if expected == Expected::Nothing && require_data {
        return Err(OpenError::NoData);
    }
    let options = write_options(path).create_if_missing(expected == Expected::Nothing);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    // At once: an upgrade may take its time, and another file be put in its place meanwhile.
    let file = FileId::of(path).map_err(sqlx::Error::Io)?.ok_or(OpenError::OtherFile)?;
    check_version(&mut connection).await?;
    check_durability(&mut connection).await?;
    let has_schema: bool = sqlx::query_scalar(HAS_SCHEMA).fetch_one(&mut connection).await?;
    if expected == Expected::Database && !has_schema {
        return Err(OpenError::OtherFile);
    }
    if !has_schema && require_data {
        return Err(OpenError::NoData);
    }
    upgrade::run(&mut connection, &MIGRATOR, path, has_schema).await?;
    // One that is open for reading alone, because it is another user's or its file system's, says so when it is written.
    if let Err(error) = sqlx::raw_sql(TRY_WRITING).execute(&mut connection).await
        && let Some(error) = not_writable(error)
    {
        return Err(error);
    }
    Ok(Prepared { connection, file, is_new: !has_schema })
}

/// To a database that is there, whoever else uses it.
pub(super) async fn connect_to_existing(path: &Path) -> Result<SqliteConnection, OpenError> {
    let mut connection = SqliteConnection::connect_with(&write_options(path)).await?;
    check_durability(&mut connection).await?;
    Ok(connection)
}

/// The first of them is open, so that a start finds out whether one can be.
pub(super) async fn readers(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    reader_pool().connect_with(read_options(path)).await
}

/// Opened as they are needed.
pub(super) fn bulk_readers(path: &Path) -> SqlitePool {
    reader_pool().connect_lazy_with(read_options(path))
}

/// A connection is asked when it is given back, which is enough where no server is between.
fn reader_pool() -> SqlitePoolOptions {
    let options = SqlitePoolOptions::new().max_connections(READERS);
    options.acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false)
}

fn read_options(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true).pragma("query_only", "ON")
}

/// Writes back what the log holds and makes its file empty, unless others read what was there before for longer than this
/// waits: they hold it, and are asked again.
pub(super) async fn empty_log(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    const EMPTY: &str = "pragma busy_timeout = 200; pragma wal_checkpoint(truncate)";
    sqlx::raw_sql(EMPTY).execute(&mut *connection).await?;
    let usual = format!("pragma busy_timeout = {}", BUSY_TIMEOUT.as_millis());
    sqlx::raw_sql(sqlx::AssertSqlSafe(usual)).execute(connection).await?;
    Ok(())
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let version: String =
        sqlx::query_scalar("select sqlite_version()").fetch_one(connection).await?;
    let mut numbers = version.split('.').map(|part| u32::from_str(part).unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    if (next(), next(), next()) < MIN_VERSION {
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
