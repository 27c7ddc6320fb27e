//! `chat_message_file`.

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::{Value, json};

each![
    the_id_is_a_string_or_a_number,
    every_device_of_the_receiver_gets_the_stored_message,
    the_sender_gets_no_frame,
    a_repetition_delivers_nothing,
    dispatches_at_once_deliver_once,
    only_the_sender_of_a_file_may_dispatch_it,
    not_yours_looks_like_not_there,
    a_dispatch_keeps_its_place_among_texts,
    the_timestamp_is_that_of_the_dispatch,
    a_dispatch_to_somebody_away_is_not_repeated,
];

async fn the_id_is_a_string_or_a_number(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for as_string in [true, false] {
        let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
        let id = message["id"].clone();
        let chat_id = if as_string { json!(id.to_string()) } else { id.clone() };
        ada_socket.dispatch(chat_id).await;
        let frame = bob_socket.next().await;
        assert_eq!(frame["action"], "re_message_file", "{frame}");
        assert_eq!(frame["created_msg_id"], id);
    }
}

async fn every_device_of_the_receiver_gets_the_stored_message(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let mut other_device = chat.connect(&bob).await;
    let message = chat.upload_file(&ada, &bob, "naïve \\\"name\\\".txt", "content").await;
    for body in [json!("another text"), Value::Null, json!(3), json!({"a": [1]})] {
        let frame =
            json!({"action": "chat_message_file", "chat_id": message["id"], "message_body": body});
        ada_socket.send(&frame).await;
    }
    let frame = bob_socket.next().await;
    assert_eq!(frame["message_body"], "see this");
    assert_eq!(frame["attached_file_name"], "naïve \"name\".txt");
    assert_eq!(frame["attached_file_size"], message["attached_file_size"]);
    assert_eq!(frame["attached_file_url"], message["attached_file"]);
    assert_eq!(other_device.next().await, frame);
    ada_socket.expect_no_answer().await;
}

async fn the_sender_gets_no_frame(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    ada_socket.dispatch(message["id"].clone()).await;
    bob_socket.next().await;
    ada_socket.expect_silence(&ada, &mut bob_socket).await;
}

async fn a_repetition_delivers_nothing(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    // Pipelined, and once more after the delivery.
    for _ in 0..3 {
        ada_socket.dispatch(message["id"].clone()).await;
    }
    assert_eq!(bob_socket.next().await["created_msg_id"], message["id"]);
    ada_socket.dispatch(message["id"].to_string()).await;
    ada_socket.expect_no_answer().await;
    bob_socket.expect_silence(&bob, &mut ada_socket).await;
}

async fn dispatches_at_once_deliver_once(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut first) = chat.join("ada").await;
    let mut second = chat.connect(&ada).await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for _ in 0..5 {
        let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
        let id = message["id"].clone();
        tokio::join!(first.dispatch(id.clone()), second.dispatch(id.clone()));
        assert_eq!(bob_socket.next().await["created_msg_id"], id);
        tokio::join!(first.expect_no_answer(), second.expect_no_answer());
        bob_socket.expect_silence(&bob, &mut first).await;
        bob_socket.expect_silence(&bob, &mut second).await;
    }
}

async fn only_the_sender_of_a_file_may_dispatch_it(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let mut carol_socket = chat.join("carol").await.1;
    let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    for other in [&mut bob_socket, &mut carol_socket] {
        other.dispatch(message["id"].clone()).await;
        other.expect_error("not_found").await;
    }
    bob_socket.expect_silence(&bob, &mut carol_socket).await;
    // It is still there for her.
    ada_socket.dispatch(message["id"].clone()).await;
    assert_eq!(bob_socket.next().await["created_msg_id"], message["id"]);
}

async fn not_yours_looks_like_not_there(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "a text").await;
    let text = bob_socket.expect_body("a text").await["created_msg_id"].clone();
    let of_bob = chat.upload_file(&bob, &ada, "a.txt", "content").await["id"].clone();
    let mut answers = Vec::new();
    for chat_id in [text, of_bob, json!(999_999_999), json!("0"), json!("9007199254740993")] {
        ada_socket.dispatch(chat_id).await;
        answers.push(ada_socket.expect_error("not_found").await);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    bob_socket.expect_silence(&bob, &mut ada_socket).await;
}

async fn a_dispatch_keeps_its_place_among_texts(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let mut files = Vec::new();
    for number in 0..10 {
        let name = format!("{number}.txt");
        files.push(chat.upload_file(&ada, &bob, &name, "content").await["id"].clone());
    }
    for (number, file) in files.iter().enumerate() {
        ada_socket.say(&bob, &format!("before {number}")).await;
        ada_socket.dispatch(file.clone()).await;
        ada_socket.say(&bob, &format!("after {number}")).await;
    }
    for (number, file) in files.iter().enumerate() {
        bob_socket.expect_body(&format!("before {number}")).await;
        let frame = bob_socket.next().await;
        assert_eq!(frame["action"], "re_message_file", "{frame}");
        assert_eq!(frame["created_msg_id"], *file);
        bob_socket.expect_body(&format!("after {number}")).await;
    }
}

async fn the_timestamp_is_that_of_the_dispatch(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    ada_socket.say(&bob, "between").await;
    let between = bob_socket.expect_body("between").await["timestamp"].clone();
    ada_socket.dispatch(message["id"].clone()).await;
    let dispatched = bob_socket.next().await["timestamp"].clone();
    assert!(between.as_str() < dispatched.as_str(), "{between} {dispatched}");
    let text = between.as_str().expect("a time").replace("+00:00", "Z");
    assert!(message["created"].as_str() < Some(&text), "{message} {between}");
    // The message keeps the times of its upload.
    let history = chat.history(&bob, &ada).await;
    assert_eq!(history[0]["created"], message["created"]);
    assert_eq!(history[0]["updated"], message["updated"]);
}

async fn a_dispatch_to_somebody_away_is_not_repeated(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let bob = chat.user("bob").await;
    let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    ada_socket.dispatch(message["id"].clone()).await;
    ada_socket.expect_no_answer().await;
    let mut bob_socket = chat.connect(&bob).await;
    ada_socket.dispatch(message["id"].clone()).await;
    bob_socket.expect_silence(&bob, &mut ada_socket).await;
}
