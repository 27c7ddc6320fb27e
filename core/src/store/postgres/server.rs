//! What has to be true of the server. A reload may change it under running cores: so it is looked at on every new
//! connection, and each second on the one that writes.

use std::time::Duration;

use sqlx::{FromRow, PgConnection};

use super::unusable;
use crate::{config::AcceptedSettings, notice::Notices, store::OpenError};

/// How often the connection that writes looks, whether it has work or not.
pub(in crate::store) const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const MIN_VERSION: i32 = 150_000;

/// What the operator is told of a server once a minute at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::store) enum Notice {
    MissingStandby,
    /// `store_messages` cannot be used.
    StepByStep,
}

/// What does not change while a server runs.
#[derive(FromRow)]
struct Server {
    version: i32,
    version_text: String,
    encoding: String,
    standbys: String,
    mark: Option<String>,
    #[sqlx(flatten)]
    wait: Wait,
    #[sqlx(flatten)]
    conditions: Conditions,
}

/// What the server waits for at a commit (`synchronous_commit`). Less than `on` would lose messages that were
/// acknowledged: after a crash, or where a standby takes over.
#[derive(FromRow)]
pub(super) struct Wait {
    wait_given: String,
    wait_set: String,
}

/// What may.
#[derive(FromRow)]
struct Conditions {
    in_recovery: bool,
    read_only: String,
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
}

macro_rules! conditions {
    ($($more:literal),*) => {
        concat!(
            "select ", $($more, ", ",)*
            "pg_is_in_recovery() as in_recovery,
            current_setting('transaction_read_only') as read_only,
            current_setting('fsync') as fsync,
            current_setting('full_page_writes') as full_page_writes,
            current_setting('synchronous_commit') as synchronous_commit"
        )
    };
}

/// In one statement: while a table is locked, a transaction has little time left for its connection.
const SERVER: &str = concat!(
    conditions!(
        "given.wait as wait_given",
        "set_config('synchronous_commit',
            case given.wait when 'remote_apply' then given.wait else 'on' end, false) as wait_set",
        "current_setting('server_version_num')::int as version",
        "current_setting('server_version') as version_text",
        "current_setting('server_encoding') as encoding",
        "current_setting('synchronous_standby_names') as standbys",
        "current_setting('netrox_chat.session', true) as mark"
    ),
    " from (select current_setting('synchronous_commit') as wait offset 0) as given"
);
const CONDITIONS: &str = conditions!();

/// Refuses a server that could lose what was committed, or show it late. The session keeps what it waits for at a
/// commit from here on, whatever is set later.
pub(super) async fn check(
    connection: &mut PgConnection,
    accepted: AcceptedSettings,
) -> Result<Checked, OpenError> {
    let server: Server = sqlx::query_as(SERVER).fetch_one(connection).await?;
    check_mark(server.mark.as_deref())?;
    if server.version < MIN_VERSION {
        return Err(OpenError::PostgresVersion(server.version_text));
    }
    server.conditions.check(accepted)?;
    if server.encoding != "UTF8" {
        return Err(refused("server_encoding", server.encoding));
    }
    Ok(Checked { wait: server.wait, has_standbys: !server.standbys.is_empty() })
}

/// What else was found of a server that may be used.
pub(super) struct Checked {
    pub(super) wait: Wait,
    /// Commits wait for some.
    pub(super) has_standbys: bool,
}

/// A setting of every session of ours, and of none else. PgBouncer takes connections whose settings it was told to ignore
/// (`ignore_startup_parameters`), and passes none of them on.
pub(super) const MARK: (&str, &str) = ("netrox_chat.session", "on");

/// Of a reader.
const RECOVERY_AND_MARK: &str =
    "select pg_is_in_recovery(), current_setting('netrox_chat.session', true)";

/// Refuses a standby, and a session without its settings.
pub(super) async fn check_reader(connection: &mut PgConnection) -> Result<(), OpenError> {
    let (in_recovery, mark): (bool, Option<String>) =
        sqlx::query_as(RECOVERY_AND_MARK).fetch_one(connection).await?;
    // What a standby shows may be late, and in another order (Jepsen, RDS for PostgreSQL 17.4).
    if in_recovery {
        return Err(refused("pg_is_in_recovery", "on".to_owned()));
    }
    check_mark(mark.as_deref())
}

fn check_mark(mark: Option<&str>) -> Result<(), OpenError> {
    if mark == Some(MARK.1) { Ok(()) } else { Err(OpenError::SessionSettings) }
}

/// Named only where a commit has waited for longer than one that is well does.
const MISSING_STANDBY: &str = "\
    select current_setting('synchronous_standby_names') from pg_stat_activity
    where datname = current_database() and wait_event = 'SyncRep'
        and clock_timestamp() - query_start > interval '500 milliseconds'
    limit 1";

/// Warns where commits wait for a standby that does not answer: whoever needs a row that such a commit holds is told of a
/// lock, and nothing else.
pub(super) async fn tell_missing_standby(
    connection: &mut PgConnection,
    notices: &Notices<Notice>,
) -> Result<(), sqlx::Error> {
    let missing: Option<String> =
        sqlx::query_scalar(MISSING_STANDBY).fetch_optional(connection).await?;
    if let Some(standbys) = missing
        && let Some(untold) = notices.happened(Notice::MissingStandby)
    {
        tracing::warn!(
            untold,
            %standbys,
            "commits wait for a synchronous standby that does not answer \
             (synchronous_standby_names)"
        );
    }
    Ok(())
}

/// The same of what may have changed since.
pub(in crate::store) async fn look(
    connection: &mut PgConnection,
    accepted: AcceptedSettings,
) -> Result<(), sqlx::Error> {
    let conditions: Conditions = sqlx::query_as(CONDITIONS).fetch_one(connection).await?;
    conditions.check(accepted).map_err(unusable)
}

impl Wait {
    /// What was set where the session began, if that was less than it has now.
    pub(super) fn overruled(&self) -> Option<&str> {
        (self.wait_given != self.wait_set).then_some(&self.wait_given)
    }
}

impl Conditions {
    fn check(self, accepted: AcceptedSettings) -> Result<(), OpenError> {
        if self.in_recovery {
            return Err(refused("pg_is_in_recovery", "on".to_owned()));
        }
        for (name, value, refused_value) in [
            ("transaction_read_only", self.read_only, "on"),
            ("fsync", self.fsync, "off"),
            ("full_page_writes", self.full_page_writes, "off"),
            ("synchronous_commit", self.synchronous_commit, "off"),
        ] {
            if value == refused_value && !accepted.contains(name) {
                return Err(refused(name, value));
            }
        }
        Ok(())
    }
}

fn refused(name: &'static str, value: String) -> OpenError {
    OpenError::Setting { name, value }
}
