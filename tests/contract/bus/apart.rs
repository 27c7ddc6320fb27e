//! Cores that are all connected to a bus, and not to each other: two servers that are no cluster, or two accounts of one.

use netrox_harness::{
    Builder, Engine, TestChat, alarms::Before, engine::NatsServer, eventually, run_test,
};

use super::{RECEIVING, SENDING, builder, connect, listener};
use crate::{running::Connection, subscribe::Subscription};

const USERS: usize = 8;
const TOLD: &str = "the bus is connected and does not carry what other cores store";

/// One who sends on one core to many who listen on the other.
struct Pair {
    chat: TestChat,
    sending: Connection,
    ada: String,
    receivers: Vec<(String, Subscription)>,
}

impl Pair {
    async fn start(builder: Builder, receivers_bus: &NatsServer) -> Self {
        let chat = builder.start().await;
        let sending = connect(&chat, SENDING).await;
        let receiving = connect(&chat, RECEIVING).await;
        let [ada] = sending.users().await;
        let users: [String; USERS] = sending.users().await;
        let mut receivers = Vec::new();
        for user in users {
            let subscription = Subscription::open(&receiving, &user).await;
            listener(receivers_bus, &user).await;
            receivers.push((user, subscription));
        }
        Self { chat, sending, ada, receivers }
    }

    /// A message to each of them.
    async fn talk(&mut self) {
        let mut sent = Vec::new();
        for (user, _) in &self.receivers {
            let stored = self.sending.send(&self.ada, user, "hello").await.expect("stored");
            sent.push(stored.message_id);
        }
        for ((_, subscription), id) in self.receivers.iter_mut().zip(sent) {
            assert_eq!(subscription.message().await.id, id);
        }
    }
}

#[tokio::test]
async fn a_bus_that_carries_nothing_is_warned_about() {
    run_test(async {
        let [nats, other] = [NatsServer::start().await, NatsServer::start().await];
        let route = builder(&nats).route(RECEIVING, Engine::Nats, other.address());
        let mut apart = Pair::start(route, &other).await;
        let mut together = Pair::start(builder(&nats), &nats).await;
        let before = Before::of(&apart.chat).await;
        eventually("what is told", async || {
            together.talk().await;
            apart.talk().await;
            apart.chat.log(RECEIVING).contains(TOLD).then_some(())
        })
        .await;
        for core in [SENDING, RECEIVING] {
            assert!(!together.chat.log(core).contains(TOLD), "a bus that carries all");
        }
        before.alarms_if_it_goes_on(&apart.chat, &[], &["BusLosesHints"]).await;
        // Who receives nothing from others has nothing to complain about.
        assert!(!apart.chat.log(SENDING).contains(TOLD));
    })
    .await;
}
