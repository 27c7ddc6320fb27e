//! The history of a PostgreSQL database. It may have gone back wherever the server was started, promoted or restored: then
//! the first core that connects notes a start, which the others share.
//!
//! A server says who it is by its system identifier, its timeline (a promotion begins another), and the time at which
//! it was started. A dump that is restored into a running server shows by the transactions that wrote the rows.

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{ENTER_ALL, History, LOSE_ALL, Start, margin};
use crate::store::{
    OpenError,
    postgres::{self, Known, Migrations, sequences::lift_sequences},
};

/// The run of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(in crate::store) struct Server {
    system_identifier: i64,
    timeline: i64,
    /// Microseconds since the epoch.
    server_started: i64,
    /// Its number: a copy of the files of a database (`create database … template …`) differs by it alone.
    database: i64,
}

/// `pg_control_checkpoint()` shows the old timeline for minutes after a promotion, the name of the current log file at once.
macro_rules! server {
    () => {
        "(select system_identifier,
            ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint as timeline,
            (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint as server_started,
            (select oid::bigint from pg_database where datname = current_database()) as database
        from pg_control_system()) as server"
    };
}
/// The latest start is of this run where it was written here, and not restored.
macro_rules! find {
    ($migrations:literal) => {
        concat!(
            "select server.*, (select id from cluster) as cluster,
                (select coalesce(max(version), 0) from ",
            $migrations,
            " where success) as migration,
                coalesce((select min(start) from starts), 0) as first,
                coalesce(latest.start, 0) as latest,
                coalesce(latest.system_identifier = server.system_identifier
                    and latest.timeline = server.timeline
                    and latest.server_started = server.server_started
                    and latest.database = server.database
                    and latest.xmin = latest.written_by, false) as is_of_this_run
            from ",
            server!(),
            " left join (
                select start, system_identifier, timeline, server_started, database, xmin,
                    written_by
                from starts order by start desc limit 1) as latest on true"
        )
    };
}
const FIND: &str = find!("_sqlx_migrations");
const FIND_BESIDE_ANOTHER: &str = find!("netrox_chat_migrations");
/// Held to the end of the transaction.
const LOCK: &str = "select pg_advisory_xact_lock(hashtext('netrox-chat starts'))";
const NOW: &str = "\
    select (extract(epoch from clock_timestamp()) * 1000000)::bigint,
        (select created from messages order by id desc limit 1)";
const NOTE: &str = concat!(
    "insert into starts (start, began, system_identifier, timeline, server_started, database)
    select $1, $2, server.* from ",
    server!()
);
const LOCK_FEEDS: &str = "\
    select count(*) from (select 1 from feeds order by user_key for update) as locked";
/// For a session of ours that reads.
const IS_KNOWN: &str = concat!(
    "select server.*, exists (select 1 from starts where start = $1) as is_known from ",
    server!()
);

#[derive(Debug, FromRow)]
struct LatestRow {
    #[sqlx(flatten)]
    server: Server,
    /// None while the tables are being restored.
    cluster: Option<Uuid>,
    migration: i64,
    first: Start,
    latest: Start,
    is_of_this_run: bool,
}

/// At the opening of the core, of a database that it knows nothing about yet.
pub(in crate::store) async fn open(
    connection: &mut PgConnection,
    migrations: Migrations,
) -> Result<History, OpenError> {
    let found = find(connection, migrations).await?;
    let (found, noted) = find_or_note(connection, found, migrations).await?;
    let start = noted.start;
    let first = if found.first == Start::default() { start } else { found.first };
    let history = History::new(first, start, Some(found.server));
    if let Some(lifted) = noted.lifted {
        let epoch = history.epoch(start);
        tracing::info!(%epoch, lifted, "a start of the database is noted: no id is given twice");
    }
    Ok(history)
}

/// On each new connection that writes: refuses another deployment's database, an older schema, and a server that was left
/// behind by a promotion. Gives the start that the connection works in.
pub(in crate::store) async fn enter(
    connection: &mut PgConnection,
    known: &Known,
) -> Result<Start, OpenError> {
    let history = &known.history;
    let found = find(connection, known.migrations).await?;
    match found.cluster {
        Some(cluster) if cluster == known.cluster => {}
        Some(_) => return Err(OpenError::OtherDeployment),
        None => return Err(OpenError::NoTables),
    }
    // A newer one was made by a core of a later version, for whose sake none that runs is disturbed.
    let expected = postgres::last_migration();
    if found.migration < expected {
        return Err(OpenError::OlderSchema { found: found.migration, expected });
    }
    let before = history.state().server;
    if let Some(before) = &before {
        found.server.check_is_not_behind(before)?;
    }
    let (found, noted) = find_or_note(connection, found, known.migrations).await?;
    let start = noted.start;
    if start != history.start() {
        let cause = before.map_or("it is new", |before| found.server.differs_by(&before));
        history.enter(start, Some(found.server));
        tracing::warn!(
            epoch = %history.epoch(start), timeline = found.server.timeline,
            lifted = noted.lifted.as_deref().unwrap_or("by another core"),
            "the database may have gone back, because {cause}: subscriptions whose position is no part \
             of its history end"
        );
    }
    Ok(start)
}

/// On each new connection that reads. What a server shows that is not in our history would be taken for it.
pub(in crate::store) async fn check_reader(
    connection: &mut PgConnection,
    history: &History,
) -> Result<(), OpenError> {
    #[derive(FromRow)]
    struct Seen {
        #[sqlx(flatten)]
        server: Server,
        is_known: bool,
    }
    let (start, known) = {
        let state = history.state();
        (state.start, state.server)
    };
    let seen: Seen = sqlx::query_as(IS_KNOWN).bind(start).fetch_one(connection).await?;
    if let Some(known) = &known {
        seen.server.check_is_not_behind(known)?;
        if known.check_is_not_behind(&seen.server).is_err() {
            history.suspect();
        }
    }
    if seen.is_known { Ok(()) } else { Err(OpenError::OtherHistory) }
}

impl Server {
    /// The same system was promoted elsewhere since: what it takes would be lost.
    fn check_is_not_behind(&self, known: &Self) -> Result<(), OpenError> {
        if self.system_identifier == known.system_identifier && self.timeline < known.timeline {
            return Err(OpenError::OldTimeline { timeline: self.timeline, known: known.timeline });
        }
        Ok(())
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

async fn find(
    connection: &mut PgConnection,
    migrations: Migrations,
) -> Result<LatestRow, sqlx::Error> {
    let statement = match migrations {
        Migrations::Usual => FIND,
        Migrations::Own => FIND_BESIDE_ANOTHER,
    };
    sqlx::query_as(statement).fetch_one(connection).await
}

/// The start of this run of the server.
struct Noted {
    start: Start,
    /// How far identifiers jump, where this core has noted it.
    lifted: Option<String>,
}

/// Which one core notes, and the others find.
async fn find_or_note(
    connection: &mut PgConnection,
    found: LatestRow,
    migrations: Migrations,
) -> Result<(LatestRow, Noted), OpenError> {
    if found.is_of_this_run {
        let noted = Noted { start: found.latest, lifted: None };
        return Ok((found, noted));
    }
    sqlx::query("begin").execute(&mut *connection).await?;
    sqlx::query(LOCK).execute(&mut *connection).await?;
    let found = find(connection, migrations).await?;
    let noted = if found.is_of_this_run {
        Noted { start: found.latest, lifted: None }
    } else {
        note(connection, found.latest).await?
    };
    sqlx::query("commit").execute(connection).await?;
    Ok((found, noted))
}

/// Begins a history of which no position from before is a part. Cores that run find it with their next transaction.
pub(in crate::store) async fn renew(
    connection: &mut PgConnection,
    migrations: Migrations,
) -> Result<History, OpenError> {
    sqlx::query("begin").execute(&mut *connection).await?;
    sqlx::query(LOCK).execute(&mut *connection).await?;
    let found = find(connection, migrations).await?;
    let Noted { start, .. } = note(connection, found.latest).await?;
    // In the order in which cores do.
    sqlx::query(LOCK_FEEDS).execute(&mut *connection).await?;
    for statement in [LOSE_ALL, ENTER_ALL] {
        sqlx::query(statement).bind(start).execute(&mut *connection).await?;
    }
    sqlx::query("commit").execute(connection).await?;
    let first = if found.first == Start::default() { start } else { found.first };
    Ok(History::new(first, start, Some(found.server)))
}

async fn note(connection: &mut PgConnection, latest: Start) -> Result<Noted, sqlx::Error> {
    let (now, newest): (i64, Option<i64>) = sqlx::query_as(NOW).fetch_one(&mut *connection).await?;
    let start = Start::draw(latest, now);
    sqlx::query(NOTE).bind(start).bind(now).execute(&mut *connection).await?;
    // Only a database that is new has given none.
    if newest.is_none() && latest == Start::default() {
        return Ok(Noted { start, lifted: None });
    }
    let newest = newest.unwrap_or_else(|| latest.micros());
    let lifted = lift_sequences(connection, margin(now - newest)).await?;
    let lifted: Vec<_> = lifted.iter().map(ToString::to_string).collect();
    Ok(Noted { start, lifted: Some(lifted.join(", ")) })
}
