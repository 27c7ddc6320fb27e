//! The database: the only module, with those below it, that knows SQL.
//!
//! Reads go through a pool of connections that cannot write; all writes go through the one [`Writer`].
//!
//! * [`batch`]: what a batch of writes loads and stores, in set-based statements.
//! * [`feed`], [`message`], [`thread`], [`upload`], [`user`]: a table each.
//! * [`writer`]: the connection that writes, and what becomes of it after an error.
//! * [`copy`]: from SQLite to PostgreSQL.
//! * [`engine`]: how a statement runs on either engine; [`sqlite`], [`postgres`]: opening each.

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) mod batch;
pub(crate) mod copy;
mod engine;
pub(crate) mod error;
pub(crate) mod feed;
pub(crate) mod message;
mod postgres;
mod sqlite;
pub(crate) mod thread;
pub(crate) mod upload;
pub(crate) mod user;
pub(crate) mod writer;

use self::engine::Readers;
pub(crate) use self::{error::Error, writer::Writer};
pub use error::OpenError;

use crate::config::Database;

#[derive(Clone, Debug)]
pub(crate) struct Store {
    readers: Readers,
    cluster: Option<Uuid>,
    /// Cancelled when a read finds the database damaged.
    damaged: CancellationToken,
}

impl Store {
    /// Opens or creates the database, brings its schema up to date and checks that it is as durable as
    /// promised.
    pub(crate) async fn open(
        database: &Database,
        damaged: CancellationToken,
    ) -> Result<(Self, Writer), OpenError> {
        match database {
            Database::Sqlite(path) => {
                sqlite::prepare(path).await?;
                let writer = Writer::sqlite(sqlite::write_options(path)).await?;
                let readers = Readers::Sqlite(sqlite::readers(path).await?);
                Ok((Self { readers, cluster: None, damaged }, writer))
            }
            Database::Postgres(url) => {
                let cluster = Some(postgres::prepare(&url.0).await?);
                postgres::check_copied(&url.0).await?;
                let writer = Writer::postgres(postgres::write_options(&url.0)).await?;
                let readers = Readers::Postgres(postgres::readers(&url.0));
                Ok((Self { readers, cluster, damaged }, writer))
            }
        }
    }

    /// The identity of a database that other cores may use as well; `None` where this core is alone.
    pub(crate) fn cluster(&self) -> Option<Uuid> {
        self.cluster
    }

    /// What a failed read means; the damage that it finds is made known.
    fn failure(&self, error: sqlx::Error) -> Error {
        let error = Error::from(error);
        if let Error::Damaged(_) = error {
            self.damaged.cancel();
        }
        error
    }

    pub(crate) async fn close(&self) {
        match &self.readers {
            Readers::Sqlite(pool) => pool.close().await,
            // A server that does not answer must not hold up the end of the process.
            Readers::Postgres(pool) => {
                let _ = tokio::time::timeout(engine::READ_TIMEOUT, pool.close()).await;
            }
        }
    }
}
