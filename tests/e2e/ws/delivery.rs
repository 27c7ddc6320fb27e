//! Who gets a text message.

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::json;

each![
    every_device_of_the_receiver_gets_it,
    no_device_of_the_sender_gets_it,
    nobody_else_gets_it,
    a_receiver_who_is_away_finds_it_in_history,
    a_receiver_id_in_upper_case_is_the_same_user,
    extra_keys_are_ignored,
    what_a_closing_sender_sent_is_delivered,
];

async fn every_device_of_the_receiver_gets_it(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, first) = chat.join("bob").await;
    let mut devices = vec![first, chat.connect(&bob).await, chat.connect(&bob).await];
    ada_socket.say(&bob, "hello").await;
    let mut frames = Vec::new();
    for device in &mut devices {
        frames.push(device.next_text().await);
    }
    assert!(frames.iter().all(|frame| *frame == frames[0]), "{frames:?}");
    for device in &mut devices {
        device.expect_no_answer().await;
    }
}

async fn no_device_of_the_sender_gets_it(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut sending) = chat.join("ada").await;
    let mut other_device = chat.connect(&ada).await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    sending.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
    sending.expect_silence(&ada, &mut bob_socket).await;
    // The same message fences both devices.
    let fence = other_device.next().await;
    assert!(fence["message_body"].as_str().expect("a body").starts_with("canary-fence"), "{fence}");
}

async fn nobody_else_gets_it(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (carol, mut carol_socket) = chat.join("carol").await;
    ada_socket.say(&bob, "for bob").await;
    bob_socket.expect_body("for bob").await;
    carol_socket.expect_silence(&carol, &mut bob_socket).await;
}

async fn a_receiver_who_is_away_finds_it_in_history(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let bob = chat.user("bob").await;
    ada_socket.say(&bob, "while you were away").await;
    ada_socket.expect_no_answer().await;
    let history = chat.history(&bob, &ada).await;
    assert_eq!(history[0]["message"], "while you were away");
    // The socket carries what comes from now on.
    let mut bob_socket = chat.connect(&bob).await;
    bob_socket.expect_silence(&bob, &mut ada_socket).await;
}

async fn a_receiver_id_in_upper_case_is_the_same_user(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let receiver = bob.id.to_uppercase();
    ada_socket
        .send(&json!({"action": "chat_message", "message_body": "hi", "receiver_id": receiver}))
        .await;
    assert_eq!(bob_socket.expect_body("hi").await["receiver_id"], *bob.id);
}

async fn extra_keys_are_ignored(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let frame = json!({
        "action": "chat_message",
        "message_body": "hello",
        "receiver_id": bob.id,
        "sender_id": bob.id,
        "created_msg_id": 1,
        "chat_id": "not a number",
        "client": {"name": "an app", "versions": [1, 2, {"three": null}]},
        "": true,
    });
    ada_socket.send(&frame).await;
    let delivered = bob_socket.expect_body("hello").await;
    assert_eq!(delivered["sender_id"], *ada.id);
    // An unknown key may even come twice.
    let twice = format!(
        r#"{{"x":1,"action":"chat_message","x":2,"message_body":"again","receiver_id":"{}"}}"#,
        bob.id
    );
    ada_socket.send_text(&twice).await;
    bob_socket.expect_body("again").await;
}

async fn what_a_closing_sender_sent_is_delivered(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for number in 0..50 {
        ada_socket.say(&bob, &number.to_string()).await;
    }
    ada_socket.close().await;
    for number in 0..50 {
        bob_socket.expect_body(&number.to_string()).await;
    }
}
