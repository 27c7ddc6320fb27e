//! What the database's errors mean for those who called.
//!
//! * [`words`]: how they are told to the operator.

use std::io;

use sqlx::{
    error::DatabaseError,
    migrate::MigrateError,
    postgres::{PgDatabaseError, PgSeverity},
};

mod words;

use self::words::MigrationWords;
pub(crate) use self::words::Words;

/// Why a read or a write failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It may work later: the server is gone, the disk is full, a lock is held, an I/O error.
    #[error("{}", Words(.0))]
    Unavailable(sqlx::Error),
    /// Another transaction was in the way; this one may be tried again at once.
    #[error("{}", Words(.0))]
    Conflict(sqlx::Error),
    /// The file is not sound, or what was written may not have reached the disk: nothing must be
    /// acknowledged any more.
    #[error("{}", Words(.0))]
    Damaged(sqlx::Error),
    /// The statement itself is at fault.
    #[error("{}", Words(.0))]
    Rejected(sqlx::Error),
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}", Words(.0))]
    Connect(#[from] sqlx::Error),
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it cannot be written: {}", Words(.0))]
    NotWritable(sqlx::Error),
    #[error("migration failed: {}", MigrationWords(.0))]
    Migrate(MigrateError),
    #[error("it has no table of netrox-chat: another file is in its place")]
    OtherFile,
    #[error(
        "to bring it up to date takes {needed} bytes of its disk, which has {free}: make room, and start again"
    )]
    NoRoomForUpgrade { needed: u64, free: u64 },
    #[error("its schema (migration {0}) is newer than this program")]
    NewerSchema(i64),
    #[error("SQLite {0} can corrupt a database; 3.51.3 or newer is needed")]
    SqliteVersion(String),
    #[error("PostgreSQL {0} is too old; 15 or newer is needed")]
    PostgresVersion(String),
    #[error("it is the database of another deployment")]
    OtherDeployment,
    #[error(
        "its schema is that of migration {found}, and this core was started on that of {expected}: start \
         it again"
    )]
    OlderSchema { found: i64, expected: i64 },
    #[error(
        "its schema is that of migration {found}, and this program reads that of {expected}: use the program of the \
         server that runs on it"
    )]
    OtherSchema { found: i64, expected: i64 },
    #[error(
        "it is on timeline {timeline}, and the same system was promoted to {known} since: what it takes \
         would be lost"
    )]
    OldTimeline { timeline: i64, known: i64 },
    #[error("it does not have the history that this core writes to")]
    OtherHistory,
    #[error(
        "schemas {0} have tables of netrox-chat, each of its own: name one with --database-schema"
    )]
    SeveralSchemas(String),
    #[error(
        "the search_path given is {path}, but the tables are in schema {ours}: name the schema that \
         is meant with --database-schema"
    )]
    SchemaNotInPath { path: String, ours: String },
    #[error("it has no schema {named:?}, and the tables are in {ours} (--database-schema)")]
    MissingSchema { named: String, ours: String },
    #[error(
        "the role can make tables in no schema of its search_path: name one with --database-schema"
    )]
    NoSchema,
    #[error("it has no tables of netrox-chat")]
    NoTables,
    #[error("it has no data of netrox-chat, and --require-existing-data makes no new chat")]
    NoData,
    #[error("it is being copied into")]
    Copying,
    #[error("a copy into it was not finished: run netrox-chat migrate again")]
    UnfinishedCopy,
    #[error("{name} is \"{value}\": committed messages could be lost, or be seen out of order")]
    Setting { name: &'static str, value: String },
    #[error(
        "a session has none of the settings that it was opened with: what is in between drops them, as poolers \
         do; connect to the server itself"
    )]
    SessionSettings,
    #[error(
        "--search needs the extension pg_trgm, and it cannot be made: {}; as the owner of the database or a superuser run: \
         create extension pg_trgm (its files come with PostgreSQL's contrib package), or start without --search",
        Words(.0)
    )]
    NoTrigrams(sqlx::Error),
    #[error(
        "the index for --search cannot be made: {}; start a core of this version with --search once as the owner of the \
         tables",
        Words(.0)
    )]
    SearchNotMade(sqlx::Error),
    #[error(
        "the index for --search cannot be made: the table messages stayed locked by {holder}; wait for its end, and start again"
    )]
    SearchLocked { holder: String },
    #[error("{0}: a pooler is in between; connect to the server itself")]
    Pooler(String),
}

impl OpenError {
    /// Whether the file is one of a database, and not sound.
    pub(crate) fn is_damage(&self) -> bool {
        let (Self::Connect(error) | Self::Migrate(MigrateError::Execute(error))) = self else {
            return false;
        };
        is_damage(error)
    }

    /// Whether the database is there as far as is known, and may be in reach later.
    #[expect(clippy::wildcard_enum_match_arm, reason = "an enum of sqlx")]
    pub(crate) fn is_out_of_reach(&self) -> bool {
        let Self::Connect(error) = self else { return false };
        let is_wrong = match error {
            sqlx::Error::Configuration(_) => true,
            sqlx::Error::Database(database) => {
                database.try_downcast_ref::<PgDatabaseError>().is_none()
                    && sqlite_code(&**database) & SQLITE_ERROR_MASK == SQLITE_CANTOPEN
            }
            _ => false,
        };
        !is_wrong && matches!(meaning(error), Meaning::Unavailable | Meaning::Conflict)
    }
}

/// What a write that was tried out says of the database: `None` where it may be written in a while, because there is no
/// room or another has it locked.
pub(super) fn not_writable(error: sqlx::Error) -> Option<OpenError> {
    let sqlx::Error::Database(database) = &error else { return Some(OpenError::Connect(error)) };
    if let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>() {
        let passes =
            is_postgres_full(postgres) || matches!(postgres_meaning(postgres), Meaning::Conflict);
        // A right, a server that only reads, a table that is not there. The rest may be a server that ends.
        let is_kept_out = ["42501", "25006", "42P01"].contains(&postgres.code());
        return match (passes, is_kept_out) {
            (true, _) => None,
            (false, true) => Some(OpenError::NotWritable(error)),
            (false, false) => Some(OpenError::Connect(error)),
        };
    }
    let code = sqlite_code(&**database);
    match (sqlite_meaning(code), code & SQLITE_ERROR_MASK) {
        (Meaning::Damaged, _) => Some(OpenError::Connect(error)),
        (_, SQLITE_BUSY | SQLITE_LOCKED | SQLITE_FULL | SQLITE_NOMEM | SQLITE_INTERRUPT) => None,
        _ => Some(OpenError::NotWritable(error)),
    }
}

/// Whether an error tells of a SQLite file that is one of a database, and not sound.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else { return false };
    let code = sqlite_code(&**database);
    database.try_downcast_ref::<PgDatabaseError>().is_none()
        && code & SQLITE_ERROR_MASK != SQLITE_NOTADB
        && matches!(sqlite_meaning(code), Meaning::Damaged)
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of sqlx")]
pub(super) fn migration_failed(error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMissing(version) => OpenError::NewerSchema(version),
        other => OpenError::Migrate(other),
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match meaning(&error) {
            Meaning::Unavailable => Self::Unavailable(error),
            Meaning::Conflict => Self::Conflict(error),
            Meaning::Damaged => Self::Damaged(error),
            Meaning::Rejected => Self::Rejected(error),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of sqlx")]
fn meaning(error: &sqlx::Error) -> Meaning {
    match error {
        // What is tried again goes without it.
        error if is_of_index(error) => Meaning::Conflict,
        sqlx::Error::Database(database) => {
            if let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>() {
                postgres_meaning(postgres)
            } else {
                sqlite_meaning(sqlite_code(&**database))
            }
        }
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Configuration(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Io(_) => Meaning::Unavailable,
        _ => Meaning::Rejected,
    }
}

enum Meaning {
    Unavailable,
    Conflict,
    Damaged,
    Rejected,
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
/// Of a virtual table, which the index for search is alone: the tables are well.
const SQLITE_CORRUPT_VTAB: u32 = SQLITE_CORRUPT | 1 << 8;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_PROTOCOL: u32 = 15;
const SQLITE_CONSTRAINT: u32 = 19;
const SQLITE_NOTADB: u32 = 26;
const SQLITE_IOERR_FSYNC: u32 = SQLITE_IOERR | 4 << 8;
const SQLITE_IOERR_DIR_FSYNC: u32 = SQLITE_IOERR | 5 << 8;
const SQLITE_IOERR_DATA: u32 = SQLITE_IOERR | 32 << 8;
const SQLITE_IOERR_CORRUPTFS: u32 = SQLITE_IOERR | 33 << 8;

fn sqlite_meaning(code: u32) -> Meaning {
    match code {
        // The kernel drops what it failed to write and reports it once: a later fsync
        // that succeeds proves nothing.
        SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC => return Meaning::Damaged,
        SQLITE_IOERR_DATA | SQLITE_IOERR_CORRUPTFS => return Meaning::Damaged,
        _ => {}
    }
    match code & SQLITE_ERROR_MASK {
        SQLITE_CORRUPT | SQLITE_NOTADB => Meaning::Damaged,
        SQLITE_BUSY | SQLITE_LOCKED | SQLITE_NOMEM | SQLITE_READONLY | SQLITE_INTERRUPT
        | SQLITE_IOERR | SQLITE_FULL | SQLITE_CANTOPEN | SQLITE_PROTOCOL => Meaning::Unavailable,
        _ => Meaning::Rejected,
    }
}

/// Whether the index for search of SQLite is damaged: a constraint of ours is named where it fails, one within a virtual table not.
pub(super) fn is_of_index(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else { return false };
    let code = sqlite_code(&**database);
    let is_nameless = database.message() == "constraint failed";
    database.try_downcast_ref::<PgDatabaseError>().is_none()
        && (code == SQLITE_CORRUPT_VTAB
            || is_nameless && code & SQLITE_ERROR_MASK == SQLITE_CONSTRAINT)
}

fn sqlite_code(error: &dyn DatabaseError) -> u32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Where an id can be taken only if its sequence gave it before.
const ID_CONSTRAINTS: [&str; 4] = ["messages_pkey", "messages_id", "threads_pkey", "users_pkey"];

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>, mostly by class. Damage that the server
/// reports is the server's: ending this process would not protect anything.
fn postgres_meaning(error: &PgDatabaseError) -> Meaning {
    match error.code() {
        // A quota has no code of its own.
        _ if is_postgres_full(error) => Meaning::Unavailable,
        "40001" | "40P01" | "55P03" => Meaning::Conflict,
        // The server became a standby, or has ended a session that stood still.
        "25006" | "25P03" | "25P04" => Meaning::Unavailable,
        // A right was taken away, a table or its schema moved: no statement is at fault.
        "42501" | "42P01" | "3F000" => Meaning::Unavailable,
        // The sequence was put back. A new connection puts it ahead again.
        "23505" if error.constraint().is_some_and(|name| ID_CONSTRAINTS.contains(&name)) => {
            Meaning::Conflict
        }
        code => match code.get(..2) {
            // Connection, authorization, no such database, resources, intervention, system errors.
            Some("08" | "28" | "3D" | "53" | "57" | "58") => Meaning::Unavailable,
            _ => Meaning::Rejected,
        },
    }
}

/// Also where the words of the file system are all that tells.
fn is_postgres_full(error: &PgDatabaseError) -> bool {
    const DISK_FULL: &str = "53100";
    error.code() == DISK_FULL
        || ["No space left on device", "Disk quota exceeded"]
            .iter()
            .any(|words| error.message().contains(words))
}

/// Whether a server takes no connection at the moment: others have all that there are, or it is starting.
pub(super) fn is_refused_for_now(error: &sqlx::Error) -> bool {
    const TOO_MANY_CONNECTIONS: &str = "53300";
    has_code(error, TOO_MANY_CONNECTIONS) || is_starting(error)
}

/// Whether the server starts, or ends.
pub(super) fn is_starting(error: &sqlx::Error) -> bool {
    const CANNOT_CONNECT_NOW: &str = "57P03";
    has_code(error, CANNOT_CONNECT_NOW)
}

/// Whether the session that it came from can be asked for something else: what it says is of one statement.
pub(super) fn leaves_session(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else { return false };
    let postgres = database.try_downcast_ref::<PgDatabaseError>();
    postgres.is_some_and(|postgres| {
        !matches!(postgres.severity(), PgSeverity::Fatal | PgSeverity::Panic)
    })
}

/// By the limit for a statement.
pub(super) const QUERY_CANCELED: &str = "57014";

pub(super) fn has_code(error: &sqlx::Error, code: &str) -> bool {
    let sqlx::Error::Database(database) = error else { return false };
    let postgres = database.try_downcast_ref::<PgDatabaseError>();
    postgres.is_some_and(|postgres| postgres.code() == code)
}

/// Whether a number was asked for that the server has not given to any transaction yet.
pub(super) fn is_number_of_none(error: &sqlx::Error) -> bool {
    const INVALID_PARAMETER_VALUE: &str = "22023";
    let sqlx::Error::Database(database) = error else { return false };
    let postgres = database.try_downcast_ref::<PgDatabaseError>();
    postgres.is_some_and(|postgres| {
        postgres.code() == INVALID_PARAMETER_VALUE
            && matches!(postgres.severity(), PgSeverity::Error)
    })
}

impl Error {
    fn cause(&self) -> &sqlx::Error {
        let (Self::Unavailable(error)
        | Self::Conflict(error)
        | Self::Damaged(error)
        | Self::Rejected(error)) = self;
        error
    }

    /// Whether a function is not there, or not ours to execute. A right to a table may be missing, too.
    pub(super) fn is_about_a_function(&self) -> bool {
        const UNDEFINED_FUNCTION: &str = "42883";
        const INSUFFICIENT_PRIVILEGE: &str = "42501";
        [UNDEFINED_FUNCTION, INSUFFICIENT_PRIVILEGE].iter().any(|code| has_code(self.cause(), code))
    }

    /// Whether the index for search of SQLite is damaged.
    pub(super) fn is_of_index(&self) -> bool {
        is_of_index(self.cause())
    }

    /// Whether it took too long, or another transaction was in its way: of a database that may be well.
    pub(crate) fn is_of_the_moment(&self) -> bool {
        match self {
            Self::Conflict(_) => true,
            Self::Unavailable(sqlx::Error::Io(error)) => error.kind() == io::ErrorKind::TimedOut,
            Self::Unavailable(error) | Self::Damaged(error) | Self::Rejected(error) => {
                has_code(error, QUERY_CANCELED)
            }
        }
    }

    /// Whether too many reads waited for a connection, of a database that is well.
    pub(crate) fn is_for_want_of_readers(&self) -> bool {
        matches!(self, Self::Unavailable(sqlx::Error::PoolTimedOut))
    }

    /// What is written could not be written back.
    pub(super) fn no_room_for_log() -> Self {
        let cause = "the disk has no room for what the log of the database holds";
        Self::Unavailable(sqlx::Error::Io(io::Error::new(io::ErrorKind::StorageFull, cause)))
    }

    /// Whether there was no room for what was to be written.
    pub(crate) fn is_full(&self) -> bool {
        if let sqlx::Error::Io(error) = self.cause() {
            return error.kind() == io::ErrorKind::StorageFull;
        }
        let sqlx::Error::Database(database) = self.cause() else { return false };
        match database.try_downcast_ref::<PgDatabaseError>() {
            Some(postgres) => is_postgres_full(postgres),
            None => sqlite_code(&**database) & SQLITE_ERROR_MASK == SQLITE_FULL,
        }
    }

    /// Whether a commit that failed like this has stored nothing for certain.
    pub(super) fn leaves_nothing(&self) -> bool {
        let sqlx::Error::Database(database) = self.cause() else { return false };
        match database.try_downcast_ref::<PgDatabaseError>() {
            // The server has answered that it rolled back; it says more than an error where it ends itself.
            Some(postgres) => matches!(postgres.severity(), PgSeverity::Error),
            // The last frame, without which the others do not count, was never written.
            // Virtual tables write what they have before that.
            None if self.is_of_index() => true,
            None => matches!(
                sqlite_code(&**database) & SQLITE_ERROR_MASK,
                SQLITE_FULL | SQLITE_BUSY | SQLITE_LOCKED
            ),
        }
    }
}
