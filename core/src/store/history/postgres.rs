//! The history of a PostgreSQL database. It may have gone back wherever the server was started, promoted or restored: then
//! the first core that connects notes a start, which the others share.
//!
//! A server says who it is by its system identifier, its timeline (a promotion begins another), and the time at which
//! it was started. A dump that is restored into a running server shows by the transactions that wrote the rows.

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{History, Start, margin};
use crate::store::{OpenError, postgres::sequences};

/// The run of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(in crate::store) struct Server {
    system_identifier: i64,
    timeline: i64,
    /// Microseconds since the epoch.
    server_started: i64,
}

/// `pg_control_checkpoint()` shows the old timeline for minutes after a promotion, the name of the current log file at once.
macro_rules! server {
    () => {
        "(select system_identifier from pg_control_system()) as system_identifier,
        ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint as timeline,
        (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint as server_started"
    };
}
const CLUSTER: &str = "select id from cluster";
const SCHEMA: &str = "select coalesce(max(version), 0) from _sqlx_migrations where success";
const SERVER: &str = concat!("select ", server!());
const LATEST: &str = "\
    select start, system_identifier, timeline, server_started, xmin = written_by as is_untouched
    from starts order by start desc limit 1";
const FIRST: &str = "select coalesce(min(start), 0) from starts";
/// Held to the end of the transaction.
const LOCK: &str = "select pg_advisory_xact_lock(hashtext('netrox-chat starts'))";
const NOW: &str = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
const NEWEST: &str = "select created from messages order by id desc limit 1";
const NOTE: &str = concat!(
    "insert into starts (start, began, system_identifier, timeline, server_started)
    select $1, $2, ",
    server!()
);
const LOCK_FEEDS: &str = "\
    select count(*) from (select 1 from feeds order by user_key for update) as locked";
/// What a session of ours that reads has to find.
const IS_KNOWN: &str = "select exists (select 1 from starts where start = $1)";

#[derive(Debug, FromRow)]
struct LatestRow {
    start: Start,
    #[sqlx(flatten)]
    server: Server,
    /// It was written here, and not restored.
    is_untouched: bool,
}

/// At the opening of the core: of a database that this core knows nothing about yet.
pub(in crate::store) async fn open(connection: &mut PgConnection) -> Result<History, OpenError> {
    let (start, server) = find_or_note(connection).await?;
    let first: Start = sqlx::query_scalar(FIRST).fetch_one(connection).await?;
    Ok(History::new(first, start, Some(server)))
}

/// On each new connection that writes: refuses another deployment's database, another version's schema, and a server that
/// was left behind by a promotion. Gives the start that the connection works in.
pub(in crate::store) async fn enter(
    connection: &mut PgConnection,
    cluster: Uuid,
    schema: i64,
    history: &History,
) -> Result<Start, OpenError> {
    let found: Uuid = sqlx::query_scalar(CLUSTER).fetch_one(&mut *connection).await?;
    if found != cluster {
        return Err(OpenError::OtherDeployment);
    }
    let version: i64 = sqlx::query_scalar(SCHEMA).fetch_one(&mut *connection).await?;
    // A newer one has been made by a core of a later version, for whose sake none that runs is disturbed.
    if version < schema {
        return Err(OpenError::OtherSchema { found: version, expected: schema });
    }
    let known = history.state().server;
    let server: Server = sqlx::query_as(SERVER).fetch_one(&mut *connection).await?;
    if let Some(known) = known.filter(|known| server.is_left_behind(known)) {
        let (timeline, known) = (server.timeline, known.timeline);
        return Err(OpenError::OldTimeline { timeline, known });
    }
    let before = history.start();
    let (start, server) = find_or_note(connection).await?;
    if start != before {
        history.enter(start, Some(server));
        let epoch = history.epoch(start);
        match known.map(|known| server.differs_by(&known)) {
            Some(cause) => tracing::warn!(
                %epoch, server.timeline,
                "the database may have gone back, because {cause}: subscriptions whose position is \
                 no part of its history end"
            ),
            None => tracing::info!(%epoch, "a start of the database is noted"),
        }
    }
    Ok(start)
}

/// On each new connection that reads. What a server shows that is not in our history would be taken for it.
pub(in crate::store) async fn check_reader(
    connection: &mut PgConnection,
    history: &History,
) -> Result<(), OpenError> {
    let (start, known) = {
        let state = history.state();
        (state.start, state.server)
    };
    let server: Server = sqlx::query_as(SERVER).fetch_one(&mut *connection).await?;
    if let Some(known) = known.filter(|known| server.is_left_behind(known)) {
        let (timeline, known) = (server.timeline, known.timeline);
        return Err(OpenError::OldTimeline { timeline, known });
    }
    let is_known: bool = sqlx::query_scalar(IS_KNOWN).bind(start).fetch_one(connection).await?;
    if is_known { Ok(()) } else { Err(OpenError::OtherHistory) }
}

impl Server {
    /// The same system was promoted elsewhere since.
    fn is_left_behind(&self, known: &Self) -> bool {
        self.system_identifier == known.system_identifier && self.timeline < known.timeline
    }

    fn differs_by(&self, known: &Self) -> &'static str {
        if self.system_identifier != known.system_identifier {
            "it is on another server"
        } else if self.timeline != known.timeline {
            "another server was promoted"
        } else if self.server_started != known.server_started {
            "the server was started again"
        } else {
            "it was restored or renewed"
        }
    }
}

/// The start of this run of the server.
async fn find_or_note(connection: &mut PgConnection) -> Result<(Start, Server), OpenError> {
    let server: Server = sqlx::query_as(SERVER).fetch_one(&mut *connection).await?;
    if let Some(start) = find(connection, &server).await?.1 {
        return Ok((start, server));
    }
    sqlx::query("begin").execute(&mut *connection).await?;
    sqlx::query(LOCK).execute(&mut *connection).await?;
    let (latest, found) = find(connection, &server).await?;
    let start = match found {
        Some(start) => start,
        None => note(connection, latest).await?,
    };
    sqlx::query("commit").execute(connection).await?;
    Ok((start, server))
}

/// The latest start, and whether it is of this run.
async fn find(
    connection: &mut PgConnection,
    server: &Server,
) -> Result<(Start, Option<Start>), sqlx::Error> {
    let latest: Option<LatestRow> = sqlx::query_as(LATEST).fetch_optional(connection).await?;
    let is_here = |row: &LatestRow| row.is_untouched && row.server == *server;
    let start = latest.as_ref().map_or(Start::default(), |row| row.start);
    Ok((start, latest.filter(is_here).map(|row| row.start)))
}

/// Begins a history of which no position from before is a part. Cores that run find it with their next transaction.
pub(in crate::store) async fn renew(connection: &mut PgConnection) -> Result<History, OpenError> {
    sqlx::query("begin").execute(&mut *connection).await?;
    sqlx::query(LOCK).execute(&mut *connection).await?;
    let server: Server = sqlx::query_as(SERVER).fetch_one(&mut *connection).await?;
    let (latest, _) = find(connection, &server).await?;
    let start = note(connection, latest).await?;
    // In the order in which cores do.
    sqlx::query(LOCK_FEEDS).execute(&mut *connection).await?;
    for statement in [super::LOSE_ALL, super::ENTER_ALL] {
        sqlx::query(statement).bind(start).execute(&mut *connection).await?;
    }
    let first: Start = sqlx::query_scalar(FIRST).fetch_one(&mut *connection).await?;
    sqlx::query("commit").execute(connection).await?;
    Ok(History::new(first, start, Some(server)))
}

async fn note(connection: &mut PgConnection, latest: Start) -> Result<Start, sqlx::Error> {
    let now: i64 = sqlx::query_scalar(NOW).fetch_one(&mut *connection).await?;
    let newest: Option<i64> = sqlx::query_scalar(NEWEST).fetch_optional(&mut *connection).await?;
    let start = Start::draw(latest, now);
    sqlx::query(NOTE).bind(start).bind(now).execute(&mut *connection).await?;
    if let Some(newest) = newest {
        sequences::lift_sequences(connection, margin(now - newest)).await?;
    }
    Ok(start)
}
