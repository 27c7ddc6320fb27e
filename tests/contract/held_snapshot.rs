//! A snapshot that somebody holds: what sends replace stays, and the operator is told by whom.

use netrox_harness::{Engine, Role, engine::PostgresServer};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::running::Core;

/// As many versions of each feed, one a transaction, as sends leave in a while.
const REPLACE: &str = "\
    do $$ begin
        for number in 1..6000 loop
            update feeds set last_seq = last_seq;
            commit;
        end loop;
    end $$";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_snapshot_is_named() {
    let postgres = PostgresServer::start().await;
    let core = Core::launch(Core::builder().engine(Engine::Postgres, postgres.server())).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    let url = format!("{}?application_name=a-dump", core.process.database().url());
    let mut holder = PgConnection::connect(&url).await.expect("connect");
    for statement in ["begin isolation level repeatable read", "select 1 from feeds"] {
        sqlx::raw_sql(statement).execute(&mut holder).await.expect(statement);
    }
    let mut connection = core.process.database().connect().await;
    let at_once = "set synchronous_commit = off";
    sqlx::raw_sql(at_once).execute(&mut connection).await.expect(at_once);
    sqlx::raw_sql(REPLACE).execute(&mut connection).await.expect("replaced");
    drop(connection);
    let mut log = core.process.log(Role::Core(0));
    let held_by = log.event("a snapshot that is held", |event: &Value| {
        let is_told = event["message"].as_str()?.starts_with("a snapshot of the database is held");
        (is_told && event["level"] == "WARN").then(|| event["held_by"].clone())
    });
    let held_by = held_by.await;
    let held_by = held_by.as_str().expect("a text");
    assert!(held_by.contains("of postgres (a-dump)"), "{held_by}");
}
