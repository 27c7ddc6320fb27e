//! The database: the only module, with those below it, that knows SQL.
//!
//! Reads go through a pool of connections that cannot write; all writes go through the one [`Writer`].
//!
//! * [`batch`]: what a batch of writes loads and stores, in set-based statements.
//! * [`feed`], [`message`], [`thread`], [`upload`], [`user`]: a table each.
//! * [`history`]: which history of the database a position belongs to.
//! * [`writer`]: the connection that writes, and what becomes of it after an error.
//! * [`copy`]: from SQLite to PostgreSQL.
//! * [`open_files`]: whether the files of SQLite are still where they were.
//! * [`engine`]: how a statement runs on either engine; [`sqlite`], [`postgres`]: opening each.

use std::sync::Arc;

use sqlx::Connection as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) mod batch;
pub(crate) mod copy;
mod engine;
pub(crate) mod error;
pub(crate) mod feed;
pub(crate) mod history;
pub(crate) mod message;
pub(crate) mod open_files;
mod postgres;
mod sqlite;
pub(crate) mod thread;
pub(crate) mod upload;
pub(crate) mod user;
pub(crate) mod writer;

use self::{engine::Readers, history::History, open_files::OpenFiles, postgres::Prepared};
pub(crate) use self::{error::Error, writer::Writer};
pub use error::OpenError;

use crate::config::Database;

/// Begins a history of which no position from before is a part, in a database that exists; gives its name.
pub(crate) async fn renew_history(database: &Database) -> Result<String, OpenError> {
    let history = match database {
        Database::Sqlite(path) => {
            let mut connection = sqlite::connect_to_existing(path).await?;
            let history = history::sqlite::renew(&mut connection).await?;
            connection.close().await?;
            history
        }
        Database::Postgres(database) => {
            let (mut connection, migrations) = postgres::connect_to_existing(database).await?;
            let history = history::postgres::renew(&mut connection, migrations).await?;
            connection.close().await?;
            history
        }
    };
    Ok(history.epoch(history.start()).to_string())
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    readers: Readers,
    cluster: Option<Uuid>,
    history: History,
    /// Of SQLite.
    open_files: Option<Arc<OpenFiles>>,
    /// Cancelled when a read finds the database damaged.
    damaged: CancellationToken,
}

/// What there is of a SQLite database before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing: it is made.
    Nothing,
    /// A file, of which nothing else is known: its schema may be missing.
    File,
    /// A database that was in use.
    Database,
}

impl Store {
    /// Opens or creates the database, brings its schema up to date and checks that it is as durable as
    /// promised. `expected` is of SQLite alone.
    pub(crate) async fn open(
        database: &Database,
        expected: Expected,
        damaged: CancellationToken,
    ) -> Result<(Self, Writer), OpenError> {
        match database {
            Database::Sqlite(path) => {
                sqlite::prepare(path, expected).await?;
                let open_files = OpenFiles::new(path, damaged.clone()).map_err(sqlx::Error::Io)?;
                let options = sqlite::write_options(path);
                let writer = Writer::sqlite(options, Arc::clone(&open_files)).await?;
                let readers = Readers::Sqlite(sqlite::readers(path).await?);
                let history = writer.history().clone();
                let open_files = Some(open_files);
                Ok((Self { readers, cluster: None, history, open_files, damaged }, writer))
            }
            Database::Postgres(database) => {
                let Prepared { identity, options, migrations } =
                    postgres::prepare(database).await?;
                let history = postgres::open_history(&options, migrations).await?;
                let known =
                    postgres::Known { cluster: identity, migrations, history: history.clone() };
                let writer = Writer::postgres(postgres::write_options(&options), known).await?;
                let readers = Readers::Postgres(postgres::readers(&options, &history));
                let cluster = Some(identity);
                Ok((Self { readers, cluster, history, open_files: None, damaged }, writer))
            }
        }
    }

    /// The identity of a database that other cores may use as well; `None` where this core is alone.
    pub(crate) fn cluster(&self) -> Option<Uuid> {
        self.cluster
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Of SQLite.
    pub(crate) fn open_files(&self) -> Option<Arc<OpenFiles>> {
        self.open_files.clone()
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
