//! Opening PostgreSQL: the settings of our sessions, and whether the server is as durable as promised.
//!
//! * [`session`]: the settings of our sessions, and the first of them.
//! * [`session_name`]: which session a call was made in; [`clock`]: until when it may be carried out.
//! * [`readers`]: the connections that read.
//! * [`server`]: what has to be true of the server, looked at each second.
//! * [`schema`]: which schema is ours, and its tables.
//! * [`sequences`]: where ids come from.
//! * [`snapshots`]: whether somebody keeps what was replaced from being cleaned up.
//!
//! A server that hangs, a core that was stopped in the middle of a transaction, a client that vanished: each
//! may hold up the others for about a second, and no longer. Whatever the server does not end by itself
//! within its limits the client gives up on (`store::engine`, `store::writer`).

use std::{sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

mod clock;
mod readers;
mod schema;
pub(super) mod sequences;
mod server;
mod session;
mod session_name;
mod snapshots;

#[cfg(test)]
pub(super) use self::schema::migrations;
pub(super) use self::{
    clock::{ServerClock, server_clock},
    readers::{BULK_READERS, Pool, READERS},
    schema::{Migrations, Place, check as check_schema, last_migration},
    server::{LOOK_INTERVAL, Notice, look},
    session::write_options,
    session_name::SessionName,
    snapshots::watch as watch_snapshots,
};
use self::{
    sequences::lift_sequences,
    server::Checked,
    session::{connect_when_taken, first_session, in_schema, start_options, unlimited},
};
use super::{
    OpenError,
    engine::within,
    error::not_writable,
    history::{self, History, Start},
};
use crate::{
    config::{AcceptedSettings, PostgresDatabase},
    notice::Notices,
    quotas::Quotas,
};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// At the start there is time, also for a server that is starting itself.
const FIRST_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one answer then.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Every session that writes shares this lock for as long as it lives; a copy holds it alone.
const SHARE_WITH_CORES: &str = "select pg_try_advisory_lock_shared(hashtext('netrox-chat cores'))";
const LOCK_OUT_CORES: &str = "select pg_try_advisory_lock(hashtext('netrox-chat cores'))";
const HAS_UNFINISHED_COPY: &str = "select exists (select 1 from copy where not finished)";
/// Waits for no lock of another's for long.
const TRY_WRITING: &str = "\
    begin; set local lock_timeout = '1s';
    lock table users, threads, feeds, messages in row exclusive mode;
    update users set updated = updated where false;
    update feeds set last_seq = last_seq where false;
    update threads set last_activity = last_activity where false;
    update messages set updated = updated where false;
    insert into messages select * from messages where false;
    insert into write_probe (id, written) values (1, 0) on conflict (id) do update set written = 0";
const IDENTITY: &str = "select id from cluster";

/// A database that may be used, and how.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) identity: Uuid,
    /// Of every session of ours.
    pub(super) options: PgConnectOptions,
    pub(super) migrations: Migrations,
    /// Whether there was nothing of ours in it.
    pub(super) is_new: bool,
}

/// How long a start waits for a server that takes no connection at the moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience(pub(super) Duration);

impl Patience {
    /// Of a core: it would come back to nothing else.
    pub(super) const ENDLESS: Self = Self(Duration::MAX);
    /// Of a command that somebody waits for.
    const SHORT: Self = Self(Duration::from_secs(10));
    /// Of a look, which is to tell that.
    const NONE: Self = Self(Duration::ZERO);
}

/// Checks the server, finds our schema and brings it up to date.
pub(super) async fn prepare(
    database: &PostgresDatabase,
    require_data: bool,
    searches: bool,
    patience: Patience,
) -> Result<Prepared, OpenError> {
    let (mut connection, options) = first_session(database.url.options(), patience).await?;
    let checked = async { Ok(server::check(&mut connection, database.accepted).await) };
    let checked = within(FIRST_ANSWER_TIMEOUT, checked).await??;
    match checked.wait.overruled() {
        // Whoever turns it off does not expect that it is overruled.
        Some("off") => {
            return Err(OpenError::Setting { name: "synchronous_commit", value: "off".into() });
        }
        Some(weaker) => {
            tracing::warn!(
                "synchronous_commit is \"{weaker}\": our sessions overrule it with \"on\""
            );
        }
        None => {}
    }
    let named = database.schema.as_deref();
    let schema::Prepared { schema, migrations, is_new } =
        schema::prepare(&mut connection, named, require_data, searches).await?;
    try_writing(&mut connection).await?;
    let identity = async {
        let id = sqlx::query_scalar(IDENTITY).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(id)
    };
    let identity = within(FIRST_ANSWER_TIMEOUT, identity).await?;
    Ok(Prepared { identity, options: in_schema(options, &schema), migrations, is_new })
}

/// Whether the role may write. Nothing stays of it.
async fn try_writing(connection: &mut PgConnection) -> Result<(), OpenError> {
    let tried = async { Ok(sqlx::raw_sql(TRY_WRITING).execute(&mut *connection).await) };
    let tried = within(FIRST_ANSWER_TIMEOUT, tried).await?;
    within(FIRST_ANSWER_TIMEOUT, sqlx::raw_sql("rollback").execute(connection)).await?;
    match tried.err().and_then(not_writable) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// For a copy into the database, whose statements may take their time.
/// Blocks of before, and those who hide, are no news to a core that starts after.
const DATE_NOTHING: &str = "set netrox_chat.noted = '0'";

pub(super) async fn connect_for_copy(
    database: &PostgresDatabase,
) -> Result<PgConnection, OpenError> {
    let prepared = prepare(database, false, false, Patience::SHORT).await?;
    let mut connection = connect_when_taken(&unlimited(prepared.options), Patience::SHORT).await?;
    server::check(&mut connection, database.accepted).await?;
    sqlx::query(DATE_NOTHING).execute(&mut connection).await?;
    Ok(connection)
}

/// For an import, which locks cores out; none where one uses the database. Only then are its tables made, or brought up to date,
/// and not at all for a trial.
pub(super) async fn connect_for_import(
    database: &PostgresDatabase,
    is_trial: bool,
) -> Result<Option<(PgConnection, Migrations)>, OpenError> {
    let mut connection = connect_unlimited(database).await?;
    if !lock_out_cores(&mut connection).await? {
        return Ok(None);
    }
    if !is_trial {
        prepare(database, false, false, Patience::SHORT).await?;
    }
    let migrations = schema::enter(&mut connection, database.schema.as_deref()).await?;
    refuse_unfinished_copy(&mut connection).await?;
    sqlx::query(DATE_NOTHING).execute(&mut connection).await?;
    Ok(Some((connection, migrations)))
}

/// To a database that is there, whoever else uses it, to read for as long as it takes.
pub(super) async fn connect_for_export(
    database: &PostgresDatabase,
) -> Result<(PgConnection, Migrations), OpenError> {
    let mut connection = connect_unlimited(database).await?;
    let migrations = schema::enter(&mut connection, database.schema.as_deref()).await?;
    refuse_unfinished_copy(&mut connection).await?;
    Ok((connection, migrations))
}

/// Whose statements may take their time. In no schema yet.
async fn connect_unlimited(database: &PostgresDatabase) -> Result<PgConnection, OpenError> {
    let (_, options) = first_session(database.url.options(), Patience::SHORT).await?;
    let mut connection = connect_when_taken(&unlimited(options), Patience::SHORT).await?;
    let checked = async { Ok(server::check(&mut connection, database.accepted).await) };
    within(FIRST_ANSWER_TIMEOUT, checked).await??;
    Ok(connection)
}

/// To a database that is there, whoever else uses it.
pub(super) async fn connect_to_existing(
    database: &PostgresDatabase,
) -> Result<(PgConnection, Migrations), OpenError> {
    // A command that is stopped must not hold up cores; one that has much to write takes its time.
    let (_, options) = first_session(database.url.options(), Patience::SHORT).await?;
    let options = write_options(&options, &Quotas::default(), false)
        .options([("statement_timeout", "0"), ("lock_timeout", "0")]);
    let mut connection = connect_when_taken(&options, Patience::SHORT).await?;
    let checked = async { Ok(server::check(&mut connection, database.accepted).await) };
    within(FIRST_ANSWER_TIMEOUT, checked).await??;
    let migrations = schema::enter(&mut connection, database.schema.as_deref()).await?;
    Ok((connection, migrations))
}

/// A session that only looks.
pub(super) struct Visit {
    pub(super) connection: PgConnection,
    /// Why a start would not use the server.
    pub(super) refusal: Option<OpenError>,
    pub(super) place: Result<Place, OpenError>,
}

/// Changes nothing, and waits for no core.
pub(super) async fn visit(database: &PostgresDatabase) -> Result<Visit, OpenError> {
    let (mut connection, _) = first_session(database.url.options(), Patience::NONE).await?;
    let looked = async {
        let checked = server::check(&mut connection, database.accepted).await;
        let refusal = match checked {
            Ok(checked) if checked.wait.overruled() == Some("off") => {
                let (name, value) = ("synchronous_commit", "off".to_owned());
                Some(OpenError::Setting { name, value })
            }
            Ok(_) => None,
            // Of the connection.
            Err(OpenError::Connect(error)) => return Ok(Err(OpenError::Connect(error))),
            Err(error) => Some(error),
        };
        Ok(Ok((refusal, schema::look(&mut connection, database.schema.as_deref()).await)))
    };
    let (refusal, place) = within(FIRST_ANSWER_TIMEOUT, looked).await??;
    Ok(Visit { connection, refusal, place })
}

/// Keeps cores from writing for as long as the session lives. `false` where one could.
pub(super) async fn lock_out_cores(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(LOCK_OUT_CORES).fetch_one(connection).await
}

/// Refuses a database that is being copied into, or whose copy was cut off. Learns its history.
pub(super) async fn open_history(
    prepared: &PgConnectOptions,
    migrations: Migrations,
) -> Result<History, OpenError> {
    let options = start_options(prepared.clone());
    let mut connection = connect_when_taken(&options, Patience::ENDLESS).await?;
    let opened = async {
        let opened = async {
            refuse_unfinished_copy(&mut connection).await?;
            history::postgres::open(&mut connection, migrations).await
        };
        let opened = opened.await;
        connection.close().await?;
        Ok(opened)
    };
    within(FIRST_ANSWER_TIMEOUT, opened).await?
}

async fn refuse_unfinished_copy(connection: &mut PgConnection) -> Result<(), OpenError> {
    let unfinished: bool = sqlx::query_scalar(HAS_UNFINISHED_COPY).fetch_one(connection).await?;
    if unfinished { Err(OpenError::UnfinishedCopy) } else { Ok(()) }
}

/// What was found at the start, and has to be found again.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) cluster: Uuid,
    pub(super) migrations: Migrations,
    pub(super) history: History,
    pub(super) notices: Arc<Notices<Notice>>,
    pub(super) accepted: AcceptedSettings,
}

/// A connection that writes.
pub(super) struct Connected {
    pub(super) connection: PgConnection,
    /// What it works in.
    pub(super) start: Start,
    pub(super) session: SessionName,
    pub(super) clock: ServerClock,
}

/// Connects to a server that may have been replaced or reconfigured since the start, for writing. At the start of a core
/// there is time.
pub(super) async fn connect(
    options: &PgConnectOptions,
    known: &Known,
    is_first: bool,
) -> Result<Connected, sqlx::Error> {
    let enter = async |mut connection: PgConnection| {
        let entered = async {
            if check_for_writing(&mut connection, known.accepted).await?.has_standbys {
                server::tell_missing_standby(&mut connection, &known.notices).await?;
            }
            let start = history::postgres::enter(&mut connection, known).await?;
            let (session, clock) = SessionName::take(&mut connection).await?;
            Ok((start, session, clock))
        };
        let (start, session, clock) = entered.await.map_err(unusable)?;
        Ok(Connected { connection, start, session, clock })
    };
    if is_first {
        let connected = connect_when_taken(options, Patience::ENDLESS).await;
        let connection = connected.map_err(unusable)?;
        return within(FIRST_CONNECT_TIMEOUT, enter(connection)).await;
    }
    let connected = async { enter(PgConnection::connect_with(options).await?).await };
    within(CONNECT_TIMEOUT, connected).await
}

/// A server that may not be used counts as one that is away: it may be put right.
pub(super) fn unusable(error: OpenError) -> sqlx::Error {
    if let OpenError::Connect(error) = error {
        return error;
    }
    sqlx::Error::Configuration(error.into())
}

async fn check_for_writing(
    connection: &mut PgConnection,
    accepted: AcceptedSettings,
) -> Result<Checked, OpenError> {
    let checked = server::check(connection, accepted).await?;
    let shared: bool = sqlx::query_scalar(SHARE_WITH_CORES).fetch_one(&mut *connection).await?;
    if !shared {
        return Err(OpenError::Copying);
    }
    // Behind the lock: a copy that begins now finds it taken.
    refuse_unfinished_copy(connection).await?;
    for lifted in lift_sequences(connection, 0).await? {
        tracing::warn!(%lifted, "a sequence was behind the ids of its table");
    }
    Ok(checked)
}
