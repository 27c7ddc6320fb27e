//! How a socket is opened.

use netrox_harness::{Arrangement, TestChat, alarms::Before, each, eventually};

each![
    a_handshake_is_answered_101,
    a_bad_token_is_401_with_the_envelope,
    a_full_edge_answers_503,
    a_plain_request_is_no_socket,
];

async fn a_handshake_is_answered_101(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.stranger("ada");
    for slash in ["", "/"] {
        let mut connection = chat.edge().raw().await;
        connection
            .write(format!(
                "GET /ws/chat/room{slash}?token={} HTTP/1.1\r\nHost: localhost\r\n\
                 Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
                ada.token
            ))
            .await;
        let head = connection.head().await.to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        // RFC 6455 section 1.3 computes it from this very key.
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        assert!(!head.contains("sec-websocket-protocol"), "{head}");
    }
}

async fn a_bad_token_is_401_with_the_envelope(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for path in
        ["/ws/chat/room/", "/ws/chat/room", "/ws/chat/room/?token=", "/ws/chat/room/?token=a.b.c"]
    {
        let answer = chat.get(path).websocket().send().await;
        answer.assert_failure(401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    // One of several tokens in a query is not a better one.
    let good = chat.stranger("ada").token;
    let path = format!("/ws/chat/room/?token=garbage&token={good}");
    assert_eq!(chat.get(&path).websocket().send().await.status, 401);
    let path = format!("/ws/chat/room/?other=1&token={good}&more");
    assert_eq!(chat.get(&path).websocket().send().await.status, 101);
}

async fn a_full_edge_answers_503(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-connections", "2").start().await;
    let (ada, bob) = (chat.stranger("ada"), chat.stranger("bob"));
    let before = Before::of(&chat).await;
    let ada_socket = chat.edge().connect(&ada).await;
    let mut bob_socket = chat.edge().connect(&bob).await;
    if arrangement == Arrangement::Serve {
        before.alarms(&chat, &[], &["SocketsRunOut"]).await;
    }
    let path = format!("/ws/chat/room/?token={}", ada.token);
    let answer = chat.get(&path).websocket().send().await;
    answer.assert_failure(503);
    let seconds: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!(seconds >= 1);
    // REST goes on.
    assert!(chat.history(&ada, &bob).await.is_empty());
    ada_socket.close().await;
    eventually("room for a connection", || async {
        (chat.get(&path).websocket().send().await.status == 101).then_some(())
    })
    .await;
    bob_socket.expect_no_answer().await;
}

async fn a_plain_request_is_no_socket(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.stranger("ada");
    let path = format!("/ws/chat/room/?token={}", ada.token);
    let answer = chat.get(&path).send().await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    answer.assert_failure(answer.status);
    let old = chat
        .get(&path)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "8")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .send()
        .await;
    assert!((400..500).contains(&old.status), "{old:?}");
}
