//! Limits that an administrator gave to the role: they cut off nothing of ours.

use netrox_harness::{
    Store,
    database::Database,
    engine::PostgresServer,
    process::{self, Ended},
};

use crate::running::Core;

/// Each cuts off whatever takes longer than a millisecond, or rests for longer.
const LIMITS: [&str; 4] = [
    "statement_timeout",
    "lock_timeout",
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
];

/// A new database of a role whose limits nothing holds.
async fn limited(postgres: &PostgresServer) -> (Database, String) {
    let database = Database::create(postgres.server()).await;
    let name = database.name();
    postgres.execute("create role limited login").await;
    postgres.execute(&format!("alter database {name} owner to limited")).await;
    for limit in LIMITS {
        postgres.execute(&format!("alter role limited set {limit} = '1ms'")).await;
    }
    let version = "select current_setting('server_version_num')::int";
    let version: i32 =
        sqlx::query_scalar(version).fetch_one(&mut database.connect().await).await.expect("one");
    if version >= 170_000 {
        postgres.execute("alter role limited set transaction_timeout = '1ms'").await;
    }
    let url = database.url().replace("postgres@", "limited@");
    (database, url)
}

async fn migrate(source: &Core, to: &str) -> Ended {
    let from = format!("sqlite://{}", source.process.data_dir().join("chat.db").display());
    let variables = [("NETROX_CHAT_FROM", from.as_str()), ("NETROX_CHAT_TO", to)];
    process::run(source.process.directory(), ["migrate"], variables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_the_role_cut_off_neither_the_schema_nor_a_session() {
    let postgres = PostgresServer::start().await;
    let (_database, url) = limited(&postgres).await;
    let builder = Core::builder().store(Store::Sqlite).set("database-url", url);
    let mut core = Core::launch(builder).await;
    let [ada, bob] = core.users().await;
    for body in ["one", "two", "three"] {
        core.send(&ada, &bob, body).await.expect("stored");
    }
    core.kill_and_restart().await;
    assert_eq!(core.history(&bob, &ada).await.expect("a history").len(), 3);
    assert!(!core.log_contains("timeout"), "a session was cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_the_role_cut_off_no_copy() {
    let postgres = PostgresServer::start().await;
    let (database, url) = limited(&postgres).await;
    let mut source = Core::launch(Core::builder().store(Store::Sqlite)).await;
    let [ada, bob] = source.users().await;
    for number in 0..200 {
        source.send(&ada, &bob, &number.to_string()).await.expect("stored");
    }
    source.terminate();
    assert_eq!(source.exit_code().await, Some(0));
    let ended = migrate(&source, &url).await;
    assert!(ended.status.success(), "{ended:?}");
    let count = sqlx::query_scalar("select count(*) from messages");
    let count: i64 = count.fetch_one(&mut database.connect().await).await.expect("a count");
    assert_eq!(count, 200);
}
