//! Who is online, where several cores share a database, with a bus and without.

use std::time::{Duration, Instant};

use netrox_harness::{Arrangement, Engine, TestChat, engine::NatsServer, eventually, run_test};

use crate::{
    presence::{Reports, Watcher},
    running::{Connection, authorized, connect_to},
};

/// A ghost is gone by then (PROTOCOL-2 section 6).
const PROMISED: Duration = Duration::from_secs(45);
const CONNECTED: &str = "the bus is connected";
/// Cores that have written down lately who is online with them.
const WRITTEN: &str = "\
    select count(*) from rolls
    where renewed > (extract(epoch from clock_timestamp()) * 1000000)::bigint - 10000000";

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

/// The database carries it meanwhile, and no longer once the bus is back.
#[tokio::test]
async fn while_the_bus_is_killed_who_leaves_is_gone_and_nobody_else_looks_so() {
    run_test(async {
        let mut nats = NatsServer::start().await;
        let builder = TestChat::builder(Arrangement::Cluster).cores(2).edges(0);
        let chat = builder.engine(Engine::Nats, nats.server()).start().await;
        let roles = chat.core_roles();
        let [one, two] = [roles[0], roles[1]].map(|role| chat.grpc_address_of(role));
        let (one, two) = (authorized(connect_to(one).await), authorized(connect_to(two).await));
        let [ada, bob, carol, dave, erin] = one.users().await;
        for peer in [&bob, &carol, &dave, &erin] {
            one.send(peer, &ada, "hello").await.expect("stored");
        }
        let (killed_edge, edge) = (Reports::open(&one).await, Reports::open(&one).await);
        killed_edge.say(&[&bob], &[]).await;
        edge.say(&[&carol], &[]).await;
        let peers = [&bob, &carol, &dave, &erin];
        let (mut at_two, first) = Watcher::open(&two, &ada, &peers).await;
        let online = |peer: &String| first.iter().any(|it| it.peer_id == *peer && it.online);
        let mut missing = [&bob, &carol].into_iter().filter(|peer| !online(peer)).count();
        while missing > 0 {
            let changes = at_two.changes().await;
            assert!(changes.iter().all(|change| change.online), "{changes:?}");
            missing -= changes.len();
        }

        nats.kill();
        let killed = Instant::now();
        drop(killed_edge);
        edge.say(&[&dave], &[]).await;
        let mut told = Vec::new();
        while told.len() < 2 {
            let changes = at_two.changes().await;
            told.extend(changes.into_iter().map(|change| (change.peer_id, change.online)));
        }
        assert!(killed.elapsed() < PROMISED, "{:?}", killed.elapsed());
        told.sort_by_key(|(_, online)| *online);
        assert_eq!(told, [(bob.clone(), false), (dave.clone(), true)], "and Carol stays");

        nats.start_again().await;
        for role in &roles {
            let log = chat.log(*role);
            eventually("the bus", async || (log.count_of(CONNECTED) >= 2).then_some(())).await;
        }
        edge.say(&[&erin], &[&dave]).await;
        let came = at_two.change().await;
        assert_eq!((&came.peer_id, came.online), (&erin, true));
        let left = at_two.change().await;
        assert_eq!((&left.peer_id, left.online), (&dave, false));
        eventually("cores that write it down no more", async || {
            (chat.count(WRITTEN).await == 0).then_some(())
        })
        .await;
        let presences = two.presences(&ada, &[&carol, &erin, &bob]).await.expect("an answer");
        assert_eq!(presences.iter().map(|it| it.online).collect::<Vec<_>>(), [true, true, false]);
        drop(edge);
        let mut left = 0;
        while left < 2 {
            let changes = at_two.changes().await;
            assert!(changes.iter().all(|change| !change.online), "{changes:?}");
            left += changes.len();
        }
    })
    .await;
}

/// What the others have to say comes before the first answer.
#[tokio::test]
async fn a_core_that_has_just_begun_waits_for_what_others_tell() {
    run_test(async {
        let (mut chat, one, _) = start(true).await;
        let [ada, bob] = one.users().await;
        one.send(&bob, &ada, "hello").await.expect("stored");
        let edge = Reports::open(&one).await;
        edge.say(&[&bob], &[]).await;
        let role = chat.core_roles()[1];
        for _ in 0..3 {
            chat.restart(role).await;
            let two = authorized(connect_to(chat.grpc_address_of(role)).await);
            let (_watcher, first) = Watcher::open(&two, &ada, &[&bob]).await;
            assert!(first[0].online, "{first:?}");
        }
    })
    .await;
}
