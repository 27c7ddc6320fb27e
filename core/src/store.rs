//! The database: the only module, with those below it, that knows SQL.
//!
//! Reads go through a pool of connections that cannot write; all writes go through the one [`Writer`].
//!
//! * [`batch`]: what a batch of writes loads and stores, in set-based statements.
//! * [`external_id`], [`feed`], [`message`], [`session`], [`thread`], [`ticket`], [`upload`], [`user`]: a table each.
//! * [`quota`]: what users have taken of their quotas.
//! * [`history`]: which history of the database a position belongs to.
//! * [`reach`]: whether the database can be read.
//! * [`search`]: what messages are found by.
//! * [`retention`]: what is too old goes; [`erasure`]: what a user has sent, who was deleted.
//! * [`writer`]: the connection that writes, and what becomes of it after an error.
//! * [`copy`]: from SQLite to PostgreSQL; [`snapshot`]: a copy of SQLite for a backup.
//! * [`transfer`]: what exports read, and imports write.
//! * [`examine`]: whether a database is as it has to be, for the operator.
//! * [`open_files`]: whether the files of SQLite are still where they were.
//! * [`engine`]: how a statement runs on either engine; [`sqlite`], [`postgres`]: opening each.

use std::sync::Arc;

use sqlx::Connection as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) mod batch;
pub(crate) mod block;
pub(crate) mod copy;
mod engine;
pub(crate) mod erasure;
pub(crate) mod error;
mod examine;
pub(crate) mod external_id;
pub(crate) mod feed;
pub(crate) mod history;
mod log_growth;
mod log_room;
pub(crate) mod message;
pub(crate) mod open_files;
mod postgres;
pub(crate) mod presence;
pub(crate) mod quota;
mod reach;
pub(crate) mod retention;
pub(crate) mod search;
pub(crate) mod session;
pub(crate) mod snapshot;
mod sqlite;
pub(crate) mod standing;
pub(crate) mod thread;
mod thread_page;
pub(crate) mod thread_state;
pub(crate) mod ticket;
pub(crate) mod transfer;
pub(crate) mod upload;
pub(crate) mod user;
pub(crate) mod writer;

use self::{
    engine::Readers,
    history::History,
    open_files::OpenFiles,
    postgres::{BULK_READERS, Patience, Pool, Prepared, READERS},
    reach::Reach,
};
pub(crate) use self::{
    error::Error,
    examine::{Needs, examine_postgres, examine_sqlite},
    writer::Writer,
};
pub use error::OpenError;

use crate::{config::Database, metrics::StoreMetrics, quotas::Quotas};

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

/// Whether the database takes writes, as the last commit found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatabaseState {
    Serving,
    /// Writes fail; they may work later.
    Unavailable,
    /// Nothing must be acknowledged any more.
    Damaged,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    readers: Readers,
    /// For what takes its time.
    bulk: Readers,
    reach: Arc<Reach>,
    cluster: Option<Uuid>,
    history: History,
    /// Of SQLite.
    open_files: Option<Arc<OpenFiles>>,
    /// Cancelled when a read finds the database damaged.
    damaged: CancellationToken,
    /// Of the index for search.
    index_damage: search::Damage,
}

/// A database that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    /// Whether there was nothing of ours in it.
    pub(crate) is_new: bool,
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
    /// promised. `expected` is of SQLite alone, as is whether it `retains` messages only for some time. With `require_data` a database without tables of ours is refused.
    pub(crate) async fn open(
        database: &Database,
        expected: Expected,
        require_data: bool,
        damaged: CancellationToken,
        quotas: Quotas,
        searches: bool,
        retains: bool,
    ) -> Result<Opened, OpenError> {
        match database {
            Database::Sqlite(path) => {
                let mut prepared = sqlite::prepare(path, expected, require_data).await?;
                search::sqlite::enter(&mut prepared.connection, searches).await?;
                retention::enter(&mut prepared.connection, retains).await?;
                let is_new = prepared.is_new;
                let open_files = OpenFiles::new(path, prepared.file, damaged.clone());
                let open_files = open_files.map_err(sqlx::Error::Io)?;
                let files = Arc::clone(&open_files);
                let (connection, options) = (prepared.connection, sqlite::write_options(path));
                let index_damage = search::Damage::default();
                let index = (searches, index_damage.clone());
                let writer = Writer::sqlite(connection, options, files, quotas, index).await?;
                let readers = Readers::Sqlite(sqlite::readers(path).await?);
                let bulk = Readers::Sqlite(sqlite::bulk_readers(path));
                let reach = Arc::default();
                let history = writer.history().clone();
                let open_files = Some(open_files);
                let cluster = None;
                let store = Self {
                    readers,
                    bulk,
                    reach,
                    cluster,
                    history,
                    open_files,
                    damaged,
                    index_damage,
                };
                Ok(Opened { store, writer, is_new })
            }
            Database::Postgres(database) => {
                let Prepared { identity, options, migrations, is_new } =
                    postgres::prepare(database, require_data, searches, Patience::ENDLESS).await?;
                let history = postgres::open_history(&options, migrations).await?;
                let known = postgres::Known {
                    cluster: identity,
                    migrations,
                    history: history.clone(),
                    notices: Arc::default(),
                    accepted: database.accepted,
                };
                let options_of_writer = postgres::write_options(&options, &quotas, searches);
                let writer = Writer::postgres(options_of_writer, known, quotas, searches).await?;
                let lifetime = database.connection_lifetime;
                let open = |most| Pool::open(&options, &history, most, lifetime);
                let (readers, bulk) = tokio::join!(open(READERS), open(BULK_READERS));
                let (readers, bulk) = (Readers::Postgres(readers), Readers::Postgres(bulk));
                let (cluster, open_files, reach) = (Some(identity), None, Arc::default());
                let index_damage = search::Damage::default();
                let store = Self {
                    readers,
                    bulk,
                    reach,
                    cluster,
                    history,
                    open_files,
                    damaged,
                    index_damage,
                };
                Ok(Opened { store, writer, is_new })
            }
        }
    }

    /// Has the metrics show the connections that read.
    pub(crate) fn show(&self, metrics: &StoreMetrics) {
        self.readers.show("chat", metrics);
        self.bulk.show("bulk", metrics);
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

    /// The same database by connections of its own, for what takes its time: it takes none of those that chat needs.
    pub(crate) fn for_bulk(&self) -> Self {
        Self { readers: self.bulk.clone(), ..self.clone() }
    }

    /// How the database is: asked before a read, where others have failed. To be called once.
    pub(crate) fn ask_first(&self, is_well: impl Fn() -> bool + Send + Sync + 'static) {
        self.reach.ask_first(is_well);
    }

    /// Refused at once while the database is known to be away.
    fn readers(&self) -> Result<&Readers, Error> {
        self.reach.may_read()?;
        Ok(&self.readers)
    }

    /// Whether the database was found damaged, or no longer where it was.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.is_cancelled()
    }

    /// What a read has found, or what its failure means; the damage that it finds is made known.
    fn known<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, Error> {
        let result = self.reach.learn(result);
        if let Err(Error::Damaged(_)) = result {
            self.damaged.cancel();
        }
        result
    }

    /// Warns where somebody keeps PostgreSQL from cleaning up what sends replace, and has the metrics show it. Does not end by
    /// itself there.
    pub(crate) async fn watch_snapshots(&self, metrics: &StoreMetrics) {
        if let Readers::Postgres(pool) = &self.bulk {
            postgres::watch_snapshots(pool, &metrics.snapshot_held).await;
        }
    }

    pub(crate) async fn close(&self) {
        for readers in [&self.bulk, &self.readers] {
            match readers {
                Readers::Sqlite(pool) => pool.close().await,
                // A server that does not answer must not hold up the end of the process.
                Readers::Postgres(pool) => {
                    let _ = tokio::time::timeout(engine::READ_TIMEOUT, pool.close()).await;
                }
            }
        }
    }
}
