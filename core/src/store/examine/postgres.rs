//! A database of PostgreSQL, which cores may be at work on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netrox_diagnosis::{Report, Subject};
use sqlx::{Connection as _, FromRow, PgConnection};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    super::{
        OpenError,
        error::{Words, has_code, leaves_session},
        postgres::{Migrations, Place, Visit, check_schema, last_migration, server_clock, visit},
    },
    Needs, remedy, rights, trigrams,
};
use crate::{config::PostgresDatabase, doctor::Cluster};

/// The code of what the role has no right to.
const NOT_ALLOWED: &str = "42501";
const COMMITS: usize = 7;
/// A batch waits for a commit, and everybody for a batch.
const SLOW_COMMIT: Duration = Duration::from_millis(100);
/// Of all of them.
const COMMITS_TIMEOUT: Duration = Duration::from_secs(8);
/// Between our clock and that of the server: tokens are judged by ours, messages are dated by it.
const MOST_APART: Duration = Duration::from_secs(5);
/// What a slot of nobody keeps on the disk of the server.
const MUCH_LOG: i64 = 1024 * 1024 * 1024;

/// A message in the log of the server, of which nothing is left in the database. It has to be on disk before a commit is
/// answered.
const BEGIN: &str = "begin; select pg_logical_emit_message(true, 'netrox-chat doctor', '')";
const COMMIT: &str = "commit";
const CLOCK: &str = concat!("select ", server_clock!());
const VERSION: &str = "select current_setting('server_version')";
const IDENTITY: &str = "select id from cluster";
const HAS_UNFINISHED_COPY: &str = "select exists (select 1 from copy where not finished)";
/// The number of connections that send the log is shown to everybody, whose they are is not. Those of subscribers are of slots.
const REPLICATION: &str = "\
    select current_setting('synchronous_standby_names') as wanted,
        (select count(*) from pg_stat_replication r where not exists (
            select 1 from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical')) as standbys,
        (select count(*) from pg_stat_replication) as connected,
        (select coalesce(string_agg(slot_name, ', '), '') from pg_replication_slots
            where not active and wal_status is distinct from 'lost'
                and pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > $1) as idle_slots,
        (select coalesce(string_agg(slot_name, ', '), '') from pg_replication_slots
            where wal_status = 'lost') as lost_slots";

#[derive(FromRow)]
struct Replication {
    /// What commits wait for; empty for nothing.
    wanted: String,
    connected: i64,
    standbys: i64,
    /// Of nobody who takes what they keep.
    idle_slots: String,
    /// Whose log is gone.
    lost_slots: String,
}

/// Tells `known` by what the cores of the database know each other, as soon as it knows that.
pub(crate) async fn examine(
    database: &PostgresDatabase,
    needs: Needs,
    known: oneshot::Sender<Cluster>,
    report: &mut Report,
) {
    match visit(database).await {
        Ok(Visit { mut connection, refusal, place }) => {
            let mut look = Look { database, connection: &mut connection, report, is_over: false };
            look.all(refusal, place, needs, known).await;
            // Nothing of it is to be kept.
            let _ = connection.close().await;
        }
        Err(error) => find(database, &error, report),
    }
}

fn find(database: &PostgresDatabase, error: &OpenError, report: &mut Report) {
    report.find(Subject::Database, format!("{database}: {error}"), remedy::of(error));
}

struct Look<'a> {
    database: &'a PostgresDatabase,
    connection: &'a mut PgConnection,
    report: &'a mut Report,
    /// Whether the session has nothing more to say.
    is_over: bool,
}

impl Look<'_> {
    async fn all(
        &mut self,
        refusal: Option<OpenError>,
        place: Result<Place, OpenError>,
        needs: Needs,
        known: oneshot::Sender<Cluster>,
    ) {
        let is_refused = refusal.is_some();
        self.part("whether a start takes the server", refusal.map_or(Ok(()), Err));
        let place = match place {
            Ok(place) => Some(place),
            Err(error) => {
                self.part("its tables", Err(error));
                None
            }
        };
        // First: the bus waits for it.
        let cluster = self.cluster(place.as_ref()).await;
        // Who wants to know it may be gone.
        let _ = known.send(cluster);
        self.part_of("its version", version).await;
        self.part_of("the clock of PostgreSQL", look_at_clock).await;
        match place {
            Some(Place::Ours(migrations)) => self.tables(migrations).await,
            Some(Place::New { .. }) if needs.data => {
                self.part("its tables", Err(OpenError::NoData));
            }
            Some(Place::New { schema, may_make: true }) => {
                let text = format!(
                    "it has no tables of netrox-chat yet: the first start makes them in schema {schema}"
                );
                self.report.note(Subject::Database, format!("{}: {text}", self.database));
            }
            Some(Place::New { schema, may_make: false }) => {
                let cause = format!(
                    "{}: it has no tables of netrox-chat, and the role may make none in schema {schema}",
                    self.database
                );
                let remedy = format!(
                    "as the owner of the database run: create schema {schema} authorization ROLE, or grant create on \
                     schema {schema} to ROLE; or mend --database-schema"
                );
                self.report.find(Subject::Database, cause, remedy);
            }
            None => {}
        }
        if needs.search {
            self.part_of("what search needs", trigrams::look).await;
        }
        // A server that is refused may be a standby, or wait for nothing at a commit.
        if is_refused || self.is_over {
            return;
        }
        let can_commit = look_at_replication(self.database, self.connection, self.report).await;
        let can_commit = match can_commit {
            Ok(can_commit) => can_commit,
            Err(error) => {
                self.part("its standbys", Err(error));
                !self.is_over
            }
        };
        if can_commit {
            // The last: it may leave a statement behind that does not end.
            self.part_of("the time of a commit", time_commits).await;
        }
    }

    async fn cluster(&mut self, place: Option<&Place>) -> Cluster {
        match place {
            Some(Place::Ours(_)) if !self.is_over => {
                let id = sqlx::query_scalar(IDENTITY).fetch_optional(&mut *self.connection).await;
                match id {
                    Ok(Some(id)) => Cluster::Is(id),
                    Ok(None) => Cluster::Unknown,
                    Err(error) => {
                        self.part("by what cores know each other", Err(error.into()));
                        Cluster::Unknown
                    }
                }
            }
            Some(Place::New { .. }) => Cluster::New,
            Some(Place::Ours(_)) | None => Cluster::Unknown,
        }
    }

    async fn tables(&mut self, migrations: Migrations) {
        if self.is_over {
            return;
        }
        let found = match check_schema(self.connection, migrations).await {
            Ok(found) => found,
            Err(error) => return self.part("its schema", Err(error)),
        };
        let newest = last_migration();
        let update = match found < newest {
            true => format!(", which the next start brings to {newest}"),
            false => String::new(),
        };
        self.report.note(Subject::Database, format!("{}: schema {found}{update}", self.database));
        let is_older = found < newest;
        let looked = rights::look(self.database, self.connection, is_older, self.report).await;
        self.part("the rights of the role", looked);
        self.part_of("whether a copy was finished", look_at_copy).await;
    }

    async fn part_of(
        &mut self,
        what: &str,
        look: impl AsyncFnOnce(
            &PostgresDatabase,
            &mut PgConnection,
            &mut Report,
        ) -> Result<(), OpenError>,
    ) {
        if !self.is_over {
            let looked = look(self.database, self.connection, self.report).await;
            self.part(what, looked);
        }
    }

    /// What is not shown to the role is not looked at. What is wrong is found, and the rest looked at all the same.
    fn part(&mut self, what: &str, looked: Result<(), OpenError>) {
        let Err(error) = looked else { return };
        if let OpenError::Connect(error) = &error {
            self.is_over = !leaves_session(error);
            if has_code(error, NOT_ALLOWED) {
                let text = format!("{}, {what}: {}", self.database, Words(error));
                return self.report.skip(Subject::Database, text);
            }
        }
        find(self.database, &error, self.report);
    }
}

async fn version(
    database: &PostgresDatabase,
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), OpenError> {
    let version: String = sqlx::query_scalar(VERSION).fetch_one(connection).await?;
    report.note(Subject::Database, format!("{database}: PostgreSQL {version}"));
    Ok(())
}

async fn look_at_copy(
    _: &PostgresDatabase,
    connection: &mut PgConnection,
    _: &mut Report,
) -> Result<(), OpenError> {
    let unfinished: bool = sqlx::query_scalar(HAS_UNFINISHED_COPY).fetch_one(connection).await?;
    if unfinished { Err(OpenError::UnfinishedCopy) } else { Ok(()) }
}

#[expect(clippy::disallowed_methods, reason = "it is the wall clocks that are compared")]
async fn look_at_clock(
    _: &PostgresDatabase,
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
    let Replication { wanted, connected, standbys, idle_slots, lost_slots } = replication;
    if !idle_slots.is_empty() {
        let cause = format!(
            "{database}: nobody reads the replication slots {idle_slots}, and the server keeps its log for them"
        );
        let remedy = "bring back who reads them (a standby, a subscriber), or run: select \
                      pg_drop_replication_slot('NAME')";
        report.find(Subject::Database, cause, remedy);
    }
    if !lost_slots.is_empty() {
        let cause = format!(
            "{database}: the log that the replication slots {lost_slots} were kept for is gone (wal_status lost)"
        );
        let remedy = "make their standbys or subscribers anew, and run: select pg_drop_replication_slot('NAME')";
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
    report.note(Subject::Database, format!("{database}: {standbys} standbys are connected"));
    Ok(true)
}

async fn time_commits(
    database: &PostgresDatabase,
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), OpenError> {
    let mut times = Vec::new();
    let timed = timeout(COMMITS_TIMEOUT, async {
        for _ in 0..COMMITS {
            times.push(time_commit(connection).await?);
        }
        Ok::<_, sqlx::Error>(())
    });
    match timed.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if has_code(&error, NOT_ALLOWED) => return Err(error.into()),
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
