//! Copying a SQLite database into an empty PostgreSQL database, and comparing the two.
//!
//! The copy goes table by table in the order of the primary keys, a page a transaction. So what is there is always
//! the beginning of what shall be there, and a copy that was cut off goes on where it stopped.
//!
//! * [`table`]: what there is to copy, and how a page of it is read and written.

use std::{path::Path, time::Duration};

use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection, SqliteConnection};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub(super) mod table;

use self::table::{
    Block, Erasure, ExternalId, Feed, FeedStart, HiddenUser, LastSeen, Message, Notice, SentForm,
    Start, Table, Thread, ThreadState, Upload, User, UserStorage,
};
use super::{Expected, OpenError, error::Words, postgres, sqlite};
use crate::config::PostgresDatabase;

/// Rows read and written at a time.
const PAGE_ROWS: i64 = 2_000;
/// Held by one copy at a time.
const LOCK: &str = "select pg_try_advisory_lock(hashtext('netrox-chat copy'))";
const IDENTITY: &str = "select id from identity";
const FIND_COPIES: &str = "select source, finished from copy";
const FORGET_STARTS: &str = "delete from starts";
const BEGIN_COPY: &str = "insert into copy (source) values ($1)";
const FINISH_COPY: &str = "update copy set finished = true where source = $1";
const RECORD_TABLE: &str = "\
    insert into copied_tables (name, hash) values ($1, $2)
    on conflict (name) do update set hash = excluded.hash";
const FIND_HASH: &str = "select hash from copied_tables where name = $1";
const IS_EMPTY: &str = "select not exists (select 1 from users)";
/// The next values are those after the copied ones.
const SET_SEQUENCES: [&str; 3] = [
    "select setval(pg_get_serial_sequence('users', 'key'), coalesce(max(key), 0) + 1, false) from users",
    "select setval('message_ids', coalesce(max(id), 0) + 1, false) from messages",
    "select setval('thread_ids', coalesce(max(id), 0) + 1, false) from threads",
];
const ANALYZE: &str = "analyze";

/// For the lock of another copy that has just ended.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// Why a copy could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("{0}")]
    Source(OpenError),
    #[error("{0}")]
    Target(OpenError),
    #[error("it is being copied into by another process")]
    Busy,
    #[error("a core uses it: stop all cores on it first")]
    InUse,
    #[error("it has data that did not come from this source: give an empty database")]
    NotEmpty,
    #[error(
        "it is a finished copy, and the source has changed since (table {0}): give an empty database"
    )]
    SourceChanged(&'static str),
    #[error("table {table} differs from the source: {source_rows} rows there, {target_rows} here")]
    Differs { table: &'static str, source_rows: u64, target_rows: u64 },
    #[error("reading the source failed: {}", Words(.0))]
    Read(sqlx::Error),
    #[error("writing failed: {}", Words(.0))]
    Write(sqlx::Error),
}

/// What was copied and compared of one table.
#[derive(Debug, Clone)]
pub struct CopiedTable {
    pub name: &'static str,
    pub rows: u64,
    /// SHA-256 of all rows, in hexadecimal digits.
    pub hash: String,
}

/// How a copy ended.
#[derive(Debug)]
pub enum Copied {
    /// Now, and found to be the same.
    Tables(Vec<CopiedTable>),
    /// Before: the target may have been in use since, the source was not.
    Already,
}

/// Copies all of `source` to `target`. To be called while no core uses either.
pub(crate) async fn copy(
    source: &Path,
    target: &PostgresDatabase,
    mut progress: impl FnMut(&'static str, u64),
) -> Result<Copied, CopyError> {
    let prepared = sqlite::prepare(source, Expected::Database, true).await;
    let mut source = prepared.map_err(CopyError::Source)?.connection;
    let id: Uuid =
        sqlx::query_scalar(IDENTITY).fetch_one(&mut source).await.map_err(CopyError::Read)?;

    let mut target = postgres::connect_for_copy(target).await.map_err(CopyError::Target)?;
    let mut tables = Vec::new();
    let (from, to, told) = (&mut source, &mut target, &mut progress);
    if begin(to, id).await? == EarlierCopy::Finished {
        check_unchanged::<User>(from, to).await?;
        check_unchanged::<ExternalId>(from, to).await?;
        check_unchanged::<Feed>(from, to).await?;
        check_unchanged::<FeedStart>(from, to).await?;
        check_unchanged::<Thread>(from, to).await?;
        check_unchanged::<Message>(from, to).await?;
        check_unchanged::<ThreadState>(from, to).await?;
        check_unchanged::<Block>(from, to).await?;
        check_unchanged::<HiddenUser>(from, to).await?;
        // Not the starts and the uploads: a core that was only started adds its own, and removes what was cut off.
        return Ok(Copied::Already);
    }
    tables.push(copy_table::<User>(from, to, told).await?);
    tables.push(copy_table::<ExternalId>(from, to, told).await?);
    tables.push(copy_table::<Feed>(from, to, told).await?);
    tables.push(copy_table::<Start>(from, to, told).await?);
    tables.push(copy_table::<FeedStart>(from, to, told).await?);
    tables.push(copy_table::<Thread>(from, to, told).await?);
    tables.push(copy_table::<Message>(from, to, told).await?);
    tables.push(copy_table::<ThreadState>(from, to, told).await?);
    tables.push(copy_table::<Block>(from, to, told).await?);
    tables.push(copy_table::<HiddenUser>(from, to, told).await?);
    tables.push(copy_table::<LastSeen>(from, to, told).await?);
    tables.push(copy_table::<SentForm>(from, to, told).await?);
    tables.push(copy_table::<Upload>(from, to, told).await?);
    tables.push(copy_table::<Erasure>(from, to, told).await?);
    tables.push(copy_table::<UserStorage>(from, to, told).await?);
    tables.push(copy_table::<Notice>(from, to, told).await?);
    // Not the refused sends: what is still on its way was sent to the core of the source, which has ended.
    for statement in SET_SEQUENCES {
        sqlx::query(statement).execute(&mut target).await.map_err(CopyError::Write)?;
    }
    sqlx::query(ANALYZE).execute(&mut target).await.map_err(CopyError::Write)?;
    sqlx::query(FINISH_COPY).bind(id).execute(&mut target).await.map_err(CopyError::Write)?;
    target.close().await.map_err(CopyError::Write)?;
    source.close().await.map_err(CopyError::Read)?;
    Ok(Copied::Tables(tables))
}

#[derive(PartialEq, Eq)]
enum EarlierCopy {
    Copying,
    Finished,
}

/// The server notices a while after the end of a process that its session has ended, and with it its lock.
async fn lock(target: &mut PgConnection) -> Result<(), CopyError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        let is_locked: bool =
            sqlx::query_scalar(LOCK).fetch_one(&mut *target).await.map_err(CopyError::Write)?;
        match is_locked {
            true => return Ok(()),
            false if Instant::now() >= deadline => return Err(CopyError::Busy),
            false => sleep(LOCK_INTERVAL).await,
        }
    }
}

/// Notes whose copy the target is, or finds that it is the copy of something else.
async fn begin(target: &mut PgConnection, source: Uuid) -> Result<EarlierCopy, CopyError> {
    lock(target).await?;
    let copies: Vec<(Uuid, bool)> =
        sqlx::query_as(FIND_COPIES).fetch_all(&mut *target).await.map_err(CopyError::Write)?;
    match copies.first() {
        Some((of, _)) if *of != source => return Err(CopyError::NotEmpty),
        Some((_, true)) => return Ok(EarlierCopy::Finished),
        Some(_) | None => {}
    }
    // Before looking: from here on the first user of a core comes after the copy.
    let without_cores = postgres::lock_out_cores(target).await.map_err(CopyError::Write)?;
    let is_new = copies.is_empty();
    if is_new {
        let is_empty: bool =
            sqlx::query_scalar(IS_EMPTY).fetch_one(&mut *target).await.map_err(CopyError::Write)?;
        if !is_empty {
            return Err(CopyError::NotEmpty);
        }
    }
    if !without_cores {
        return Err(CopyError::InUse);
    }
    if is_new {
        // A core that had nobody to serve may have noted its own.
        sqlx::query(FORGET_STARTS).execute(&mut *target).await.map_err(CopyError::Write)?;
        sqlx::query(BEGIN_COPY).bind(source).execute(target).await.map_err(CopyError::Write)?;
    }
    Ok(EarlierCopy::Copying)
}

async fn copy_table<T: Table>(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
    progress: &mut impl FnMut(&'static str, u64),
) -> Result<CopiedTable, CopyError> {
    let mut last = T::last(target).await.map_err(CopyError::Write)?.unwrap_or_else(T::before_all);
    let mut copied = 0;
    loop {
        let rows = T::read_sqlite(source, &last, PAGE_ROWS).await.map_err(CopyError::Read)?;
        let Some(newest) = rows.last() else { break };
        last = newest.key();
        copied += rows.len() as u64;
        T::write(target, rows).await.map_err(CopyError::Write)?;
        progress(T::NAME, copied);
    }
    let compared = compare::<T>(source, target).await?;
    let record = sqlx::query(RECORD_TABLE).bind(compared.name).bind(&compared.hash);
    record.execute(target).await.map_err(CopyError::Write)?;
    Ok(compared)
}

/// Whether a table of the source still is what was copied; the target may have grown since. A program that reads
/// other columns than the one that copied finds a change.
async fn check_unchanged<T: Table>(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
) -> Result<(), CopyError> {
    let copied: Option<String> = sqlx::query_scalar(FIND_HASH)
        .bind(T::NAME)
        .fetch_optional(target)
        .await
        .map_err(CopyError::Write)?;
    let here = Content::of_source::<T>(source).await?.digest();
    if copied == Some(here) { Ok(()) } else { Err(CopyError::SourceChanged(T::NAME)) }
}

async fn compare<T: Table>(
    source: &mut SqliteConnection,
    target: &mut PgConnection,
) -> Result<CopiedTable, CopyError> {
    let there = Content::of_source::<T>(source).await?;
    let here = Content::of_target::<T>(target).await?;
    let (source_rows, target_rows) = (there.rows, here.rows);
    let hash = here.digest();
    if there.digest() != hash {
        return Err(CopyError::Differs { table: T::NAME, source_rows, target_rows });
    }
    Ok(CopiedTable { name: T::NAME, rows: target_rows, hash })
}

/// All rows of a table, from its beginning.
#[derive(Default)]
struct Content {
    rows: u64,
    hash: Sha256,
}

impl Content {
    async fn of_source<T: Table>(source: &mut SqliteConnection) -> Result<Self, CopyError> {
        let mut content = Self::default();
        let mut last = T::before_all();
        loop {
            let rows = T::read_sqlite(source, &last, PAGE_ROWS).await.map_err(CopyError::Read)?;
            let Some(newest) = rows.last() else { return Ok(content) };
            last = newest.key();
            content.add(&rows);
        }
    }

    async fn of_target<T: Table>(target: &mut PgConnection) -> Result<Self, CopyError> {
        let mut content = Self::default();
        let mut last = T::before_all();
        loop {
            let rows =
                T::read_postgres(target, &last, PAGE_ROWS).await.map_err(CopyError::Write)?;
            let Some(newest) = rows.last() else { return Ok(content) };
            last = newest.key();
            content.add(&rows);
        }
    }

    fn add<T: Table>(&mut self, rows: &[T]) {
        for row in rows {
            self.rows += 1;
            // Every field with its name, quoted: no two rows look alike.
            self.hash.update(format!("{row:?}\n"));
        }
    }

    /// In hexadecimal digits.
    fn digest(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
