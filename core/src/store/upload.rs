//! Files that are being uploaded.

use sqlx::SqliteConnection;

use super::{Error, Store};

const LIST: &str = "select path from uploads";
const BEGIN: &str = "insert into uploads (path) values ($1)";
const END: &str = "delete from uploads where path = $1";

impl Store {
    /// The files begun whose messages are not stored.
    pub(crate) async fn list_uploads(&self) -> Result<Vec<String>, Error> {
        let paths = sqlx::query_scalar(LIST).fetch_all(&self.readers).await;
        paths.map_err(|error| self.failure(error))
    }
}

pub(super) async fn begin(
    connection: &mut SqliteConnection,
    path: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(BEGIN).bind(path).execute(connection).await.map(drop)
}

pub(super) async fn end(connection: &mut SqliteConnection, path: &str) -> Result<(), sqlx::Error> {
    sqlx::query(END).bind(path).execute(connection).await.map(drop)
}
