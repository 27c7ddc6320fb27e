//! The settings of our sessions. None of the role's is left where it would cut off what we do.

use std::time::Duration;

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::Instant;

use super::{FIRST_CONNECT_TIMEOUT, Patience, schema::Schema, server::MARK};
use crate::{
    notice::Cause,
    quotas::Quotas,
    store::{
        OpenError,
        engine::within,
        error::{Words, is_refused_for_now},
        search::postgres::SEARCHES,
    },
};

/// Of our sessions, unless the URL has another.
const NAME: &str = "netrox-chat";
/// Settings of every session; the limits in milliseconds.
const SESSION: [(&str, &str); 10] = [
    // Whoever waited for a lock then sees what its holder committed.
    ("default_transaction_isolation", "read committed"),
    ("statement_timeout", "1500"),
    // Of a core that was stopped in the middle of a transaction: shorter than what others wait for its locks.
    ("idle_in_transaction_session_timeout", "1000"),
    ("lock_timeout", "1300"),
    // A reader that nobody needs for a while is not to be ended.
    ("idle_session_timeout", "0"),
    // A statement whose client has gone is ended.
    ("client_connection_check_interval", "500"),
    // Every statement is a few lookups by an index. While statistics still tell of the small table that was, the
    // planner would rather read the whole one.
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// Of those that write. A call that stores and commits is ended before whoever made it gives up on it (`store::writer`). Every
/// statement is the same lookups whatever it is given.
const WRITE: [(&str, &str); 2] =
    [("statement_timeout", "1350"), ("plan_cache_mode", "force_generic_plan")];

/// Of those that write where a user may not begin as many conversations as they like: `store_messages` leaves new ones to the core.
const DECIDES_THREADS: (&str, &str) = ("netrox_chat.decides_new_threads", "on");

/// Of those that read. A page is the first rows of a range in the order of its index, and its end is not in sight: a bitmap is made
/// of the whole range, which is then sorted.
const READ: [(&str, &str); 2] =
    [("default_transaction_read_only", "on"), ("enable_bitmapscan", "off")];

/// Of those that a start begins with, in milliseconds. There is time then; but a start that is frozen holds up nobody for
/// long, in a transaction or with the lock of the schema.
const START: [(&str, &str); 6] = [
    ("default_transaction_isolation", "read committed"),
    ("statement_timeout", "4500"),
    ("lock_timeout", "4000"),
    ("idle_session_timeout", "10000"),
    // Shorter than what another start waits for its lock, and longer than a busy machine keeps it from the processor.
    ("idle_in_transaction_session_timeout", "3000"),
    ("client_connection_check_interval", "500"),
];
/// Of those that change the schema or copy: however long that takes.
const UNLIMITED: [(&str, &str); 5] = [
    ("client_connection_check_interval", "500"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];
/// The first version that has it; those before refuse the name.
const TRANSACTION_TIMEOUT_SINCE: u32 = 170_000;
/// Of all of them: the other limits are ours.
const TRANSACTION_TIMEOUT: (&str, &str) = ("transaction_timeout", "0");
/// How often a server is asked again that takes no connection.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// As it was given, named in `pg_stat_activity`, and marked to see whether settings come through.
fn named(given: &PgConnectOptions) -> PgConnectOptions {
    let given = given.clone().options([MARK]).disable_statement_logging();
    if given.get_application_name().is_some() { given } else { given.application_name(NAME) }
}

/// In our schema alone, whatever was given.
pub(super) fn in_schema(options: PgConnectOptions, schema: &Schema) -> PgConnectOptions {
    options.options([("search_path", schema.path())])
}

/// For the start alone.
pub(super) fn start_options(options: PgConnectOptions) -> PgConnectOptions {
    options.options(START)
}

/// For one statement after another that takes its time, until [`limit`].
pub(super) async fn lift_limits(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    set(connection, &UNLIMITED).await
}

/// Of the start.
pub(super) async fn limit(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    set(connection, &START).await
}

async fn set(connection: &mut PgConnection, settings: &[(&str, &str)]) -> Result<(), sqlx::Error> {
    for (name, value) in settings {
        let set = sqlx::query("select set_config($1, $2, false)").bind(name).bind(value);
        set.execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) fn unlimited(options: PgConnectOptions) -> PgConnectOptions {
    options.options(UNLIMITED)
}

pub(in crate::store) fn write_options(
    prepared: &PgConnectOptions,
    quotas: &Quotas,
    searches: bool,
) -> PgConnectOptions {
    let options = prepared.clone().options(SESSION).options(WRITE);
    let options = if searches { options.options([SEARCHES]) } else { options };
    if quotas.new_conversations.is_some() { options.options([DECIDES_THREADS]) } else { options }
}

pub(super) fn read_options(prepared: &PgConnectOptions) -> PgConnectOptions {
    prepared.clone().options(SESSION).options(READ)
}

/// A session of a start, and what further ones are opened with.
pub(super) async fn first_session(
    given: &PgConnectOptions,
    patience: Patience,
) -> Result<(PgConnection, PgConnectOptions), OpenError> {
    let options = named(given);
    let connection = connect_when_taken(&start_options(options.clone()), patience).await?;
    // It tells its version before it is asked anything.
    if connection.server_version_num().is_none_or(|version| version < TRANSACTION_TIMEOUT_SINCE) {
        return Ok((connection, options));
    }
    // Its error would tell nobody anything.
    let _ = within(FIRST_CONNECT_TIMEOUT, connection.close()).await;
    let options = options.options([TRANSACTION_TIMEOUT]);
    let connection = connect_when_taken(&start_options(options.clone()), patience).await?;
    Ok((connection, options))
}

/// Waits for a server that takes no connection at the moment: it starts, or others have all that there are.
pub(super) async fn connect_when_taken(
    options: &PgConnectOptions,
    patience: Patience,
) -> Result<PgConnection, OpenError> {
    let began = Instant::now();
    let mut cause = Cause::default();
    loop {
        let connected = within(FIRST_CONNECT_TIMEOUT, PgConnection::connect_with(options)).await;
        match connected {
            Err(error) if is_refused_for_now(&error) && began.elapsed() < patience.0 => {
                let words = Words(&error).to_string();
                if cause.is_due(&words) {
                    tracing::warn!(error = %words, "waiting for the database to take a connection");
                }
                tokio::time::sleep(ASK_INTERVAL).await;
            }
            connected => return connected.map_err(not_connected),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of sqlx")]
fn not_connected(error: sqlx::Error) -> OpenError {
    match &error {
        // The words of PgBouncer: no server says so.
        sqlx::Error::Database(refusal)
            if refusal.message().contains("unsupported startup parameter") =>
        {
            OpenError::Pooler(refusal.message().to_owned())
        }
        _ => OpenError::Connect(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last one counts.
    fn value<'a>(options: &'a PgConnectOptions, name: &str) -> Option<&'a str> {
        let given = options.get_options()?.rsplit("-c ");
        let mut given = given.filter_map(|setting| setting.trim().split_once('='));
        given.find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    #[test]
    fn a_session_of_a_start_that_is_frozen_ends_and_one_that_copies_does_not() {
        let given = PgConnectOptions::new_without_pgpass();
        let [start, copy] = [start_options(given.clone()), unlimited(given)];
        let limits = ["statement_timeout", "lock_timeout", "idle_session_timeout"];
        for limit in limits.into_iter().chain(["idle_in_transaction_session_timeout"]) {
            let milliseconds = value(&start, limit).and_then(|limit| limit.parse().ok());
            assert!(milliseconds.is_some_and(|limit| (1..=10_000).contains(&limit)), "{limit}");
            assert_eq!(value(&copy, limit), Some("0"), "{limit}");
        }
        for options in [&start, &copy] {
            assert_eq!(value(options, "client_connection_check_interval"), Some("500"));
        }
    }
}
