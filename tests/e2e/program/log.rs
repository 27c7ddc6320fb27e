//! Logs never hold a token or a message body, at any level.

use netrox_harness::{Arrangement, TestChat, each, multipart::Form};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

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
}
