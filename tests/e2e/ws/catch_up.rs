//! A documented socket whose edge loses the core again and again, while others change what it is to be shown.

use netrox_harness::{
    Arrangement, TestChat, each,
    proxy::{Network, Proxy},
};
use serde_json::json;

use crate::v2::client::Client;

each![;
    split: messages_that_change_in_a_catch_up_are_shown_once;
    cluster: messages_that_change_in_a_catch_up_are_shown_once
];

const MESSAGES: usize = 72;
/// Of each text: a response of the core carries some 20.
const LONG: usize = 15_000;
/// A connection lets one response through.
const SHORT: usize = 400_000;

async fn messages_that_change_in_a_catch_up_are_shown_once(arrangement: Arrangement) {
    let builder = TestChat::builder(arrangement).edges(2).set("send-rate", "0");
    let mut chat = builder.set("store-wait", "1s").start().await;
    let way = Proxy::start(chat.grpc_address());
    let edge = chat.edge_roles()[0];
    chat.lead(edge, way.address()).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut documented = chat.edge_at(0).connect(&bob).await;
    let mut ada = Client::live(chat.edge_at(1), &ada).await;
    let text = |number: usize, word: &str| format!("canary {number} {word}{}", "x".repeat(LONG));
    let first = ada.say(&bob, "canary first").await;
    documented.expect_body("canary first").await;

    way.set(Network::Refused);
    let mut ids = Vec::new();
    for number in 0..MESSAGES {
        ids.push(ada.say(&bob, &text(number, "sent")).await);
    }
    // Before any of it is shown: what counts is what becomes of them.
    edit(&mut ada, first, "canary first, edited").await;
    for number in (0..MESSAGES).step_by(5) {
        edit(&mut ada, ids[number], &text(number, "edited")).await;
    }
    let deleted: Vec<_> = (2..MESSAGES).step_by(7).collect();
    for number in &deleted {
        delete(&mut ada, ids[*number]).await;
    }
    way.set(Network::Short(SHORT));
    for number in (0..MESSAGES).filter(|number| !deleted.contains(number)) {
        let shown = documented.next().await;
        assert_eq!(shown["created_msg_id"], ids[number], "again, or out of order, at {number}");
        let body = shown["message_body"].as_str().expect("a text");
        let is_word = |word: &str| body.starts_with(&format!("canary {number} {word}x"));
        let was_edited = number % 5 == 0;
        assert!(
            is_word("later") || is_word(if was_edited { "edited" } else { "sent" }),
            "{number}: {body:.30}"
        );
        // One that was shown, and one that may have been.
        for changed in [number / 2, (number + 25).min(MESSAGES - 1)] {
            if !deleted.contains(&changed) {
                edit(&mut ada, ids[changed], &text(changed, "later")).await;
            }
        }
    }
    way.set(Network::Open);
    ada.say(&bob, "canary last").await;
    documented.expect_body("canary last").await;
}

async fn edit(ada: &mut Client, id: i64, body: &str) {
    ada.ask(json!({"action": "message_edit", "message_id": id, "message_body": body})).await;
}

async fn delete(ada: &mut Client, id: i64) {
    ada.ask(json!({"action": "message_delete", "message_id": id, "for": "everyone"})).await;
}
