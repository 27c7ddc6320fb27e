//! A database of SQLite that another program has: opened to be read alone, and without anything of ours left beside it.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::OriginalError;

/// For whoever has it locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Where the header says how it is written and read; 2 is with a write-ahead log.
const VERSIONS: std::ops::Range<usize> = 18..20;
const WITH_LOG: u8 = 2;

pub(super) async fn open(path: PathBuf) -> Result<SqliteConnection, OriginalError> {
    let asked = path.clone();
    let looked = tokio::task::spawn_blocking(move || look(&asked)).await;
    if let Err(error) = looked.map_err(io::Error::other).flatten() {
        return Err(OriginalError::File { path, error });
    }
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF")
        .pragma("query_only", "ON")
        .disable_statement_logging();
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// Whoever opens a database that has a write-ahead log makes the files of it that are missing, also to read alone. They would be
/// ours, and its own program could write no more.
fn look(path: &Path) -> io::Result<()> {
    let found = path.metadata()?;
    if !found.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut header = [0; VERSIONS.end];
    match File::open(path)?.read_exact(&mut header) {
        // A new one is empty.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        read => read?,
    }
    let has_log = header.get(VERSIONS).is_some_and(|versions| versions.contains(&WITH_LOG));
    let us = rustix::process::geteuid().as_raw();
    if has_log && !has_files(path)? && !may_make_files(found.uid(), us) {
        return Err(io::Error::other(format!(
            "it has a write-ahead log, whose files (-wal, -shm) would be made for the user {us}, so \
             that its own user, {}, cannot write any more: run this as that user, or while the \
             original has it open",
            found.uid()
        )));
    }
    Ok(())
}

/// SQLite gives those that the superuser makes to the owner of the database.
fn may_make_files(owner: u32, us: u32) -> bool {
    us == owner || us == 0
}

fn has_files(path: &Path) -> io::Result<bool> {
    // As SQLite does, which follows links.
    let path = path.canonicalize()?;
    let beside = |suffix: &str| {
        let mut name = OsString::from(&path);
        name.push(suffix);
        Path::new(&name).try_exists()
    };
    Ok(beside("-wal")? && beside("-shm")?)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::chown};

    use super::*;

    async fn with_log(path: &Path) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let options = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
        let table = sqlx::raw_sql("create table t (id integer)");
        table.execute(&mut connection).await.expect("a table");
        connection
    }

    #[test]
    fn files_beside_are_made_for_the_owner_alone() {
        for (owner, us, may) in [(1_000, 1_000, true), (1_000, 1_001, false), (1_000, 0, true)] {
            assert_eq!(may_make_files(owner, us), may, "{owner} {us}");
        }
        assert!(!may_make_files(0, 1_000));
    }

    #[tokio::test]
    async fn files_of_the_log_are_there_while_it_is_open() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("db.sqlite3");
        let connection = with_log(&path).await;
        assert!(has_files(&path).expect("looked"));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        assert!(has_files(&link).expect("looked"));
        connection.close().await.expect("closed");
        assert!(!has_files(&path).expect("looked"));
        // Ours.
        open(path).await.expect("opened");
    }

    /// Only the superuser can give a file away: with files of the log that are no other's, nobody is refused.
    #[tokio::test]
    async fn what_the_superuser_makes_is_the_owners() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("db.sqlite3");
        with_log(&path).await.close().await.expect("closed");
        if chown(&path, Some(12_345), Some(12_345)).is_err() {
            return;
        }
        let mut connection = open(path.clone()).await.expect("opened");
        let count = sqlx::query_scalar::<_, i64>("select count(*) from t");
        assert_eq!(count.fetch_one(&mut connection).await.expect("a count"), 0);
        for name in ["db.sqlite3-wal", "db.sqlite3-shm"] {
            let made = fs::metadata(directory.path().join(name)).expect(name);
            assert_eq!(made.uid(), 12_345, "{name}");
        }
    }
}
