//! Files that are being uploaded.

use super::{
    Error, Store,
    engine::{Connection, Readers, on, read, read_postgres},
    history::Start,
};

const SQLITE_LIST_CUT_OFF: &str = "\
    select path from uploads u
    where u.erased is null
        and not exists (select 1 from messages m where m.attachment_path = u.path)";
/// Those of deleted messages, which are noted when these are deleted, and of removed ones, which note that they were.
const LIST_ERASED: &str = "\
    select u.path from uploads u
    where u.path > $1 and (u.erased is not null
        or exists (select 1 from messages m where m.attachment_path = u.path and m.deleted))
    order by u.path limit 1000";
/// How many there are at most in a list.
pub(crate) const ERASED_AT_A_TIME: usize = 1_000;
/// The file of the newest message that was removed.
const IS_REMOVED_FILE: &str = "select exists (select 1 from removed_file where path = $1)";
/// By the clock of the database, which all cores share.
macro_rules! now {
    () => {
        "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
    };
}
/// Begun twice as long ago as an upload may take. Only in this start: with notes of an earlier one the database may be a
/// copy, whose original has finished these uploads since. Cores of earlier versions do not name the start.
const POSTGRES_LIST_CUT_OFF: &str = concat!(
    "select path from uploads where start in ($1, 0) and erased is null and begun < ",
    now!(),
    " - 7200000000 limit 1000"
);
const SQLITE_BEGIN: &str = "insert into uploads (path, start) values ($1, $2)";
const POSTGRES_BEGIN: &str =
    concat!("insert into uploads (path, begun, start) values ($1, ", now!(), ", $2)");
const END: &str = "delete from uploads where path = $1";

impl Store {
    /// Files begun whose messages will never be stored. With SQLite that is all of them, as long as this core
    /// has begun none; a database that several cores share tells by their age.
    pub(crate) async fn list_cut_off_uploads(&self) -> Result<Vec<String>, Error> {
        let paths = match self.readers()? {
            Readers::Sqlite(pool) => sqlx::query_scalar(SQLITE_LIST_CUT_OFF).fetch_all(pool).await,
            Readers::Postgres(pool) => {
                let query = sqlx::query_scalar(POSTGRES_LIST_CUT_OFF).bind(self.history.start());
                read_postgres!(pool, fetch_all, query)
            }
        };
        self.known(paths)
    }
}

impl Store {
    /// Files of messages that were deleted or removed, in the order of their paths, [`ERASED_AT_A_TIME`] at most.
    pub(crate) async fn list_erased_files(&self, after: &str) -> Result<Vec<String>, Error> {
        read!(self, fetch_all, sqlx::query_scalar(LIST_ERASED).bind(after))
    }

    /// Whether a file is that of the newest message of those that were removed with theirs. Of a database that one core has for
    /// itself.
    pub(crate) async fn is_removed_file(&self, path: &str) -> Result<bool, Error> {
        let Readers::Sqlite(pool) = self.readers()? else { return Ok(false) };
        self.known(sqlx::query_scalar(IS_REMOVED_FILE).bind(path).fetch_one(pool).await)
    }
}

pub(super) async fn begin(
    connection: &mut Connection,
    path: &str,
    start: Start,
) -> Result<(), sqlx::Error> {
    match connection {
        Connection::Sqlite(connection) => {
            sqlx::query(SQLITE_BEGIN).bind(path).bind(start).execute(connection).await.map(drop)
        }
        Connection::Postgres(connection) => {
            sqlx::query(POSTGRES_BEGIN).bind(path).bind(start).execute(connection).await.map(drop)
        }
    }
}

pub(super) async fn end(connection: &mut Connection, path: &str) -> Result<(), sqlx::Error> {
    on!(connection, execute, sqlx::query(END).bind(path))
}
