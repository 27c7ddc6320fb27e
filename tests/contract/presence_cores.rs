//! Who is online, where several cores share a database, with a bus and without.

use std::time::{Duration, Instant};

use netrox_harness::{Arrangement, TestChat, eventually, run_test};

use crate::{
    presence::{Reports, Watcher},
    running::{Connection, authorized, connect_to},
};

/// A ghost is gone by then (PROTOCOL-2 section 6).
const PROMISED: Duration = Duration::from_secs(45);

async fn start(has_bus: bool) -> (TestChat, Connection, Connection) {
    let builder = TestChat::builder(Arrangement::Cluster).cores(2).edges(0);
    let builder = if has_bus { builder } else { builder.set("bus-url", "nats://127.0.0.1:1") };
    let chat = builder.start().await;
    let roles = chat.core_roles();
    let one = authorized(connect_to(chat.grpc_address_of(roles[0])).await);
    let two = authorized(connect_to(chat.grpc_address_of(roles[1])).await);
    (chat, one, two)
}

async fn online_on_the_other_core_and_gone_with_it(has_bus: bool) {
    let (mut chat, one, two) = start(has_bus).await;
    let [ada, bob] = one.users().await;
    for (sender, receiver) in [(&bob, &ada), (&ada, &bob)] {
        one.send(sender, receiver, "hello").await.expect("stored");
    }
    let (mut at_two, _) = Watcher::open(&two, &ada, &[&bob]).await;
    let edge = Reports::open(&one).await;
    edge.say(&[&bob], &[]).await;
    assert!(at_two.change().await.online);
    let killed = Instant::now();
    chat.kill(chat.core_roles()[0]);
    let left = at_two.change().await;
    assert!(!left.online && left.last_seen.is_some(), "{left:?}");
    assert!(killed.elapsed() < PROMISED, "{:?}", killed.elapsed());
    // Nobody else could store it.
    let query = "select count(*) from last_seen";
    eventually("when Bob was last seen", async || (chat.count(query).await == 1).then_some(()))
        .await;
}

#[tokio::test]
async fn a_killed_core_leaves_no_ghost() {
    run_test(online_on_the_other_core_and_gone_with_it(true)).await;
}

#[tokio::test]
async fn a_killed_core_leaves_no_ghost_where_there_is_no_bus() {
    run_test(online_on_the_other_core_and_gone_with_it(false)).await;
}

#[tokio::test]
async fn what_one_core_stores_closes_and_opens_on_the_other() {
    run_test(async {
        let (_chat, one, two) = start(true).await;
        let [ada, bob] = one.users().await;
        one.send(&ada, &bob, "hello").await.expect("stored");
        let edge = Reports::open(&one).await;
        edge.say(&[&bob, &ada], &[]).await;
        let (mut at_two, first) = Watcher::open(&two, &ada, &[&bob]).await;
        assert!(!first[0].online);
        one.send(&bob, &ada, "hello").await.expect("stored");
        assert!(at_two.change().await.online, "a reply opens it");
        let stored = Instant::now();
        one.block(&bob, &ada).await.expect("blocked");
        assert!(!at_two.change().await.online);
        assert!(stored.elapsed() < Duration::from_secs(3), "{:?}", stored.elapsed());
        one.unblock(&bob, &ada).await.expect("unblocked");
        eventually("what an unblock opens", async || {
            let presences = two.presences(&ada, &[&bob]).await.expect("an answer");
            presences[0].online.then_some(())
        })
        .await;
        let hidden = Instant::now();
        one.hide(&bob, true).await.expect("hidden");
        eventually("nobody", async || {
            let presences = two.presences(&ada, &[&bob]).await.expect("an answer");
            (!presences[0].online).then_some(())
        })
        .await;
        assert!(hidden.elapsed() < Duration::from_secs(3), "{:?}", hidden.elapsed());
    })
    .await;
}

#[tokio::test]
async fn a_core_that_ends_stores_when_its_users_were_seen_and_says_so() {
    run_test(async {
        let (mut chat, one, two) = start(true).await;
        let [ada, bob] = one.users().await;
        for (sender, receiver) in [(&bob, &ada), (&ada, &bob)] {
            one.send(sender, receiver, "hello").await.expect("stored");
        }
        let (mut at_two, _) = Watcher::open(&two, &ada, &[&bob]).await;
        let edge = Reports::open(&one).await;
        edge.say(&[&bob], &[]).await;
        assert!(at_two.change().await.online);
        let ended = Instant::now();
        let role = chat.core_roles()[0];
        assert!(chat.terminate(role).await.success());
        assert_eq!(chat.count("select count(*) from last_seen").await, 1);
        assert!(!at_two.change().await.online);
        // Sooner than one that is only silent.
        assert!(ended.elapsed() < Duration::from_secs(15), "{:?}", ended.elapsed());
    })
    .await;
}

#[tokio::test]
async fn who_was_deleted_by_one_core_is_gone_on_the_other() {
    run_test(async {
        let (chat, one, two) = start(true).await;
        let [ada, bob] = one.users().await;
        for (sender, receiver) in [(&bob, &ada), (&ada, &bob)] {
            one.send(sender, receiver, "hello").await.expect("stored");
        }
        let edge = Reports::open(&one).await;
        edge.say(&[&bob], &[]).await;
        let (mut at_two, first) = Watcher::open(&two, &ada, &[&bob]).await;
        if !first[0].online {
            assert!(at_two.change().await.online);
        }
        one.hide(&ada, true).await.expect("hidden");
        one.hide(&ada, false).await.expect("shown");
        let deleted = Instant::now();
        one.delete_user(&bob).await.expect("deleted");
        eventually("nobody", async || {
            let presences = two.presences(&ada, &[&bob]).await.expect("an answer");
            (!presences[0].online).then_some(())
        })
        .await;
        assert!(deleted.elapsed() < Duration::from_secs(3), "{:?}", deleted.elapsed());
        assert_eq!(chat.count("select count(*) from last_seen").await, 0);
        assert_eq!(chat.count("select count(*) from hidden_users where hidden").await, 0);
    })
    .await;
}
