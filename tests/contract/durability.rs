//! A server whose settings are changed by a reload while a core runs on it.

use netrox_harness::{Engine, Role, engine::PostgresServer, eventually, process::Log, within};
use netrox_proto::v1::{ErrorReason, send_messages_response::Result as Answer};
use serde_json::Value;
use tokio::task::JoinSet;
use tonic_health::pb::health_check_response::ServingStatus;
use uuid::Uuid;

use crate::{
    pipeline::Pipeline,
    refusal::assert_refused,
    running::{Connection, Core, text},
    standstill::health,
    subscribe::Subscription,
};

/// Sends of a pipeline that wait for their answers at a time.
const IN_FLIGHT: u64 = 64;
const PIPELINES: usize = 4;

async fn start_on(postgres: &PostgresServer) -> Core {
    Core::launch(Core::builder().engine(Engine::Postgres, postgres.server())).await
}

async fn has_health(core: &Core, expected: ServingStatus) {
    eventually("another health", async || (health(core).await == expected).then_some(())).await;
}

/// Lines of the log with this text and this level.
fn lines(core: &Core, level: &str, text: &str) -> usize {
    let events = core.process.log(Role::Core(0)).lines();
    let events = events.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["level"] == level && event.to_string().contains(text)).count()
}

/// Sends until one is refused once the cause is logged, always with more under way: a core has no moment in which nothing
/// waits.
async fn send_until_refused(
    connection: Connection,
    ada: String,
    bob: String,
    log: Log,
    named: &str,
) {
    let mut pipeline = Pipeline::open(&connection).await;
    for request_id in 0.. {
        if request_id >= IN_FLIGHT {
            let is_told = log.contains(named);
            match pipeline.next().await.1 {
                Answer::Message(_) => {}
                Answer::Failure(failure) => match failure.reason() {
                    ErrorReason::StoreUnavailable if is_told => return,
                    // A busy machine may refuse some by itself, and the log comes late.
                    ErrorReason::StoreUnavailable | ErrorReason::OutcomeUnknown => {}
                    other => panic!("{other:?}: {failure:?}"),
                },
                other => panic!("instead of a stored message: {other:?}"),
            }
        }
        pipeline.message(request_id, text(&ada, &bob, "hello")).await;
    }
    unreachable!("request ids do not end")
}

/// What was acknowledged is there after a crash, though the server was told not to wait for its disk.
#[tokio::test(flavor = "multi_thread")]
async fn commits_stay_durable_when_the_server_is_told_not_to_wait() {
    const SENDS: usize = 60;
    let mut postgres = PostgresServer::start().await;
    postgres.stop_immediately().await;
    // Commits that are not waited for stay in memory for long.
    let slowly = ["wal_writer_delay=10s", "wal_writer_flush_after=1GB"];
    postgres.start_with(&slowly).await;
    let core = start_on(&postgres).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "before").await.expect("stored");
    let mut subscription = Subscription::open(&core, &bob).await;

    postgres.reload_with("synchronous_commit = off").await;
    let mut seen = Vec::new();
    for number in 0..SENDS {
        core.send(&ada, &bob, &number.to_string()).await.expect("stored");
        seen.push(subscription.message().await.id);
    }
    assert_eq!(health(&core).await, ServingStatus::Serving);
    postgres.kill();
    postgres.start_with(&slowly).await;
    let request_again = async || {
        let mut request = text(&ada, &bob, "after");
        request.client_ref = Some(Uuid::from_u128(7).to_string());
        core.chat().send_message(request).await.ok()
    };
    // The setting is still there, and overruled on new connections as well.
    seen.push(
        eventually("a database that takes writes", request_again).await.into_inner().message_id,
    );
    let history = core.history(&bob, &ada).await.expect("a history");
    let stored: Vec<_> = history[1..].iter().map(|message| message.id).collect();
    assert_eq!(stored, seen, "what was seen is not what is stored");
}

/// A core that does nothing finds it, and comes back by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_being_durable_is_not_served_from() {
    let postgres = PostgresServer::start().await;
    let core = start_on(&postgres).await;
    let [ada, bob] = core.users().await;
    for setting in ["fsync", "full_page_writes"] {
        postgres.reload_with(&format!("{setting} = off")).await;
        has_health(&core, ServingStatus::NotServing).await;
        assert_refused(core.send(&ada, &bob, "lost").await, ErrorReason::StoreUnavailable);
        // What is there can be read.
        core.history(&bob, &ada).await.expect("a history");
        let named = format!("{setting} is \\\"off\\\"");
        eventually("a line", async || (lines(&core, "ERROR", &named) == 1).then_some(())).await;
        postgres.reload_with(&format!("{setting} = on")).await;
        has_health(&core, ServingStatus::Serving).await;
        core.send(&ada, &bob, setting).await.expect("stored");
    }
    let history = core.history(&bob, &ada).await.expect("a history");
    let bodies: Vec<_> = history.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["fsync", "full_page_writes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_being_durable_is_found_under_load() {
    let postgres = PostgresServer::start().await;
    let core = start_on(&postgres).await;
    let [ada, bob] = core.users().await;
    let mut senders = JoinSet::new();
    for _ in 0..PIPELINES {
        let (connection, log) = (core.connect().await, core.process.log(Role::Core(0)));
        let named = "fsync is \\\"off\\\"";
        senders.spawn(send_until_refused(connection, ada.clone(), bob.clone(), log, named));
    }
    postgres.reload_with("fsync = off").await;
    within("refusals", senders.join_all()).await;
    postgres.reload_with("fsync = on").await;
    has_health(&core, ServingStatus::Serving).await;
}

/// A server that waits for its own disk alone is overruled, and then waits for its standby.
#[tokio::test(flavor = "multi_thread")]
async fn a_weaker_setting_of_the_server_is_overruled() {
    for weaker in ["local", "remote_write"] {
        let mut postgres = PostgresServer::start().await;
        postgres.stop_immediately().await;
        postgres.start_with(&[&format!("synchronous_commit={weaker}")]).await;
        let core = start_on(&postgres).await;
        let named = format!("synchronous_commit is \\\"{weaker}\\\"");
        assert_eq!(lines(&core, "WARN", &named), 1, "lines with {named}");
        let [ada, bob] = core.users().await;
        core.send(&ada, &bob, "alone").await.expect("stored");
        // With `remote_write` it waits for one that has written, too.
        if weaker == "local" {
            postgres.reload_with("synchronous_standby_names = 'nobody'").await;
            // The server's processes read it one after the other.
            eventually("a send that waits for a standby", async || {
                core.send(&ada, &bob, "no standby has it").await.err()
            })
            .await;
            postgres.reload_with("synchronous_standby_names = ''").await;
            has_health(&core, ServingStatus::Serving).await;
        }
    }
}

/// It is away for one reason, and comes back unusable for another.
#[tokio::test(flavor = "multi_thread")]
async fn a_cause_that_changes_is_told() {
    let mut postgres = PostgresServer::start().await;
    let core = start_on(&postgres).await;
    postgres.kill();
    has_health(&core, ServingStatus::NotServing).await;
    postgres.start_with(&["full_page_writes=off"]).await;
    let mut log = core.process.log(Role::Core(0));
    let is_told = |event: &Value| {
        let is_change = event["message"] == "the database still does not take writes";
        let error = event["error"].as_str()?;
        (is_change && error.contains("full_page_writes is \"off\"")).then_some(())
    };
    log.event("the new cause", is_told).await;
    // Only where it begins.
    assert_eq!(lines(&core, "ERROR", "the database does not take writes"), 1);
    // PostgreSQL's errors come without the line of its source.
    assert_eq!(lines(&core, "ERROR", " at line "), 0);
}

/// Some services are durable by other means.
#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_accepted_may_be_off_and_no_other() {
    let mut postgres = PostgresServer::start().await;
    postgres.stop_immediately().await;
    postgres.start_with(&["fsync=off"]).await;
    let builder = Core::builder().engine(Engine::Postgres, postgres.server());
    let core = Core::launch(builder.set("accept-database-setting", "fsync")).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "one").await.expect("stored");
    assert_eq!(
        lines(&core, "WARN", "NETROX_CHAT_ACCEPT_DATABASE_SETTING: fsync of PostgreSQL may be off"),
        1
    );
    let mut log = core.process.log(Role::Core(0));
    let accepted = log.event("the start", |event| {
        (event["message"] == "listening").then(|| event["accepted_database_settings"].clone())
    });
    assert_eq!(accepted.await, "fsync");
    postgres.reload_with("full_page_writes = off").await;
    has_health(&core, ServingStatus::NotServing).await;
    postgres.reload_with("full_page_writes = on").await;
    has_health(&core, ServingStatus::Serving).await;
    core.send(&ada, &bob, "two").await.expect("stored");
}
