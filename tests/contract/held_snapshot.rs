//! A snapshot that somebody holds: what sends replace stays, and the operator is told by whom.

use std::time::Duration;

use netrox_harness::{Engine, Role, alarms::Before, engine::PostgresServer};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

use crate::running::Core;

/// As many versions of each feed, one a transaction, as sends leave in a while.
const REPLACE: &str = "\
    do $$ begin
        for number in 1..6000 loop
            update feeds set last_seq = last_seq;
            commit;
        end loop;
    end $$";

/// A snapshot is told when it has lasted for half a minute.
const LASTS: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_snapshot_is_named() {
    let postgres = PostgresServer::start().await;
    let core = Core::launch(Core::builder().engine(Engine::Postgres, postgres.server())).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    let before = Before::of(&core.process).await;
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
    let log = core.process.log(Role::Core(0));
    let told = |line: String| {
        let event: Value = serde_json::from_str(&line).ok()?;
        let is_told = event["message"].as_str()?.starts_with("a snapshot of the database is held");
        (is_told && event["level"] == "WARN").then(|| event["held_by"].to_string())
    };
    let held_by = timeout(LASTS, async {
        loop {
            // None is told before the fourth look, which comes later than others wait for a line.
            if let Some(held_by) = log.lines().into_iter().find_map(told) {
                return held_by;
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    let held_by = held_by.await.expect("whoever holds a snapshot is told");
    assert!(held_by.contains("of postgres (a-dump)"), "{held_by}");
    before.alarms(&core.process, &[], &["SnapshotIsHeld"]).await;
}
