//! The two engines, and how one statement runs on either. Where their dialects agree, a statement is
//! written once; where they differ, the function that runs it says so.

use std::{io, time::Duration};

use sqlx::{Connection as _, PgConnection, SqliteConnection, SqlitePool};
use tokio::time::Instant;

use super::postgres::Pool;
use crate::metrics::StoreMetrics;

/// What a read may take, the wait for a connection included: a caller is better served by "unavailable"
/// than by a wait. SQLite has no server that could hang.
pub(super) const READ_TIMEOUT: Duration = Duration::from_millis(1_800);
/// What a server may take to say that a connection is alive. Beyond it another is opened, for which there is time in
/// that of a read.
pub(super) const PING_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub(super) enum Readers {
    Sqlite(SqlitePool),
    Postgres(Pool),
}

impl Readers {
    pub(super) fn show(&self, name: &'static str, metrics: &StoreMetrics) {
        match self {
            Self::Sqlite(pool) => {
                // A closed one holds no connection, and is not shown.
                let look = |look: fn(&SqlitePool) -> u64| {
                    let pool = pool.clone();
                    move || (!pool.is_closed()).then(|| look(&pool))
                };
                let limit = look(|pool| pool.options().get_max_connections().into());
                metrics.limits.add([("pool", name)], limit);
                let idle = look(|pool| pool.num_idle() as u64);
                metrics.connections.add([("pool", name), ("state", "idle")], idle);
                let busy =
                    look(|pool| u64::from(pool.size()).saturating_sub(pool.num_idle() as u64));
                metrics.connections.add([("pool", name), ("state", "busy")], busy);
            }
            Self::Postgres(pool) => pool.show(name, metrics),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// `read!(store, fetch_all, query)`: runs a query on a connection of the pool, whichever engine it is.
macro_rules! read {
    ($store:expr, $fetch:ident, $query:expr) => {{
        use $crate::store::engine::{Readers, read_postgres};
        let result = match $store.readers()? {
            Readers::Sqlite(pool) => $query.$fetch(pool).await,
            Readers::Postgres(pool) => read_postgres!(pool, $fetch, $query),
        };
        $store.known(result)
    }};
}

/// `read_postgres!(pool, fetch_all, query)`: runs a query on a connection of the pool, within the time for a read.
macro_rules! read_postgres {
    ($pool:expr, $fetch:ident, $query:expr) => {{
        use $crate::store::engine::{READ_TIMEOUT, within};
        let read = async {
            let mut loan = $pool.take().await?;
            let read = $query.$fetch(loan.connection()?).await;
            loan.give_back(&read);
            read
        };
        within(READ_TIMEOUT, read).await
    }};
}

/// `on!(connection, execute, query)`: runs a query on a [`Connection`], whichever engine it is.
macro_rules! on {
    ($connection:expr, execute, $query:expr) => {
        match $connection {
            $crate::store::engine::Connection::Sqlite(connection) => {
                $query.execute(connection).await.map(drop)
            }
            $crate::store::engine::Connection::Postgres(connection) => {
                $query.execute(connection).await.map(drop)
            }
        }
    };
    ($connection:expr, $fetch:ident, $query:expr) => {
        match $connection {
            $crate::store::engine::Connection::Sqlite(connection) => {
                $query.$fetch(connection).await
            }
            $crate::store::engine::Connection::Postgres(connection) => {
                $query.$fetch(connection).await
            }
        }
    };
}

pub(super) use {on, read, read_postgres};

/// Fails where there is no answer within `limit`. What was asked for may still happen.
pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    by(Some(Instant::now() + limit), answer).await
}

/// The same, up to a deadline where there is one.
pub(super) async fn by<T>(
    deadline: Option<Instant>,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let Some(deadline) = deadline else { return answer.await };
    tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| {
        let late = io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time");
        Err(sqlx::Error::Io(late))
    })
}

impl Connection {
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }

    /// Ends it without asking a server that may not answer.
    pub(super) async fn abandon(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => {
                drop(connection);
                Ok(())
            }
        }
    }
}
