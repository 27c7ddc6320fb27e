//! The connections of a core to PostgreSQL, where others want them as well.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use netrox_harness::{
    Builder, Role, Store, alarms::Before, database::Database, engine::PostgresServer, eventually,
    process::Signal,
};
use netrox_proto::v1::GetUsersRequest;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::{task::JoinSet, time::sleep};
use tonic::Status;

use crate::running::{Core, authorized, connect_to};

/// One writes, eight read.
const CONNECTIONS: i64 = 9;
const COUNT: &str = "\
    select count(*) from pg_stat_activity
    where application_name = 'netrox-chat' and datname = current_database()";

/// A server with few connections.
async fn start(connections: u32) -> PostgresServer {
    let mut postgres = PostgresServer::start().await;
    postgres.stop_immediately().await;
    postgres.start_with(&[&format!("max_connections={connections}")]).await;
    postgres.execute("create role netrox login").await;
    postgres
}

/// A core whose role has none of the connections that are kept for a superuser.
fn core_on(database: &Database) -> Builder {
    let url = database.url().replace("postgres@", "netrox@");
    Core::builder().store(Store::Sqlite).set("database-url", url)
}

async fn owned_database(postgres: &PostgresServer) -> Database {
    let database = Database::create(postgres.server()).await;
    postgres.execute(&format!("alter database {} owner to netrox", database.name())).await;
    database
}

/// All that anybody but a superuser may have.
async fn take_all(database: &Database) -> Vec<PgConnection> {
    let url = database.url().replace("postgres@", "netrox@");
    let mut taken = Vec::new();
    while let Ok(connection) = PgConnection::connect(&url).await {
        taken.push(connection);
    }
    taken
}

/// Waits until a core has all of its connections. A start on a machine that is busy does not wait for those that read.
async fn has_all(connection: &mut PgConnection, count: &'static str) {
    eventually("all connections", async || {
        let count: i64 =
            sqlx::query_scalar(count).fetch_one(&mut *connection).await.expect("a count");
        (count == CONNECTIONS).then_some(())
    })
    .await;
}

/// An idle core has them all, and gives none of them up.
#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_where_others_take_every_connection() {
    let postgres = start(30).await;
    let database = owned_database(&postgres).await;
    let core = Core::launch(core_on(&database)).await;
    has_all(&mut database.connect().await, COUNT).await;
    let taken = take_all(&database).await;
    assert!(!taken.is_empty());
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    let mut readers = JoinSet::new();
    for _ in 0..24 {
        let (connection, ada, bob) = (core.connect().await, ada.clone(), bob.clone());
        readers.spawn(async move {
            for _ in 0..10 {
                let history = connection.history(&bob, &ada).await.expect("a history");
                assert_eq!(history.len(), 1);
                assert_eq!(connection.threads(&ada).await.expect("threads").len(), 1);
            }
        });
    }
    readers.join_all().await;
    drop(taken);
}

/// Who reads what is locked keeps a connection; who comes behind gets none.
#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_in_vain_are_told_of() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    let before = Before::of(&core.process).await;
    let mut holder = core.process.database().connect().await;
    let lock = "begin; lock table messages in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut holder).await.expect("a lock");
    let mut readers = JoinSet::new();
    for _ in 0..12 {
        let (connection, ada, bob) = (core.connect().await, ada.clone(), bob.clone());
        readers.spawn(async move { connection.history(&bob, &ada).await.map(drop) });
    }
    // Others are served by the connections for chat.
    let others = async {
        let asked = GetUsersRequest { user_ids: vec![ada.clone()], ..Default::default() };
        loop {
            core.directory().get_users(asked.clone()).await.expect("a user");
            sleep(Duration::from_millis(20)).await;
        }
    };
    let refused = tokio::select! {
        refused = readers.join_all() => refused,
        () = others => Vec::new(),
    };
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    before.alarms_if_it_goes_on(&core.process, &[], &["ReadsWaitInVain"]).await;
    let line = "reads are refused: too many wait for the database";
    assert!(core.log_contains(line), "{:#?}", core.process.log(Role::Core(0)).lines());
}

/// A session that somebody ends is replaced, and whoever reads meanwhile has another.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_ended_is_opened_again() {
    /// For a connection, of a read that is refused.
    const SHORTEST_WAIT: Duration = Duration::from_secs(1);
    let postgres = start(30).await;
    let database = owned_database(&postgres).await;
    let core = Core::launch(core_on(&database)).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    let mut connection = database.connect().await;
    has_all(&mut connection, COUNT).await;
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where application_name = 'netrox-chat'";
    for _ in 0..3 {
        let (before, begun) = (sessions(&mut connection).await, Instant::now());
        let ended: i64 = sqlx::query_scalar(end).fetch_one(&mut connection).await.expect("ended");
        assert_eq!(ended, CONNECTIONS);
        eventually("the end of all", async || {
            sessions(&mut connection).await.is_disjoint(&before).then_some(())
        })
        .await;
        // Only where there was none to wait for: one that has ended is no reason.
        let may_be_refused = |status: Status| {
            assert!(begun.elapsed() >= SHORTEST_WAIT, "{status:?}");
        };
        // Each read finds another one that has ended.
        eventually("all connections", async || {
            core.history(&bob, &ada).await.map_err(may_be_refused).ok()?;
            core.threads(&ada).await.map_err(may_be_refused).ok()?;
            core.send(&ada, &bob, "again").await.ok()?;
            // One that was ended may be there for a moment beside the one that takes its place.
            let now = sessions(&mut connection).await;
            (now.len() == before.len() && now.is_disjoint(&before)).then_some(())
        })
        .await;
    }
}

/// The sessions of a core. A number comes again after all others.
async fn sessions(connection: &mut PgConnection) -> HashSet<i32> {
    let sessions = "select pid from pg_stat_activity where application_name = 'netrox-chat' \
                    and datname = current_database()";
    let sessions = sqlx::query_scalar(sessions).fetch_all(connection).await;
    sessions.expect("the sessions").into_iter().collect()
}

/// How often the server has taken no connection.
fn refusals(postgres: &PostgresServer) -> usize {
    let log = postgres.log();
    log.matches("too many clients").count() + log.matches("remaining connection slots").count()
}

/// Where others have every connection, one that is too old stays; where there is a place, another takes its.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_too_old_stays_until_there_is_another() {
    let postgres = start(30).await;
    let database = owned_database(&postgres).await;
    let builder = core_on(&database).set("database-connection-lifetime", "1s");
    let core = Core::launch(builder).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    let mut connection = database.connect().await;
    has_all(&mut connection, COUNT).await;
    let mut taken = take_all(&database).await;
    assert!(!taken.is_empty());
    // One may have been replaced meanwhile, and have left a place.
    let before = eventually("all connections and no place", async || {
        taken.extend(take_all(&database).await);
        let now = sessions(&mut connection).await;
        (now.len() == 9).then_some(now)
    })
    .await;
    let refused = refusals(&postgres);
    eventually("an attempt to replace one", async || (refusals(&postgres) > refused).then_some(()))
        .await;
    assert_eq!(sessions(&mut connection).await, before);
    core.history(&bob, &ada).await.expect("a history");
    for connection in taken {
        connection.close().await.expect("closed");
    }
    eventually("another instead of one", async || {
        core.history(&bob, &ada).await.expect("a history");
        let now = sessions(&mut connection).await;
        let (has_new, has_all) = (!now.is_subset(&before), now.len() == 9);
        (has_new && has_all && !before.is_subset(&now)).then_some(())
    })
    .await;
}

/// Reads go on with those that are left, and the operator reads why they are fewer.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_place_was_taken_is_missed_aloud() {
    let postgres = start(30).await;
    let database = owned_database(&postgres).await;
    let core = Core::launch(core_on(&database)).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    let mut connection = database.connect().await;
    has_all(&mut connection, COUNT).await;
    let mut taken = take_all(&database).await;
    // Whoever ends some is faster than the core now and then. Of two places one at least was a reader's.
    let enough = taken.len() + 2;
    let end = "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity \
               where application_name = 'netrox-chat' and datname = current_database() limit 4) as sessions";
    eventually("places of the core", async || {
        sqlx::query(end).execute(&mut connection).await.expect("ended");
        taken.extend(take_all(&database).await);
        (taken.len() >= enough).then_some(())
    })
    .await;
    let mut log = core.process.log(Role::Core(0));
    let missed = log.event("readers that are missing", |event: &Value| {
        let is_told =
            event["message"].as_str()?.starts_with("connections that read cannot be opened");
        is_told.then(|| event.clone())
    });
    let missed = missed.await;
    assert!(missed["error"].as_str().expect("a text").contains("connection"), "{missed}");
    for connection in taken {
        connection.close().await.expect("closed");
    }
    let is_mended = |event: &Value| {
        (event["message"] == "all connections that read are open again").then_some(())
    };
    core.process.log(Role::Core(0)).event("all readers", is_mended).await;
}

async fn waits(chat: &netrox_harness::TestChat, role: Role) {
    let is_waiting = |event: &Value| {
        let waits = event["message"] == "waiting for the database to take a connection";
        (waits && event["error"].as_str()?.contains("connection")).then_some(())
    };
    chat.log(role).event("the wait for a connection", is_waiting).await;
}

/// It passes by itself, and is no wrong setting.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_a_connection() {
    let postgres = start(24).await;
    let database = owned_database(&postgres).await;
    let mut core = Core::launch(core_on(&database)).await;
    let [ada, bob] = core.users().await;
    let role = Role::Core(0);
    core.process.kill(role);
    let taken = eventually("the end of the core's sessions", async || {
        let taken = take_all(&database).await;
        (taken.len() > 12).then_some(taken)
    })
    .await;
    // Told to end, it ends.
    core.process.begin(role);
    waits(&core.process, role).await;
    core.process.process(role).signal(Signal::TERM);
    assert!(core.process.ended(role).await.success());
    core.process.begin(role);
    waits(&core.process, role).await;
    for connection in taken {
        connection.close().await.expect("closed");
    }
    core.process.log(role).address("grpc.addr").await;
    let connection = authorized(connect_to(core.process.grpc_address()).await);
    tokio::time::timeout(Duration::from_secs(10), connection.send(&ada, &bob, "hello"))
        .await
        .expect("in time")
        .expect("stored");
}

/// What of a URL has no effect is said, and the rest has one.
#[tokio::test(flavor = "multi_thread")]
async fn the_parameters_of_the_url_are_obeyed_or_named() {
    let database = Database::create_on_shared().await;
    let url = format!("{}?connect_timeout=3&application_name=of-a-test", database.url());
    let core = Core::launch(Core::builder().store(Store::Sqlite).set("database-url", url)).await;
    assert!(core.log_contains("NETROX_CHAT_DATABASE_URL: without effect: connect_timeout"));
    let count = "select count(*) from pg_stat_activity where application_name = 'of-a-test' \
                 and datname = current_database()";
    has_all(&mut database.connect().await, count).await;
}
