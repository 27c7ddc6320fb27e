//! Logs never hold a token or a message body, at any level.

use std::collections::BTreeSet;

use netrox_harness::{Arrangement, TestChat, each, multipart::Form};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::log_fields::Listed;

each![nothing_that_users_send_is_logged];

/// Every log is searched for tokens and for this word when a [`TestChat`] is dropped.
const CANARY: &str = "canary in a body";

async fn nothing_that_users_send_is_logged(arrangement: Arrangement) {
    let builder = TestChat::builder(arrangement).set("log-filter", "trace");
    let chat = builder.set("media-access", "participants").start().await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;

    ada_socket.say(&bob, CANARY).await;
    bob_socket.expect_body(CANARY).await;
    for (frame, code) in [
        (json!({"action": "chat_message", "message_body": CANARY}), "invalid_field"),
        (json!({"action": CANARY}), "unknown_action"),
        (json!({"action": "chat_message_file", "chat_id": CANARY}), "invalid_field"),
        (
            json!({"action": "chat_message", "message_body": CANARY, "receiver_id": CANARY}),
            "invalid_receiver",
        ),
        (json!([CANARY, ada.token]), "invalid_json"),
    ] {
        ada_socket.send(&frame).await;
        ada_socket.expect_error(code).await;
    }
    ada_socket.send_message(Message::binary(CANARY)).await;
    ada_socket.expect_error("invalid_json").await;

    let form = || Form::new().text("receiver", &bob.id).text("message", CANARY);
    let answer = chat.store(&ada, form().file("canary.txt", CANARY)).await;
    let message = answer.json()["entity"]["message"].clone();
    ada_socket.dispatch(message["id"].clone()).await;
    assert_eq!(bob_socket.next().await["message_body"], CANARY);
    assert_eq!(chat.upload(&ada, form()).await.status, 400);

    let path = message["attached_file"].as_str().expect("a path");
    let query = |token: &str| format!("{path}?token={token}");
    assert_eq!(chat.get(&query(&bob.token)).send().await.status, 200);
    let tampered = format!("{}x", bob.token);
    assert_eq!(chat.get(&query(&tampered)).send().await.status, 404);
    assert_eq!(chat.history(&bob, &ada).await.len(), 2);
    for path in ["/chat/get-user-threads/", "/nope"] {
        let path = format!("{path}?token={tampered}");
        assert!(chat.get(&path).bearer(&tampered).send().await.status >= 400);
    }
    let path = format!("/ws/chat/room/?token={tampered}");
    assert_eq!(chat.get(&path).websocket().send().await.status, 401);

    // There is a log at that level.
    let roles = chat.roles();
    assert!(roles.iter().all(|role| !chat.log(*role).lines().is_empty()));
    let listed = Listed::read();
    for line in roles.iter().flat_map(|role| chat.log(*role).lines()) {
        assert_listed(&listed, &serde_json::from_str(&line).expect("a line of JSON"));
    }
}

/// What a line has beside what all have is in `docs/LOGS.md`; of lines of libraries, the spans around them.
fn assert_listed(listed: &Listed, line: &Value) {
    const OF_ALL: [&str; 6] = ["timestamp", "level", "message", "target", "span", "spans"];
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    if line["target"].as_str().expect("a target").starts_with("netrox_") {
        let is_known = |key: &String| OF_ALL.contains(&&**key) || listed.fields.contains(key);
        assert!(keys(line).iter().all(is_known), "{line}");
    }
    for span in line["spans"].as_array().into_iter().flatten() {
        let Some(fields) = span["name"].as_str().and_then(|name| listed.spans.get(name)) else {
            // Of a library.
            continue;
        };
        assert!(keys(span).iter().all(|key| key == "name" || fields.contains(key)), "{line}");
    }
}
