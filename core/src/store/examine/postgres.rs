//! A database of PostgreSQL, which cores may be at work on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netrox_diagnosis::{Report, Subject};
use sqlx::{Connection as _, FromRow, PgConnection};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{
    super::{
        OpenError,
        error::Words,
        postgres::{Migrations, Visit, check_schema, server_clock, visit},
    },
    remedy,
};
use crate::config::PostgresDatabase;

const COMMITS: usize = 7;
/// A batch waits for a commit, and everybody for a batch.
const SLOW_COMMIT: Duration = Duration::from_millis(100);
/// Of all of them.
const COMMITS_TIMEOUT: Duration = Duration::from_secs(8);
/// Between our clock and that of the server: tokens are judged by ours, messages are dated by it.
const MOST_APART: Duration = Duration::from_secs(5);
/// What a slot of nobody keeps on the disk of the server.
const MUCH_LOG: i64 = 1024 * 1024 * 1024;

/// A table of the session alone, which is gone when its transaction ends. What it leaves in the log of the server has to be on
/// disk before a commit is answered.
const BEGIN: &str = "begin; create temporary table netrox_chat_doctor (a int) on commit drop";
const COMMIT: &str = "commit";
const MAY_MAKE_TEMPORARY: &str = "select has_database_privilege(current_database(), 'temporary')";
const CLOCK: &str = concat!("select ", server_clock!());
const VERSION: &str = "select current_setting('server_version')";
/// Tables that a core writes, and may not.
const FORBIDDEN: &str = "\
    select coalesce(string_agg(c.relname, ', ' order by c.relname), '')
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = current_schema() and c.relkind in ('r', 'p')
        and c.relname in ('users', 'threads', 'feeds', 'messages', 'uploads', 'write_probe')
        and not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
            and has_table_privilege(c.oid, 'update'))";
const IDENTITY: &str = "select id from cluster";
const HAS_UNFINISHED_COPY: &str = "select exists (select 1 from copy where not finished)";
/// The number of connections that send the log is shown to everybody, whose they are is not.
const REPLICATION: &str = "\
    select current_setting('synchronous_standby_names') as wanted,
        (select count(*) from pg_stat_replication) as connected,
        (select coalesce(string_agg(slot_name, ', '), '') from pg_replication_slots
            where not active and (wal_status = 'lost'
                or pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > $1)) as idle_slots";

#[derive(FromRow)]
struct Replication {
    /// What commits wait for; empty for nothing.
    wanted: String,
    connected: i64,
    /// Of nobody who takes what they keep.
    idle_slots: String,
}

/// Gives by what the cores of the database know each other, where it has our tables.
pub(crate) async fn examine(
    database: &PostgresDatabase,
    require_data: bool,
    report: &mut Report,
) -> Option<Uuid> {
    let visited = visit(database).await;
    let Visit { mut connection, migrations } = match visited {
        Ok(visit) => visit,
        Err(error) => {
            find(database, &error, report);
            return None;
        }
    };
    let looked = look(database, &mut connection, migrations, require_data, report).await;
    // Nothing of it is to be kept.
    let _ = connection.close().await;
    looked.unwrap_or_else(|error| {
        find(database, &error, report);
        None
    })
}

fn find(database: &PostgresDatabase, error: &OpenError, report: &mut Report) {
    report.find(Subject::Database, format!("{database}: {error}"), remedy::of(error));
}

async fn look(
    database: &PostgresDatabase,
    connection: &mut PgConnection,
    migrations: Option<Migrations>,
    require_data: bool,
    report: &mut Report,
) -> Result<Option<Uuid>, OpenError> {
    let version: String = sqlx::query_scalar(VERSION).fetch_one(&mut *connection).await?;
    report.note(Subject::Database, format!("{database}: PostgreSQL {version}"));
    look_at_clock(connection, report).await?;
    if look_at_replication(database, connection, report).await? {
        time_commits(database, connection, report).await?;
    }
    let Some(migrations) = migrations else {
        if require_data {
            return Err(OpenError::NoData);
        }
        let text = "it has no tables of netrox-chat yet: the first start makes them";
        report.note(Subject::Database, format!("{database}: {text}"));
        return Ok(None);
    };
    let schema = check_schema(connection, migrations).await?;
    report.note(Subject::Database, format!("{database}: {schema}"));
    let forbidden: String = sqlx::query_scalar(FORBIDDEN).fetch_one(&mut *connection).await?;
    if !forbidden.is_empty() {
        let cause = format!("{database}: the role may not read and write {forbidden}");
        let remedy = "as the owner of the tables run: grant select, insert, update, delete on all tables in schema \
                      SCHEMA to ROLE";
        report.find(Subject::Database, cause, remedy);
        return Ok(None);
    }
    let unfinished: bool =
        sqlx::query_scalar(HAS_UNFINISHED_COPY).fetch_one(&mut *connection).await?;
    if unfinished {
        return Err(OpenError::UnfinishedCopy);
    }
    Ok(sqlx::query_scalar(IDENTITY).fetch_optional(connection).await?)
}

#[expect(clippy::disallowed_methods, reason = "it is the wall clocks that are compared")]
async fn look_at_clock(
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), OpenError> {
    let asked = Instant::now();
    let theirs: i64 = sqlx::query_scalar(CLOCK).fetch_one(connection).await?;
    let took = asked.elapsed();
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let theirs = Duration::from_micros(theirs.unsigned_abs());
    let apart = ours.abs_diff(theirs).saturating_sub(took);
    if apart > MOST_APART {
        let cause =
            format!("the clock of this machine and that of PostgreSQL are {apart:.0?} apart");
        report.find(Subject::Clock, cause, "set both by NTP (chrony or systemd-timesyncd)");
    } else {
        report.note(Subject::Clock, format!("within {MOST_APART:?} of PostgreSQL"));
    }
    Ok(())
}

/// Whether commits can be expected to end.
async fn look_at_replication(
    database: &PostgresDatabase,
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<bool, OpenError> {
    let replication = sqlx::query_as(REPLICATION).bind(MUCH_LOG).fetch_one(connection).await?;
    let Replication { wanted, connected, idle_slots } = replication;
    if !idle_slots.is_empty() {
        let cause = format!(
            "{database}: nobody reads the replication slots {idle_slots}, and the server keeps its log for them"
        );
        let remedy = "bring their standbys back, or run: select pg_drop_replication_slot('NAME')";
        report.find(Subject::Database, cause, remedy);
    }
    if !wanted.is_empty() && connected == 0 {
        let cause = format!(
            "{database}: commits wait for a synchronous standby (synchronous_standby_names is {wanted:?}), and none is \
             connected"
        );
        report.find(Subject::Database, cause, "bring the standby back, or name another");
        return Ok(false);
    }
    report.note(Subject::Database, format!("{database}: {connected} standbys are connected"));
    Ok(true)
}

async fn time_commits(
    database: &PostgresDatabase,
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), OpenError> {
    let may_try: bool = sqlx::query_scalar(MAY_MAKE_TEMPORARY).fetch_one(&mut *connection).await?;
    if !may_try {
        let text = "the time of a commit: the role may make no temporary table (grant temporary)";
        report.skip(Subject::Database, format!("{database}, {text}"));
        return Ok(());
    }
    let mut times = Vec::new();
    let timed = timeout(COMMITS_TIMEOUT, async {
        for _ in 0..COMMITS {
            times.push(time_commit(connection).await?);
        }
        Ok::<_, sqlx::Error>(())
    });
    match timed.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let cause = format!("{database}: a commit failed: {}", Words(&error));
            report.find(Subject::Database, cause, "look at the log and the disk of PostgreSQL");
            return Ok(());
        }
        Err(_) => {
            let seconds = COMMITS_TIMEOUT.as_secs();
            let cause = format!("{database}: {COMMITS} commits were not done within {seconds} s");
            let remedy = "look at the disk of PostgreSQL, and at the standbys that it waits for";
            report.find(Subject::Database, cause, remedy);
            return Ok(());
        }
    }
    times.sort_unstable();
    let (fastest, median) = (times.first().copied(), times.get(COMMITS / 2).copied());
    let (fastest, median) = (fastest.unwrap_or_default(), median.unwrap_or_default());
    if fastest > SLOW_COMMIT {
        let cause = format!("{database}: each of {COMMITS} commits took {fastest:.0?} or more");
        let remedy =
            "look at the disk of PostgreSQL (fsync), at its load, and at the way to its standbys";
        report.find(Subject::Database, cause, remedy);
    } else {
        report.note(Subject::Database, format!("{database}: a commit takes {median:.1?}"));
    }
    Ok(())
}

async fn time_commit(connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
    sqlx::raw_sql(BEGIN).execute(&mut *connection).await?;
    let began = Instant::now();
    sqlx::raw_sql(COMMIT).execute(connection).await?;
    Ok(began.elapsed())
}
