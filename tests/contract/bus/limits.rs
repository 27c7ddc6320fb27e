//! A bus that takes short messages alone, or none: other cores learn from the database, and the operator why.

use std::path::PathBuf;

use netrox_harness::{alarms::Before, engine::NatsServer, eventually, run_test};
use serde_json::Value;
use tempfile::TempDir;

use super::{RECEIVING, SENDING, arguments, builder, connect, listener, users_apart};
use crate::subscribe::Subscription;

struct Configuration {
    _directory: TempDir,
    path: PathBuf,
}

impl Configuration {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("nats.conf");
        std::fs::write(&path, text).expect("write");
        Self { _directory: directory, path }
    }

    async fn start(&self, user: &str) -> NatsServer {
        NatsServer::start_with(|address| {
            let path = self.path.to_str().expect("UTF-8");
            (format!("nats://{user}{address}"), arguments(["--config", path]))
        })
        .await
    }
}

#[tokio::test]
async fn what_is_too_long_for_the_bus_is_looked_up_and_the_operator_knows() {
    run_test(async {
        let configuration = Configuration::new("max_payload: 1024\n");
        let nats = configuration.start("").await;
        let chat = builder(&nats).start().await;
        let sending = connect(&chat, SENDING).await;
        let receiving = connect(&chat, RECEIVING).await;
        let [ada, bob] = users_apart(&sending).await;
        let mut subscription = Subscription::open(&receiving, &bob).await;
        let _ada = Subscription::open(&sending, &ada).await;
        listener(&nats, &bob).await;
        let published = async || {
            let connection = listener(&nats, &ada).await;
            connection["in_msgs"].as_u64().expect("a number")
        };
        let before = published().await;
        for body in ["x".repeat(4_096), "short".to_owned()] {
            let id = sending.send(&ada, &bob, &body).await.expect("stored").message_id;
            assert_eq!(subscription.message().await.id, id);
        }
        // One for each participant of each message.
        eventually("hints of all of them", async || {
            (published().await >= before + 4).then_some(())
        })
        .await;
        for core in [SENDING, RECEIVING] {
            chat.log(core).counts("the bus takes short messages alone", 1).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_core_that_may_not_publish_is_warned_about_once() {
    run_test(async {
        let configuration = Configuration::new(
            "authorization { users: [ { user: chat, password: chat, permissions: {
                publish: { deny: \">\" } } } ] }\n",
        );
        let nats = configuration.start("chat:chat@").await;
        let chat = builder(&nats).start().await;
        let before = Before::of(&chat).await;
        let sending = connect(&chat, SENDING).await;
        let receiving = connect(&chat, RECEIVING).await;
        let [ada, bob] = users_apart(&sending).await;
        let mut subscription = Subscription::open(&receiving, &bob).await;
        listener(&nats, &bob).await;
        let is_refusal = |event: &Value| {
            let text = event["error"].as_str()?.to_ascii_lowercase();
            text.contains("permissions violation for publish").then_some(())
        };
        // All of them first: each comes by a check alone, and in a minute there may be another warning.
        let mut ids = Vec::new();
        for number in 0..20 {
            let sent = sending.send(&ada, &bob, &number.to_string()).await.expect("stored");
            ids.push(sent.message_id);
        }
        for id in ids {
            assert_eq!(subscription.message().await.id, id);
        }
        let mut log = chat.log(SENDING);
        log.event("a refusal by the bus", is_refusal).await;
        let lines = log.lines();
        let told = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        assert_eq!(told.filter(|event| is_refusal(event).is_some()).count(), 1);
        before.alarms(&chat, &[], &["BusIsRefused"]).await;
    })
    .await;
}
