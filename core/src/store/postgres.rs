//! Opening PostgreSQL: the settings of our sessions, and whether the server is as durable as promised.
//!
//! A server that hangs, a core that was stopped in the middle of a transaction, a client that vanished: each
//! may hold up the others for about a second, and no longer. Whatever the server does not end by itself
//! within its limits the client gives up on (`store::engine`, `store::writer`).

use std::{pin::pin, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

use super::{
    OpenError,
    engine::{PING_TIMEOUT, within},
    error::migration_failed,
    history::{self, History, Start},
};

pub(super) mod sequences;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

const MIN_VERSION: i32 = 150_000;
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// At the start there is time, also for a server that is starting itself.
const FIRST_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one answer then.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Per core; one more connection writes, one checks feeds.
const READERS: u32 = 8;
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1_500);
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// Settings of every session; the limits in milliseconds.
const SESSION: [(&str, &str); 9] = [
    // Whoever waited for a lock then sees what its holder committed.
    ("default_transaction_isolation", "read committed"),
    ("statement_timeout", "1500"),
    // Of a core that was stopped in the middle of a transaction: shorter than what others wait for its locks.
    ("idle_in_transaction_session_timeout", "1000"),
    ("lock_timeout", "1300"),
    // A statement whose client has gone is ended.
    ("client_connection_check_interval", "500"),
    // Every statement is a few lookups by an index. While statistics still tell of the small table that was, the
    // planner would rather read the whole one.
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// What has to be true of the server, with the value that is not acceptable.
#[derive(sqlx::FromRow)]
struct Server {
    version: i32,
    version_text: String,
    in_recovery: bool,
    read_only: String,
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    encoding: String,
}

/// Every session that writes shares this lock for as long as it lives; a copy holds it alone.
const SHARE_WITH_CORES: &str = "select pg_try_advisory_lock_shared(hashtext('netrox-chat cores'))";
const LOCK_OUT_CORES: &str = "select pg_try_advisory_lock(hashtext('netrox-chat cores'))";
const HAS_UNFINISHED_COPY: &str = "select exists (select 1 from copy where not finished)";
const IDENTITY: &str = "select id from cluster";
const SERVER: &str = "\
    select current_setting('server_version_num')::int as version,
        current_setting('server_version') as version_text,
        pg_is_in_recovery() as in_recovery,
        current_setting('transaction_read_only') as read_only,
        current_setting('fsync') as fsync,
        current_setting('full_page_writes') as full_page_writes,
        current_setting('synchronous_commit') as synchronous_commit,
        current_setting('server_encoding') as encoding";

/// As it was given, named in `pg_stat_activity`.
fn named(given: &PgConnectOptions) -> PgConnectOptions {
    given.clone().application_name("netrox-chat").disable_statement_logging()
}

pub(super) fn write_options(given: &PgConnectOptions) -> PgConnectOptions {
    named(given).options(SESSION)
}

/// Checks the server and brings its schema up to date. Cores that start together take their turns: the migrator
/// holds an advisory lock. Returns the identity of the database.
pub(super) async fn prepare(given: &PgConnectOptions) -> Result<Uuid, OpenError> {
    let mut connection = first_connect(given).await?;
    let checked = async { Ok(check(&mut connection).await) };
    within(FIRST_ANSWER_TIMEOUT, checked).await??;
    change_schema(&mut connection).await?;
    let identity = async {
        let id = sqlx::query_scalar(IDENTITY).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(id)
    };
    Ok(within(FIRST_ANSWER_TIMEOUT, identity).await?)
}

async fn first_connect(given: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    within(FIRST_CONNECT_TIMEOUT, PgConnection::connect_with(&named(given))).await
}

/// However long it takes: a change of a large table must not be given up half-way at each attempt.
async fn change_schema(connection: &mut PgConnection) -> Result<(), OpenError> {
    let mut changed = pin!(MIGRATOR.run(connection));
    let in_time = tokio::time::timeout(FIRST_ANSWER_TIMEOUT, &mut changed).await;
    let changed = match in_time {
        Ok(changed) => changed,
        Err(_) => {
            tracing::info!("waiting for the schema of the database to be brought up to date");
            changed.await
        }
    };
    changed.map_err(migration_failed)
}

/// For a copy into the database, whose statements may take their time.
pub(super) async fn connect_for_copy(given: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    prepare(given).await?;
    Ok(first_connect(given).await?)
}

/// To a database that is there, whoever else uses it.
pub(super) async fn connect_to_existing(
    given: &PgConnectOptions,
) -> Result<PgConnection, OpenError> {
    let mut connection = first_connect(given).await?;
    let checked = async { Ok(check(&mut connection).await) };
    within(FIRST_ANSWER_TIMEOUT, checked).await??;
    Ok(connection)
}

/// Keeps cores from writing for as long as the session lives. `false` where one could.
pub(super) async fn lock_out_cores(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(LOCK_OUT_CORES).fetch_one(connection).await
}

/// Refuses a database that is being copied into, or whose copy was cut off. Learns its history.
pub(super) async fn open_history(given: &PgConnectOptions) -> Result<History, OpenError> {
    let mut connection = first_connect(given).await?;
    let opened = async {
        let opened = async {
            refuse_unfinished_copy(&mut connection).await?;
            history::postgres::open(&mut connection).await
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
    pub(super) history: History,
}

/// Connects to a server that may have been replaced or reconfigured since the start, for writing. Gives the start that
/// the connection works in.
pub(super) async fn connect(
    options: &PgConnectOptions,
    known: &Known,
) -> Result<(PgConnection, Start), sqlx::Error> {
    let connected = async {
        let mut connection = PgConnection::connect_with(options).await?;
        let entered = async {
            check_for_writing(&mut connection).await?;
            history::postgres::enter(&mut connection, known.cluster, schema(), &known.history).await
        };
        let start = entered.await.map_err(refused)?;
        Ok((connection, start))
    };
    within(CONNECT_TIMEOUT, connected).await
}

/// As an error of the driver, which takes it for a connection that failed.
fn refused(error: OpenError) -> sqlx::Error {
    match error {
        OpenError::Connect(error) => error,
        other => sqlx::Error::Configuration(other.into()),
    }
}

/// The last migration that this program knows.
fn schema() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

async fn check_for_writing(connection: &mut PgConnection) -> Result<(), OpenError> {
    check(connection).await?;
    let shared: bool = sqlx::query_scalar(SHARE_WITH_CORES).fetch_one(&mut *connection).await?;
    if !shared {
        return Err(OpenError::Copying);
    }
    // Behind the lock: a copy that begins now finds it taken.
    refuse_unfinished_copy(connection).await
}

pub(super) fn readers(given: &PgConnectOptions, history: &History) -> PgPool {
    let (of_acquired, of_opened) = (history.clone(), history.clone());
    PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(MAX_LIFETIME)
        // Ours has a limit, so that a read does not wait in vain for each connection to a host that is gone.
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let is_current = of_acquired.is_younger(meta.age);
            Box::pin(
                async move { within(PING_TIMEOUT, connection.ping()).await.map(|()| is_current) },
            )
        })
        .after_connect(move |connection, _| {
            let history = of_opened.clone();
            Box::pin(async move {
                // What a standby shows may be late, and in another order (Jepsen, RDS for PostgreSQL 17.4).
                let standby: bool = sqlx::query_scalar("select pg_is_in_recovery()")
                    .fetch_one(&mut *connection)
                    .await?;
                if standby {
                    let error =
                        OpenError::Setting { name: "pg_is_in_recovery", value: "on".into() };
                    return Err(sqlx::Error::Configuration(error.into()));
                }
                history::postgres::check_reader(connection, &history).await.map_err(refused)
            })
        })
        .connect_lazy_with(
            named(given).options(SESSION).options([("default_transaction_read_only", "on")]),
        )
}

async fn check(connection: &mut PgConnection) -> Result<(), OpenError> {
    let server: Server = sqlx::query_as(SERVER).fetch_one(connection).await?;
    if server.version < MIN_VERSION {
        return Err(OpenError::PostgresVersion(server.version_text));
    }
    let refused = |name, value: &str| Err(OpenError::Setting { name, value: value.to_owned() });
    if server.in_recovery {
        return refused("pg_is_in_recovery", "on");
    }
    if server.read_only == "on" {
        return refused("transaction_read_only", "on");
    }
    for (name, value) in [
        ("fsync", server.fsync),
        ("full_page_writes", server.full_page_writes),
        ("synchronous_commit", server.synchronous_commit),
    ] {
        if value == "off" {
            return refused(name, "off");
        }
    }
    if server.encoding != "UTF8" {
        return refused("server_encoding", &server.encoding);
    }
    Ok(())
}
