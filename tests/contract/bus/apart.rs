//! Cores that are all connected to a bus, and not to each other: two servers that are no cluster, or two accounts of one.

use netrox_harness::{Engine, engine::NatsServer, eventually, run_test};

use super::{RECEIVING, SENDING, builder, connect, listener};
use crate::subscribe::Subscription;

const USERS: usize = 8;
const TOLD: &str = "the bus is connected and does not carry what other cores store";

#[tokio::test]
async fn a_bus_that_carries_nothing_is_warned_about() {
    run_test(async {
        let [nats, other] = [NatsServer::start().await, NatsServer::start().await];
        let apart = builder(&nats).route(RECEIVING, Engine::Nats, other.address()).start().await;
        let together = builder(&nats).start().await;
        for (chat, receivers, is_told) in [(&together, &nats, false), (&apart, &other, true)] {
            let sending = connect(chat, SENDING).await;
            let receiving = connect(chat, RECEIVING).await;
            let [ada] = sending.users().await;
            let users: [String; USERS] = sending.users().await;
            let mut subscriptions = Vec::new();
            for user in &users {
                subscriptions.push(Subscription::open(&receiving, user).await);
                listener(receivers, user).await;
            }
            let mut rounds = 0;
            eventually("what is told", async || {
                for (user, subscription) in users.iter().zip(&mut subscriptions) {
                    let id = sending.send(&ada, user, "hello").await.expect("stored").message_id;
                    assert_eq!(subscription.message().await.id, id);
                }
                rounds += 1;
                let told = chat.log(RECEIVING).contains(TOLD);
                assert!(is_told || !told, "a bus that carries all is complained about");
                // By the bus it takes a moment, and so it is tried often.
                (told || !is_told && rounds >= 150).then_some(())
            })
            .await;
            // Who receives nothing from others has nothing to complain about.
            assert!(!chat.log(SENDING).contains(TOLD));
        }
    })
    .await;
}
