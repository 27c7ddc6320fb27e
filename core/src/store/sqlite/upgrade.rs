//! Bringing the tables of an older database up to date. It may take its time: the operator is told what goes on. Each migration is
//! one transaction, so that a start that is ended leaves none half-way.

use std::{path::Path, pin::pin, time::Duration};

use sqlx::{SqliteConnection, migrate::Migrator};
use tokio::time::{Instant, interval_at};

use super::super::{OpenError, error::migration_failed, log_room};

/// What a migration may add per message: an entry of an index, first in the log and then in the database.
const BYTES_PER_MESSAGE: u64 = 2 * 24;
/// How often is told that it is still at work.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

const LAST: &str = "select max(version) from _sqlx_migrations";
const MESSAGES: &str = "select count(*) from messages";

/// Of a database that has tables of ours, or none.
pub(super) async fn run(
    connection: &mut SqliteConnection,
    migrator: &Migrator,
    path: &Path,
    has_schema: bool,
) -> Result<(), OpenError> {
    let messages = if has_schema { waiting(connection, migrator).await? } else { 0 };
    let mut migrated = pin!(migrator.run(&mut *connection));
    if messages == 0 {
        return migrated.await.map_err(migration_failed);
    }
    let needed = messages.saturating_mul(BYTES_PER_MESSAGE);
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let free = log_room::free_beside(Path::new(&log)).unwrap_or(u64::MAX);
    if free < needed {
        return Err(OpenError::NoRoomForUpgrade { needed, free });
    }
    tracing::info!(messages, "the database is brought up to date");
    let began = Instant::now();
    let mut tell = interval_at(began + TELL_INTERVAL, TELL_INTERVAL);
    loop {
        tokio::select! {
            done = &mut migrated => {
                done.map_err(migration_failed)?;
                tracing::info!(duration_seconds = began.elapsed().as_secs(), "the database is up to date");
                return Ok(());
            }
            _ = tell.tick() => tracing::info!(
                duration_seconds = began.elapsed().as_secs(),
                "the database is still brought up to date: a start that is ended begins this anew"
            ),
        }
    }
}

/// How many messages there are in a database that is not up to date.
async fn waiting(connection: &mut SqliteConnection, migrator: &Migrator) -> Result<u64, OpenError> {
    let last: Option<i64> = sqlx::query_scalar(LAST).fetch_one(&mut *connection).await?;
    let newest = migrator.iter().map(|migration| migration.version).max();
    // Before the first migration there is no table of messages.
    if last.is_none() || last >= newest {
        return Ok(0);
    }
    let messages: i64 = sqlx::query_scalar(MESSAGES).fetch_one(connection).await?;
    Ok(messages.unsigned_abs())
}
