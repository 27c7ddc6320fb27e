//! A copy of a SQLite database that may be in use, and what a copy has.
//!
//! `vacuum into` reads in one transaction, which never holds a writer up. Meanwhile the write-ahead log keeps what is committed,
//! as with every way that gives a consistent copy: SQLite's backup interface either holds such a transaction as well, or begins
//! anew at each commit of another process. A copy by `vacuum into` has no free pages, and no log.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, FromRow, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use uuid::Uuid;

use super::{
    Expected, OpenError,
    error::{Words, is_damage},
    history::{History, Start},
    sqlite,
};

/// For whoever has the database locked: a start after a crash, for example.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Names of files that are read in one transaction.
const PAGE_FILES: i64 = 10_000;

const HAS_SCHEMA: &str = "\
    select count(*) = 2 from sqlite_schema where type = 'table' and name in ('_sqlx_migrations', 'starts')";
const SCHEMA: &str = "select coalesce(max(version), 0) from _sqlx_migrations where success";
const HAS_IDENTITY: &str =
    "select exists (select 1 from sqlite_schema where type = 'table' and name = 'identity')";
const IDENTITY: &str = "select id from identity";
const STARTS: &str = "select coalesce(min(start), 0), coalesce(max(start), 0) from starts";
const NEWEST_MESSAGE: &str = "select coalesce(max(id), 0) from messages";
/// The file of a deleted message is removed.
const FILES: &str = "\
    select attachment_path as path, coalesce(attachment_size, 0) as bytes, deleted from messages
    where attachment_path > $1 order by attachment_path limit $2";
const NAMES: &str =
    "select exists (select 1 from messages where attachment_path = $1 and not deleted)";
/// The first lines are enough to know that it is not sound.
const CHECK: &str = "pragma integrity_check(3)";
const SOUND: &str = "ok";
const HAS_TICKETS: &str =
    "select exists (select 1 from sqlite_schema where type = 'table' and name = 'ticket_keys')";
const LEAVE_OUT_TICKETS: [&str; 2] = ["delete from ticket_keys", "delete from spent_tickets"];
const WRITE_BACK: &str = "pragma wal_checkpoint(truncate)";

/// Why a copy could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("{}", Words(.0))]
pub struct SnapshotError(#[from] sqlx::Error);

impl SnapshotError {
    /// Whether the database that was read is not sound.
    pub(crate) fn is_damage(&self) -> bool {
        is_damage(&self.0)
    }
}

/// A database that is only read, whoever else uses it.
#[derive(Debug)]
pub(crate) struct Reader(SqliteConnection);

/// What there is to say of a copy.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The number of its last migration.
    pub(crate) schema: i64,
    /// By which a database is known again; none where it was not brought up to date since it has one.
    pub(crate) identity: Option<String>,
    /// The name of its history; none before the first.
    pub(crate) epoch: Option<String>,
    /// The greatest identifier of a message; 0 where there is none.
    pub(crate) newest_message: i64,
}

/// A file that a message refers to.
#[derive(Debug, Clone)]
pub(crate) struct NamedFile {
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

#[derive(FromRow)]
struct FileRow {
    path: String,
    bytes: i64,
    deleted: bool,
}

impl Reader {
    /// Of a database of ours, which must exist.
    pub(crate) async fn open(path: &Path) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let has_schema: bool = sqlx::query_scalar(HAS_SCHEMA).fetch_one(&mut connection).await?;
        if has_schema { Ok(Self(connection)) } else { Err(OpenError::OtherFile) }
    }

    /// To read what else it has.
    pub(super) fn into_connection(self) -> SqliteConnection {
        self.0
    }

    pub(crate) async fn close(self) -> Result<(), SnapshotError> {
        Ok(self.0.close().await?)
    }

    /// Copies it into a file that is not there yet. The copy has one instant, and no log.
    pub(crate) async fn copy_to(&mut self, path: &str) -> Result<(), SnapshotError> {
        sqlx::query("vacuum into $1").bind(path).execute(&mut self.0).await?;
        Ok(())
    }

    pub(crate) async fn facts(&mut self) -> Result<Facts, SnapshotError> {
        let schema = sqlx::query_scalar(SCHEMA).fetch_one(&mut self.0).await?;
        let (first, latest): (Start, Start) = sqlx::query_as(STARTS).fetch_one(&mut self.0).await?;
        let history = History::of_starts(first, latest);
        let epoch = (latest != Start::default()).then(|| history.epoch(latest).to_string());
        let newest_message = sqlx::query_scalar(NEWEST_MESSAGE).fetch_one(&mut self.0).await?;
        let identity = self.identity().await?;
        Ok(Facts { schema, identity, epoch, newest_message })
    }

    pub(crate) async fn identity(&mut self) -> Result<Option<String>, SnapshotError> {
        let has_identity: bool = sqlx::query_scalar(HAS_IDENTITY).fetch_one(&mut self.0).await?;
        if !has_identity {
            return Ok(None);
        }
        let identity: Option<Uuid> =
            sqlx::query_scalar(IDENTITY).fetch_optional(&mut self.0).await?;
        Ok(identity.map(|identity| identity.to_string()))
    }

    /// The files that messages refer to, after that of the last page; none where there are no more.
    pub(crate) async fn files_after(
        &mut self,
        last: &mut String,
    ) -> Result<Option<Vec<NamedFile>>, SnapshotError> {
        let query = sqlx::query_as(FILES).bind(last.as_str()).bind(PAGE_FILES);
        let rows: Vec<FileRow> = query.fetch_all(&mut self.0).await?;
        let Some(end) = rows.last() else { return Ok(None) };
        last.clone_from(&end.path);
        let files = rows.into_iter().filter(|row| !row.deleted);
        Ok(Some(
            files
                .map(|FileRow { path, bytes, .. }| NamedFile { path, bytes: bytes.unsigned_abs() })
                .collect(),
        ))
    }

    /// Whether a message refers to a file.
    pub(crate) async fn names(&mut self, path: &str) -> Result<bool, SnapshotError> {
        Ok(sqlx::query_scalar(NAMES).bind(path).fetch_one(&mut self.0).await?)
    }

    /// What is not sound of it, in a line.
    pub(crate) async fn find_damage(&mut self) -> Result<Option<String>, SnapshotError> {
        let told: Result<Vec<String>, _> = sqlx::query_scalar(CHECK).fetch_all(&mut self.0).await;
        match told {
            Ok(lines) if lines == [SOUND] => Ok(None),
            Ok(lines) => Ok(Some(lines.join("; "))),
            Err(error) if is_damage(&error) => Ok(Some(Words(&error).to_string())),
            Err(error) => Err(error.into()),
        }
    }
}

/// Takes out of a copy what tickets and links are signed with: who can read a copy is not to speak for a user. Which were used goes
/// with it, as what begins on a copy is a history in which no ticket of before is one.
pub(crate) async fn leave_out_tickets(path: &Path) -> Result<(), SnapshotError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        // Nor is it left in free pages, or in a file of its own.
        .pragma("secure_delete", "ON")
        .journal_mode(SqliteJournalMode::Memory)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging();
    let mut copy = SqliteConnection::connect_with(&options).await?;
    // A database that was not brought up to date has none.
    let has_tickets: bool = sqlx::query_scalar(HAS_TICKETS).fetch_one(&mut copy).await?;
    if has_tickets {
        let mut transaction = copy.begin().await?;
        for leave_out in LEAVE_OUT_TICKETS {
            sqlx::query(leave_out).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    Ok(copy.close().await?)
}

/// Whether this program knows the schema of a copy.
pub(crate) fn is_known_schema(schema: i64) -> bool {
    schema <= sqlite::newest_schema()
}

/// Brings a copy that nobody uses up to date, and begins a history of which no position from before is a part; gives its name.
pub(crate) async fn make_ready(path: &Path) -> Result<String, OpenError> {
    let prepared = sqlite::prepare(path, Expected::Database, true).await?;
    let mut connection = prepared.connection;
    let history = super::history::sqlite::renew(&mut connection).await?;
    // Closing would write back what the log has as well, but say nothing if the disk is full.
    let (busy, ..): (i64, i64, i64) = sqlx::query_as(WRITE_BACK).fetch_one(&mut connection).await?;
    if busy != 0 {
        return Err(OpenError::Unreadable(
            "its log was not written back: another program uses it".to_owned(),
        ));
    }
    connection.close().await?;
    Ok(history.epoch(history.start()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8; 32] = b"a key that signs what users show";

    async fn copy_of(directory: &Path, schema: &[&'static str]) -> std::path::PathBuf {
        let source = directory.join("chat.db");
        let options = SqliteConnectOptions::new()
            .filename(&source)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
        for statement in ["create table _sqlx_migrations (version)", "create table starts (start)"]
            .iter()
            .chain(schema)
        {
            sqlx::query(*statement).execute(&mut connection).await.expect("done");
        }
        let copy = directory.join("copy.db");
        let mut reader = Reader::open(&source).await.expect("ours");
        reader.copy_to(copy.to_str().expect("text")).await.expect("a copy");
        reader.close().await.expect("closed");
        connection.close().await.expect("closed");
        copy
    }

    fn has_key(path: &Path) -> bool {
        std::fs::read(path).expect("a file").windows(KEY.len()).any(|bytes| bytes == KEY)
    }

    #[tokio::test]
    async fn a_copy_has_nothing_that_signs() {
        let directory = tempfile::tempdir().expect("a directory");
        let schema = [
            "create table ticket_keys (id integer primary key, key blob not null)",
            "create table spent_tickets (id blob primary key) strict, without rowid",
            "insert into ticket_keys values (1, 'a key that signs what users show')",
            "insert into spent_tickets values (randomblob(16))",
        ];
        let copy = copy_of(directory.path(), &schema).await;
        assert!(has_key(&copy));
        leave_out_tickets(&copy).await.expect("taken out");
        assert!(!has_key(&copy));
        let mut reader = Reader::open(&copy).await.expect("ours");
        for count in ["select count(*) from ticket_keys", "select count(*) from spent_tickets"] {
            let count: i64 = sqlx::query_scalar(count).fetch_one(&mut reader.0).await.expect("one");
            assert_eq!(count, 0);
        }
        assert_eq!(reader.find_damage().await.expect("looked at"), None);
        let names: Vec<_> = std::fs::read_dir(directory.path()).expect("there").collect();
        assert!(names.len() <= 4, "it leaves files behind: {names:?}");
    }

    #[tokio::test]
    async fn a_database_of_before_has_none_to_leave_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let copy = copy_of(directory.path(), &[]).await;
        leave_out_tickets(&copy).await.expect("nothing to do");
        Reader::open(&copy).await.expect("ours");
    }
}
