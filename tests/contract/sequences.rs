//! Sequences that are behind the ids of their tables: those of a database that was moved by logical replication, or were
//! put back by hand.

use std::collections::HashSet;

use netrox_harness::{Role, database::Database};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::running::Core;

const SEQUENCES: [&str; 3] = ["message_ids", "thread_ids", "users_key_seq"];

async fn restart_sequences(database: &Database) {
    let mut connection = database.connect().await;
    for sequence in SEQUENCES {
        let restart = AssertSqlSafe(format!("alter sequence {sequence} restart"));
        sqlx::query(restart).execute(&mut connection).await.expect("restarted");
    }
}

/// The line that says so comes once for each sequence.
fn lines(core: &Core) -> usize {
    let lines = core.process.log(Role::Core(0)).lines();
    lines.iter().filter(|line| line.contains("a sequence was behind the ids of its table")).count()
}

/// Ten messages between each two of three users; the greatest id of a message and of a thread.
async fn fill(core: &Core) -> ([String; 3], i64, i64) {
    let users: [String; 3] = core.users().await;
    let (mut message, mut thread) = (0, 0);
    for _ in 0..10 {
        for (one, two) in [(0, 1), (1, 2), (2, 0)] {
            let stored = core.send(&users[one], &users[two], "hello").await.expect("stored");
            (message, thread) = (message.max(stored.message_id), thread.max(stored.thread_id));
        }
    }
    (users, message, thread)
}

/// New users, threads and messages get ids that are new.
async fn goes_on([ada, ..]: &[String; 3], core: &Core, message: i64, thread: i64) {
    let [eve] = core.users().await;
    let mut last = message;
    for number in 0..20 {
        let stored = core.send(ada, &eve, "hello").await.expect("stored");
        assert!(stored.message_id > last && stored.thread_id > thread, "{stored:?}");
        last = stored.message_id;
        let history = core.history(&eve, ada).await.expect("a history");
        assert_eq!(history.len(), number + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_database_gives_no_id_twice() {
    let mut core = Core::start().await;
    let (users, message, thread) = fill(&core).await;
    core.terminate();
    assert_eq!(core.exit_code().await, Some(0));
    restart_sequences(core.process.database()).await;
    core.start_again().await;
    assert_eq!(lines(&core), 3);
    goes_on(&users, &core, message, thread).await;
    // There is nothing to lift the next time.
    core.kill_and_restart().await;
    assert_eq!(lines(&core), 0);
    goes_on(&users, &core, message, thread).await;
}

/// The first that finds an id taken puts it right, and is stored all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_is_put_back_under_a_running_core_refuses_nobody() {
    let core = Core::start().await;
    let (users, message, thread) = fill(&core).await;
    restart_sequences(core.process.database()).await;
    let [ada, bob, _] = &users;
    let stored = core.send(ada, bob, "the first").await.expect("stored");
    assert!(stored.message_id > message, "{stored:?}");
    goes_on(&users, &core, message, thread).await;
    assert!(lines(&core) > 0);
}

/// Others take ids while cores start and lift.
#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_is_never_put_back_beside_others() {
    const TAKERS: usize = 3;
    let mut core = Core::start().await;
    fill(&core).await;
    let mut taken = HashSet::new();
    for _ in 0..3 {
        core.process.kill(Role::Core(0));
        let mut connection = core.process.database().connect().await;
        // Behind by little, so that who takes meanwhile passes the greatest id at that moment.
        let behind = "select setval('message_ids', max(id) - 1) from messages";
        sqlx::query(behind).execute(&mut connection).await.expect("put back");
        // An id of ours may come again now, but none that was taken since.
        taken.clear();
        let mut takers = JoinSet::new();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        for _ in 0..TAKERS {
            let (mut connection, stopped) =
                (core.process.database().connect().await, stopped.clone());
            takers.spawn(async move {
                let mut ids: Vec<i64> = Vec::new();
                while !*stopped.borrow() {
                    let next = sqlx::query_scalar("select nextval('message_ids')");
                    ids.push(next.fetch_one(&mut connection).await.expect("an id"));
                }
                ids
            });
        }
        core.start_again().await;
        stop.send_replace(true);
        while let Some(ids) = takers.join_next().await {
            for id in ids.expect("a taker") {
                assert!(taken.insert(id), "{id} was given twice");
            }
        }
        assert!(!taken.is_empty());
        core.upsert(&[Uuid::new_v4().to_string()]).await;
    }
}
