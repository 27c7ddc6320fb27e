//! Cores that share a database share what there is to remove, and to erase.

use netrox_harness::{Arrangement, Role, TestChat, eventually, run_test};

use crate::{
    erasure::erase,
    retention::{age, none_is_due},
    running::{Connection, authorized, connect_to},
    search::say_all,
};

const MESSAGES: usize = 1_500;

async fn connect(chat: &TestChat, core: Role) -> Connection {
    authorized(connect_to(chat.grpc_address_of(core)).await)
}

/// What the cores have counted, together.
async fn counted(chat: &TestChat, metric: &str) -> u64 {
    let mut sum = 0;
    for core in chat.core_roles() {
        let metrics = chat.admin(core).get("/metrics").send().await;
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let line = metrics.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        sum += line.expect("a metric").parse::<u64>().expect("a number");
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn cores_remove_each_message_once() {
    run_test(async {
        let mut chat = TestChat::builder(Arrangement::Cluster).cores(2).edges(0).start().await;
        let cores = chat.core_roles();
        let core = connect(&chat, cores[0]).await;
        let [ada, bob, cyd] = core.users().await;
        let bodies: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
        let mut ids = say_all(&core, &ada, &bob, &bodies).await;
        ids.extend(say_all(&core, &bob, &cyd, &bodies[..100]).await);
        age(&chat, &ids).await;
        chat.set("retain-messages", "24h");
        for core in &cores {
            chat.kill(*core);
        }
        for core in &cores {
            chat.spawn(*core).await;
        }
        // Meanwhile others write, each through another core than the other.
        let [one, two] = [connect(&chat, cores[0]).await, connect(&chat, cores[1]).await];
        for number in 0..50 {
            let body = format!("new {number}");
            one.send(&ada, &bob, &body).await.expect("stored");
            two.send(&bob, &ada, &body).await.expect("stored");
        }
        none_is_due(&chat).await;
        assert_eq!(one.history(&bob, &ada).await.expect("a history").len(), 100);
        assert_eq!(two.history(&cyd, &bob).await.expect("a history").len(), 0);
        eventually("both to have counted", async || {
            let removed = counted(&chat, "netrox_chat_messages_removed_total").await;
            (removed == MESSAGES as u64 + 100).then_some(())
        })
        .await;
        for core in cores {
            chat.kill(core);
        }
        assert_eq!(chat.database().deadlocks().await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_core_goes_on_with_an_erasure_whose_core_is_gone() {
    run_test(async {
        let mut chat = TestChat::builder(Arrangement::Cluster).cores(2).edges(0).start().await;
        let cores = chat.core_roles();
        let [one, two] = [connect(&chat, cores[0]).await, connect(&chat, cores[1]).await];
        let [ada, bob] = one.users().await;
        let bodies: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
        say_all(&one, &ada, &bob, &bodies).await;
        erase(&one, &ada).await.expect("begun");
        eventually("a part that is erased", async || {
            let erased = "select count(*) from messages where deleted";
            (chat.count(erased).await > 0).then_some(())
        })
        .await;
        chat.kill(cores[0]);
        eventually("the end of the erasure", async || {
            (chat.count("select count(*) from erasures").await == 0).then_some(())
        })
        .await;
        let history = two.history(&bob, &ada).await.expect("a history");
        assert_eq!(history.len(), MESSAGES);
        assert!(history.iter().all(|message| message.deleted && message.body.is_empty()));
    })
    .await;
}
