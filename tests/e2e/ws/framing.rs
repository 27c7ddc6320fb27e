//! Frames as bytes: what the protocol of RFC 6455 allows, and what closes the connection.

use netrox_harness::{
    Arrangement, Socket, TestChat, User, each, eventually,
    raw::{Raw, client_frame},
    socket::{End, chat_message},
};

each![
    a_frame_may_have_65536_bytes,
    an_oversize_frame_is_1009,
    a_configured_frame_limit_holds,
    an_oversize_message_in_fragments_is_1009,
    a_length_that_lies_is_1009,
    invalid_utf8_is_1007,
    a_protocol_error_is_1002,
    fragments_make_one_message,
    a_ping_is_answered_with_its_payload,
    a_close_is_answered,
    a_client_that_takes_too_little_is_told_to_the_operator,
];

const TEXT: u8 = 0x81;

async fn upgraded(chat: &TestChat, user: &User) -> Raw {
    let mut connection = chat.edge().raw().await;
    connection.upgrade(&format!("/ws/chat/room/?token={}", user.token)).await;
    connection
}

/// A text message in a frame of so many bytes.
fn padded(receiver: &User, bytes: usize) -> String {
    let frame = chat_message(&receiver.id, "hello").to_string();
    let padding = "x".repeat(bytes - frame.len() - r#""more":"","#.len());
    let frame = frame.replacen('{', &format!(r#"{{"more":"{padding}","#), 1);
    assert_eq!(frame.len(), bytes);
    frame
}

async fn pair(chat: &TestChat) -> (User, Socket, User, Socket) {
    let (ada, ada_socket) = chat.join("ada").await;
    let (bob, bob_socket) = chat.join("bob").await;
    (ada, ada_socket, bob, bob_socket)
}

async fn a_frame_may_have_65536_bytes(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut ada_socket, bob, mut bob_socket) = pair(&chat).await;
    ada_socket.send_text(&padded(&bob, 65_536)).await;
    bob_socket.expect_body("hello").await;
}

async fn an_oversize_frame_is_1009(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket, bob, mut bob_socket) = pair(&chat).await;
    ada_socket.say(&bob, "before").await;
    ada_socket.send_text(&padded(&bob, 65_537)).await;
    assert_eq!(ada_socket.end().await, End::Closed(1009));
    // What was sent before it is not lost.
    bob_socket.expect_body("before").await;
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
}

async fn a_configured_frame_limit_holds(arrangement: Arrangement) {
    let builder = TestChat::builder(arrangement).set("max-frame-bytes", "1000");
    let chat = builder.set("max-body-bytes", "900").start().await;
    let (_, mut ada_socket, bob, mut bob_socket) = pair(&chat).await;
    ada_socket.send_text(&padded(&bob, 1_000)).await;
    bob_socket.expect_body("hello").await;
    ada_socket.send_text(&padded(&bob, 1_001)).await;
    assert_eq!(ada_socket.end().await, End::Closed(1009));
    // It is a limit of what comes in.
    let mut ada_socket = chat.join("ada").await.1;
    let quotes = "\"".repeat(420);
    ada_socket.say(&bob, &quotes).await;
    let delivered = bob_socket.expect_body(&quotes).await;
    assert!(delivered.to_string().len() > 1_000);
}

async fn an_oversize_message_in_fragments_is_1009(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, _ada_socket, bob, _bob_socket) = pair(&chat).await;
    let message = padded(&bob, 65_537);
    let (first, last) = message.as_bytes().split_at(40_000);
    let mut connection = upgraded(&chat, &ada).await;
    connection.write(client_frame(0x01, first)).await;
    connection.try_write(client_frame(0x80, last)).await;
    assert_eq!(connection.close_code().await, 1009);
    assert!(chat.history(&ada, &bob).await.is_empty());
}

async fn a_length_that_lies_is_1009(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.stranger("ada");
    let mut connection = upgraded(&chat, &ada).await;
    let mut head = vec![TEXT, 0x80 | 127];
    head.extend_from_slice(&(i64::MAX as u64).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    connection.write(head).await;
    assert_eq!(connection.close_code().await, 1009);
}

async fn invalid_utf8_is_1007(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, _ada_socket, bob, _bob_socket) = pair(&chat).await;
    let good = chat_message(&bob.id, "hello").to_string();
    for bad in [&b"\xff"[..], b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        let at = good.find("hello").expect("the body");
        let mut frame = good.clone().into_bytes();
        frame.splice(at..at, bad.iter().copied());
        let mut connection = upgraded(&chat, &ada).await;
        connection.write(client_frame(TEXT, &frame)).await;
        assert_eq!(connection.close_code().await, 1007, "{bad:x?}");
    }
    assert!(chat.history(&ada, &bob).await.is_empty());
}

async fn a_protocol_error_is_1002(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, _ada_socket, bob, _bob_socket) = pair(&chat).await;
    let good = chat_message(&bob.id, "hello").to_string();
    let mut unmasked = vec![TEXT, 126];
    unmasked.extend_from_slice(&(good.len() as u16).to_be_bytes());
    unmasked.extend_from_slice(good.as_bytes());
    let cases = [
        ("an unmasked frame", unmasked),
        ("a reserved opcode", client_frame(0x83, good.as_bytes())),
        ("a reserved control opcode", client_frame(0x8b, b"")),
        ("a reserved bit", client_frame(0xc1, good.as_bytes())),
        ("a continuation of nothing", client_frame(0x80, good.as_bytes())),
        ("a fragmented ping", client_frame(0x09, b"ping")),
        ("a ping over 125 bytes", client_frame(0x89, &[b'x'; 126])),
        ("a text inside a fragmented text", {
            let mut bytes = client_frame(0x01, b"{");
            bytes.extend(client_frame(TEXT, good.as_bytes()));
            bytes
        }),
    ];
    for (what, bytes) in cases {
        let mut connection = upgraded(&chat, &ada).await;
        connection.write(bytes).await;
        assert_eq!(connection.close_code().await, 1002, "{what}");
    }
    assert!(chat.history(&ada, &bob).await.is_empty());
}

async fn fragments_make_one_message(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, _ada_socket, bob, mut bob_socket) = pair(&chat).await;
    let message = chat_message(&bob.id, "\u{1f9e9} in pieces").to_string();
    let mut connection = upgraded(&chat, &ada).await;
    // Cut within a character, with a ping in between.
    let cut = message.find('\u{1f9e9}').expect("the body") + 2;
    let (first, last) = message.as_bytes().split_at(cut);
    connection.write(client_frame(0x01, first)).await;
    connection.write(client_frame(0x89, b"between")).await;
    connection.write(client_frame(0x00, b"")).await;
    connection.write(client_frame(0x80, last)).await;
    bob_socket.expect_body("\u{1f9e9} in pieces").await;
    assert_eq!(connection.frame().await, (0xa, b"between".to_vec()));
}

async fn a_ping_is_answered_with_its_payload(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.stranger("ada");
    let mut connection = upgraded(&chat, &ada).await;
    for payload in [&b""[..], b"payload", &[0xff; 125]] {
        connection.write(client_frame(0x89, payload)).await;
        assert_eq!(connection.frame().await, (0xa, payload.to_vec()));
    }
    // An unasked pong is nothing.
    connection.write(client_frame(0x8a, b"unasked")).await;
    connection.write(client_frame(0x89, b"last")).await;
    assert_eq!(connection.frame().await, (0xa, b"last".to_vec()));
}

async fn a_close_is_answered(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.stranger("ada");
    let mut connection = upgraded(&chat, &ada).await;
    connection.write(client_frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(connection.close_code().await, 1000);
    // The server closes the connection first (RFC 6455 section 7.1.1).
    assert_eq!(connection.rest().await, b"");
}

/// As libraries do that take 8 KiB at most, unless told otherwise.
async fn a_client_that_takes_too_little_is_told_to_the_operator(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket, bob, _bob_socket) = pair(&chat).await;
    let mut connection = upgraded(&chat, &bob).await;
    ada_socket.say(&bob, &"x".repeat(8_193)).await;
    let (_, frame) = connection.frame().await;
    connection.write(client_frame(0x88, &1009_u16.to_be_bytes())).await;
    assert_eq!(connection.close_code().await, 1009);
    let edge = chat.edge_role();
    eventually("a warning", || async {
        let log = chat.log(edge);
        let warned = log.contains("a client closed its WebSocket with 1009");
        (warned && log.contains(&format!("written last has {} bytes", frame.len()))).then_some(())
    })
    .await;
    assert!(!chat.log(edge).contains(&ada.id) && !chat.log(edge).contains(&bob.token));
}
