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
    #[error("migration failed: {0}")]
    Migrate(MigrateError),
    #[error("its schema (migration {0}) is newer than this program")]
    NewerSchema(i64),
    #[error("SQLite {0} can corrupt a database; 3.51.3 or newer is needed")]
    SqliteVersion(String),
    #[error("{name} is \"{value}\" and cannot be changed")]
    Setting { name: &'static str, value: String },
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
        let code = database.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
        match code {
            // The kernel drops what it failed to write and reports it once: a later fsync
            // that succeeds proves nothing.
            SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC => return Self::Damaged(error),
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
