//! Error frames: every code, when it comes, and that nothing is lost by it.

use netrox_harness::{Arrangement, Socket, TestChat, User, each};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

each![
    invalid_json,
    nesting_up_to_32_is_fine,
    unknown_action,
    invalid_field_of_a_text,
    invalid_field_of_a_file,
    invalid_receiver,
    errors_lose_nothing_and_come_in_order,
];

/// A sender and a receiver, both connected.
async fn pair(chat: &TestChat) -> (User, Socket, User, Socket) {
    let (ada, ada_socket) = chat.join("ada").await;
    let (bob, bob_socket) = chat.join("bob").await;
    (ada, ada_socket, bob, bob_socket)
}

async fn invalid_json(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut socket, bob, mut bob_socket) = pair(&chat).await;
    let good = json!({"action": "chat_message", "message_body": "hello", "receiver_id": bob.id});
    let good = good.to_string();
    let fields = format!(r#""message_body":"hello","receiver_id":"{}""#, bob.id);
    let frames = [
        String::new(),
        " ".to_owned(),
        "hello".to_owned(),
        "null".to_owned(),
        "3".to_owned(),
        "\"chat_message\"".to_owned(),
        "[]".to_owned(),
        format!("[{good}]"),
        format!(r#"["chat_message","hello","{}"]"#, bob.id),
        good[..good.len() - 1].to_owned(),
        format!("{good}x"),
        format!("{good}{good}"),
        format!("\u{feff}{good}"),
        good.replace(':', "="),
        good.replace('"', "'"),
        good.replace("hello", "new\nline"),
        good.replace("hello", "\\ud800"),
        good.replace("hello", "\\x41"),
        good.replace('}', ",}"),
        // Known keys twice, also in disguise and with one value.
        format!(r#"{{"action":"chat_message","action":"chat_message",{fields}}}"#),
        format!(r#"{{"action":"chat_message","a\u0063tion":"chat_message",{fields}}}"#),
        format!(r#"{{"action":"chat_message",{fields},"message_body":"other"}}"#),
        format!(r#"{{"action":"chat_message",{fields},"receiver_id":null}}"#),
        r#"{"action":"chat_message_file","chat_id":1,"chat_id":1}"#.to_owned(),
        nested(33, &fields),
        nested(40_000, "\"a\":1").chars().take(60_000).collect(),
        nested(25_000, "\"a\":1"),
    ];
    for frame in frames {
        socket.send_text(&frame).await;
        socket.expect_error("invalid_json").await;
    }
    socket.send_message(Message::binary(good.clone())).await;
    socket.expect_error("invalid_json").await;
    assert!(chat.history(&ada, &bob).await.is_empty());
    socket.send_text(&good).await;
    bob_socket.expect_body("hello").await;
}

/// A frame that is `depth` deep: itself, and arrays inside it.
fn nested(depth: usize, fields: &str) -> String {
    let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
    format!(r#"{{"action":"chat_message",{fields},"more":{open}{close}}}"#)
}

async fn nesting_up_to_32_is_fine(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut socket, bob, mut bob_socket) = pair(&chat).await;
    let fields = format!(r#""message_body":"deep","receiver_id":"{}""#, bob.id);
    socket.send_text(&nested(32, &fields)).await;
    bob_socket.expect_body("deep").await;
    // Brackets inside a string are no depth, and what is closed again does not add up.
    let brackets = "[{".repeat(100);
    let wide = "[],".repeat(100);
    let frame = format!(r#"{{"action":"chat_message",{fields},"a":"{brackets}","b":[{wide}0]}}"#);
    socket.send_text(&frame).await;
    bob_socket.expect_body("deep").await;
}

async fn unknown_action(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut socket, bob, _) = pair(&chat).await;
    for action in [
        json!(null),
        json!(1),
        json!(true),
        json!(["chat_message"]),
        json!({"chat_message": 1}),
        json!(""),
        json!("Chat_Message"),
        json!(" chat_message"),
        json!("chat_message\u{0}"),
        json!("re_message"),
        json!("error"),
    ] {
        let frame = json!({"action": action, "message_body": "hello", "receiver_id": bob.id});
        socket.send(&frame).await;
        socket.expect_error("unknown_action").await;
    }
    socket.send(&json!({"message_body": "hello", "receiver_id": bob.id})).await;
    socket.expect_error("unknown_action").await;
    socket.send(&json!({})).await;
    socket.expect_error("unknown_action").await;
    assert!(chat.history(&ada, &bob).await.is_empty());
}

async fn expect_named(socket: &mut Socket, field: &str, frame: &Value) {
    socket.send(frame).await;
    let message = socket.expect_error("invalid_field").await;
    assert!(message.contains(field), "{message:?} to {frame} does not name {field}");
}

async fn invalid_field_of_a_text(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut socket, bob, _) = pair(&chat).await;
    let wrong_types = [json!(null), json!(7), json!(true), json!(["hello"]), json!({"a": 1})];
    let bodies = wrong_types.iter().cloned().chain([json!(""), json!("a\0b"), json!("\0")]);
    for body in bodies {
        let frame = json!({"action": "chat_message", "message_body": body, "receiver_id": bob.id});
        expect_named(&mut socket, "message_body", &frame).await;
    }
    let frame = json!({"action": "chat_message", "receiver_id": bob.id});
    expect_named(&mut socket, "message_body", &frame).await;
    for receiver in wrong_types {
        let frame =
            json!({"action": "chat_message", "message_body": "hello", "receiver_id": receiver});
        expect_named(&mut socket, "receiver_id", &frame).await;
    }
    let frame = json!({"action": "chat_message", "message_body": "hello"});
    expect_named(&mut socket, "receiver_id", &frame).await;
    assert!(chat.history(&ada, &bob).await.is_empty());
}

async fn invalid_field_of_a_file(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut socket, _, _) = pair(&chat).await;
    for chat_id in [
        json!(null),
        json!(true),
        json!([35]),
        json!({"id": 35}),
        json!(3.5),
        json!(""),
        json!(" 35"),
        json!("35 "),
        json!("3.5"),
        json!("3e1"),
        json!("0x23"),
        json!("thirty-five"),
        json!("\u{663}\u{665}"),
        json!("35\0"),
    ] {
        let frame = json!({"action": "chat_message_file", "chat_id": chat_id});
        expect_named(&mut socket, "chat_id", &frame).await;
    }
    expect_named(&mut socket, "chat_id", &json!({"action": "chat_message_file"})).await;
    // Too great for any id: an integer for some readers, and malformed for others.
    for chat_id in ["99999999999999999999999999", "-99999999999999999999999999"] {
        for quote in ["", "\""] {
            let frame =
                format!(r#"{{"action":"chat_message_file","chat_id":{quote}{chat_id}{quote}}}"#);
            socket.send_text(&frame).await;
            let code = socket.next().await["code"].clone();
            assert!(code == "not_found" || code == "invalid_field", "{code} to {frame}");
        }
    }
}

async fn invalid_receiver(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut socket, bob, _) = pair(&chat).await;
    let unknown = chat.stranger("unknown").id;
    for receiver in [
        unknown.as_str(),
        &ada.id,
        &ada.id.to_uppercase(),
        "",
        "bob",
        &bob.id.replace('-', ""),
        &format!("{{{}}}", bob.id),
        &format!("urn:uuid:{}", bob.id),
        &format!("{} ", bob.id),
        "00000000-0000-0000-0000-000000000000",
    ] {
        socket
            .send(&json!({"action": "chat_message", "message_body": "hi", "receiver_id": receiver}))
            .await;
        socket.expect_error("invalid_receiver").await;
    }
    assert!(chat.history(&ada, &bob).await.is_empty());
}

async fn errors_lose_nothing_and_come_in_order(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut socket, bob, mut bob_socket) = pair(&chat).await;
    let unknown = chat.stranger("unknown");
    for round in 0..5 {
        socket.say(&bob, &format!("{round} first")).await;
        socket.send_text("{").await;
        socket.say(&bob, &format!("{round} second")).await;
        socket.say(&unknown, "to nobody").await;
        socket.say(&bob, &format!("{round} third")).await;
        socket.dispatch(987_654_321).await;
        socket.say(&bob, &format!("{round} fourth")).await;
        socket.send(&json!({"action": "nope"})).await;
    }
    for round in 0..5 {
        for place in ["first", "second", "third", "fourth"] {
            bob_socket.expect_body(&format!("{round} {place}")).await;
        }
    }
    for _ in 0..5 {
        for code in ["invalid_json", "invalid_receiver", "not_found", "unknown_action"] {
            socket.expect_error(code).await;
        }
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), 20);
}
