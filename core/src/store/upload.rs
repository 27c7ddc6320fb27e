//! Files that are being uploaded.

use super::{
    Error, Store,
    engine::{Connection, Readers, on, read_postgres},
};

const SQLITE_LIST_CUT_OFF: &str = "select path from uploads";
/// By the clock of the database, which all cores share.
macro_rules! now {
    () => {
        "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
    };
}
/// Twice as long as an upload may take.
const POSTGRES_LIST_CUT_OFF: &str =
    concat!("select path from uploads where begun < ", now!(), " - 7200000000 limit 1000");
const SQLITE_BEGIN: &str = "insert into uploads (path) values ($1)";
const POSTGRES_BEGIN: &str = concat!("insert into uploads (path, begun) values ($1, ", now!(), ")");
const END: &str = "delete from uploads where path = $1";

impl Store {
    /// Files begun whose messages will never be stored. With SQLite that is all of them, as long as this core
    /// has begun none; a database that several cores share tells by their age.
    pub(crate) async fn list_cut_off_uploads(&self) -> Result<Vec<String>, Error> {
        let paths = match &self.readers {
            Readers::Sqlite(pool) => sqlx::query_scalar(SQLITE_LIST_CUT_OFF).fetch_all(pool).await,
            Readers::Postgres(pool) => {
                read_postgres!(pool, fetch_all, sqlx::query_scalar(POSTGRES_LIST_CUT_OFF))
            }
        };
        paths.map_err(|error| self.failure(error))
    }
}

pub(super) async fn begin(connection: &mut Connection, path: &str) -> Result<(), sqlx::Error> {
    match connection {
        Connection::Sqlite(connection) => {
            sqlx::query(SQLITE_BEGIN).bind(path).execute(connection).await.map(drop)
        }
        Connection::Postgres(connection) => {
            sqlx::query(POSTGRES_BEGIN).bind(path).execute(connection).await.map(drop)
        }
    }
}

pub(super) async fn end(connection: &mut Connection, path: &str) -> Result<(), sqlx::Error> {
    on!(connection, execute, sqlx::query(END).bind(path))
}
