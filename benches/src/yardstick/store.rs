//! What the database itself can do: message-shaped rows through the bare driver, on one connection, with
//! full durability.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use uuid::Uuid;

use crate::{
    Result,
    latency::{Latencies, Summary},
    progress::note,
};

const ROWS_PER_TRANSACTION: i64 = 256;
const DURATION: Duration = Duration::from_secs(4);
const COMMITS: i64 = 500;

const SQLITE_TABLE: &str = "\
    create table messages (id integer primary key, thread_id integer not null, sender blob not null,
        receiver blob not null, body text not null, created integer not null, updated integer not null,
        seen integer not null, deleted integer not null);
    create index messages_thread on messages (thread_id, id)";
const POSTGRES_TABLE: &str = "\
    create table raw_messages (id bigint primary key, thread_id bigint not null, sender uuid not null,
        receiver uuid not null, body text not null, created bigint not null, updated bigint not null,
        seen bool not null, deleted bool not null);
    create index raw_messages_thread on raw_messages (thread_id, id)";
const SQLITE_INSERT: &str =
    "insert into messages values ($1, $2, $3, $4, $5, $6, $6, false, false)";
const POSTGRES_INSERT: &str =
    "insert into raw_messages values ($1, $2, $3, $4, $5, $6, $6, false, false)";

/// The yardstick of a database.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Store {
    pub(crate) rows_per_second: f64,
    /// Of one row, with nobody else there.
    pub(crate) commit_ms: Summary,
}

/// The same for both drivers, whose types have nothing in common but their names.
macro_rules! measure {
    ($connection:ident, $insert:ident) => {{
        let (sender, receiver, body) = (Uuid::new_v4(), Uuid::new_v4(), "x".repeat(64));
        let mut id = 0;
        let mut commits = Latencies::new();
        let mut start = Instant::now();
        // Commits of one row first, then as many full transactions as there is time for.
        for number in 0.. {
            if number == COMMITS {
                start = Instant::now();
            } else if number > COMMITS && start.elapsed() >= DURATION {
                break;
            }
            let rows = if number < COMMITS { 1 } else { ROWS_PER_TRANSACTION };
            let begun = Instant::now();
            let mut transaction = $connection.begin().await?;
            for _ in 0..rows {
                id += 1;
                sqlx::query($insert)
                    .bind(id)
                    .bind(id % 50)
                    .bind(sender)
                    .bind(receiver)
                    .bind(&body)
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            if number < COMMITS {
                commits.record_duration(begun.elapsed());
            }
        }
        let rows_per_second = (id - COMMITS) as f64 / start.elapsed().as_secs_f64();
        Store { rows_per_second, commit_ms: commits.summary() }
    }};
}

pub(crate) async fn sqlite(directory: &Path) -> Result<Store> {
    note("yardstick: SQLite through the bare driver");
    let directory = tempfile::tempdir_in(directory)?;
    let mut connection = SqliteConnectOptions::new()
        .filename(directory.path().join("raw.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    connection.execute(SQLITE_TABLE).await?;
    let store = measure!(connection, SQLITE_INSERT);
    connection.close().await?;
    Ok(store)
}

pub(crate) async fn postgres(url: &str) -> Result<Store> {
    note("yardstick: PostgreSQL through the bare driver");
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(POSTGRES_TABLE).await?;
    let store = measure!(connection, POSTGRES_INSERT);
    connection.execute("drop table raw_messages").await?;
    connection.close().await?;
    Ok(store)
}
