//! What the database's errors mean for those who called.

use sqlx::migrate::MigrateError;

/// Why a read or a write failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It may work later: the disk is full, a lock is held, an I/O error.
    #[error("{0}")]
    Unavailable(sqlx::Error),
    /// The file is not sound, or what was written may not have reached the disk: nothing must be
    /// acknowledged any more.
    #[error("{0}")]
    Damaged(sqlx::Error),
    /// The statement itself is at fault.
    #[error("{0}")]
    Rejected(sqlx::Error),
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Sqlite(#[from] sqlx::Error),
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("migration failed: {0}")]
    Migrate(MigrateError),
    #[error("its schema (migration {0}) is newer than this program")]
    NewerSchema(i64),
    #[error("SQLite {0} can corrupt a database; 3.51.3 or newer is needed")]
    SqliteVersion(String),
    #[error("{name} is \"{value}\" and cannot be changed")]
    Setting { name: &'static str, value: String },
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

// https://www.sqlite.org/rescode.html
const SQLITE_ERROR_MASK: u32 = 0xff;
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_NOMEM: u32 = 7;
const SQLITE_READONLY: u32 = 8;
const SQLITE_INTERRUPT: u32 = 9;
const SQLITE_IOERR: u32 = 10;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_PROTOCOL: u32 = 15;
const SQLITE_NOTADB: u32 = 26;
const SQLITE_IOERR_FSYNC: u32 = SQLITE_IOERR | 4 << 8;
const SQLITE_IOERR_DIR_FSYNC: u32 = SQLITE_IOERR | 5 << 8;
const SQLITE_IOERR_DATA: u32 = SQLITE_IOERR | 32 << 8;
const SQLITE_IOERR_CORRUPTFS: u32 = SQLITE_IOERR | 33 << 8;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return match error {
                sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Io(_) => Self::Unavailable(error),
                _ => Self::Rejected(error),
            };
        };
        let code = code_of(&**database);
        match code {
            // The kernel drops what it failed to write and reports it once: a later fsync
            // that succeeds proves nothing.
            SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC => return Self::Damaged(error),
            SQLITE_IOERR_DATA | SQLITE_IOERR_CORRUPTFS => return Self::Damaged(error),
            _ => {}
        }
        match code & SQLITE_ERROR_MASK {
            SQLITE_CORRUPT | SQLITE_NOTADB => Self::Damaged(error),
            SQLITE_BUSY | SQLITE_LOCKED | SQLITE_NOMEM | SQLITE_READONLY | SQLITE_INTERRUPT
            | SQLITE_IOERR | SQLITE_FULL | SQLITE_CANTOPEN | SQLITE_PROTOCOL => {
                Self::Unavailable(error)
            }
            _ => Self::Rejected(error),
        }
    }
}

fn code_of(error: &dyn sqlx::error::DatabaseError) -> u32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or(0)
}

impl Error {
    /// Whether a commit that failed like this has stored nothing for certain: its last frame, without
    /// which the others do not count, was never written.
    pub(super) fn leaves_nothing(&self) -> bool {
        let (Self::Unavailable(error) | Self::Damaged(error) | Self::Rejected(error)) = self;
        let sqlx::Error::Database(database) = error else { return false };
        matches!(
            code_of(&**database) & SQLITE_ERROR_MASK,
            SQLITE_FULL | SQLITE_BUSY | SQLITE_LOCKED
        )
    }
}
