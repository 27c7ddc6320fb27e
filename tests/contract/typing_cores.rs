//! Who types, where several cores share a database and a bus.

use std::time::{Duration, Instant};

use netrox_harness::{Arrangement, TestChat, eventually, run_test};

use crate::{
    running::{Connection, authorized, connect_to},
    typing::Watcher,
};

/// How late a core may know of a block that another has stored.
const PROMISED: Duration = Duration::from_secs(1);

async fn start() -> (TestChat, Connection, Connection) {
    let chat = TestChat::builder(Arrangement::Cluster).cores(2).edges(0).start().await;
    let roles = chat.core_roles();
    let one = authorized(connect_to(chat.grpc_address_of(roles[0])).await);
    let two = authorized(connect_to(chat.grpc_address_of(roles[1])).await);
    (chat, one, two)
}

/// Types until it is seen: a bus that is just being listened to loses what came before.
async fn seen_typing(from: &Connection, user: &str, peer: &str, watcher: &mut Watcher) {
    eventually("a signal on the other core", async || {
        from.typing(user, peer, true).await.expect("told");
        let next = tokio::time::timeout(Duration::from_millis(200), watcher.next_typing());
        next.await.ok().filter(|told| *told == (user.to_owned(), true))
    })
    .await;
}

#[tokio::test]
async fn a_signal_reaches_the_peer_on_another_core() {
    run_test(async {
        let (_chat, one, two) = start().await;
        let [ada, bob] = one.users().await;
        one.send(&ada, &bob, "hello").await.expect("stored");
        let mut at_bob = Watcher::open(&two, &bob).await;
        seen_typing(&one, &ada, &bob, &mut at_bob).await;
        one.typing(&ada, &bob, false).await.expect("told");
        while at_bob.next_typing().await != (ada.clone(), false) {}
        // A reply that another core stored opens it, too.
        let mut at_ada = Watcher::open(&one, &ada).await;
        two.typing(&bob, &ada, true).await.expect("no refusal");
        two.send(&bob, &ada, "hello").await.expect("stored");
        seen_typing(&two, &bob, &ada, &mut at_ada).await;
        one.typing(&bob, &ada, false).await.expect("told");
    })
    .await;
}

#[tokio::test]
async fn after_a_block_no_core_tells_anything_for_longer_than_is_promised() {
    run_test(async {
        let (_chat, one, two) = start().await;
        let [ada, bob, carol] = one.users().await;
        for (sender, receiver) in [(&bob, &ada), (&ada, &bob), (&carol, &ada)] {
            one.send(sender, receiver, "hello").await.expect("stored");
        }
        let mut at_one = Watcher::open(&one, &ada).await;
        let mut at_two = Watcher::open(&two, &ada).await;
        // Both cores know that Bob may, and go on knowing it.
        seen_typing(&one, &bob, &ada, &mut at_two).await;
        seen_typing(&two, &bob, &ada, &mut at_one).await;
        for _ in 0..10 {
            one.typing(&bob, &ada, true).await.expect("told");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        two.block(&ada, &bob).await.expect("blocked");
        let blocked = Instant::now();
        let typing = async {
            while blocked.elapsed() < PROMISED * 3 {
                one.typing(&bob, &ada, true).await.expect("no refusal");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // What ends it for those who look on.
            for from in [&one, &two] {
                from.typing(&carol, &ada, true).await.expect("told");
            }
        };
        let last_of_bob = async |watcher: &mut Watcher| {
            let mut last = None;
            loop {
                let (peer, _) = watcher.next_typing().await;
                if peer == carol {
                    return last;
                }
                last = Some(blocked.elapsed());
            }
        };
        let ((), at_one, at_two) =
            tokio::join!(typing, last_of_bob(&mut at_one), last_of_bob(&mut at_two));
        // What was under way when the answer came may still arrive.
        let slack = Duration::from_millis(300);
        assert!(at_one.is_none_or(|last| last < PROMISED + slack), "{at_one:?}");
        assert!(at_two.is_none_or(|last| last < slack), "{at_two:?}");
    })
    .await;
}
