//! What the HTTP layer refuses, without an envelope, and its time limits.

use netrox_harness::{Arrangement, TestChat, each, multipart::Form, process::Signal, raw::Raw};

each![
    bytes_that_are_not_http_are_400,
    a_head_over_16_kib_is_431,
    a_long_uri_is_refused,
    a_head_that_does_not_come_is_cut_off,
    a_body_that_stalls_is_cut_off,
    two_lengths_are_never_two_requests,
    a_client_that_has_nothing_more_to_say_is_answered,
];

/// The status of the next answer, and 0 where the connection was closed instead.
async fn status(connection: &mut Raw) -> u16 {
    let answer = connection.rest().await;
    let text = String::from_utf8_lossy(&answer);
    match text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 ")) {
        Some(rest) => rest[..3].parse().expect("a status"),
        None => {
            assert!(text.is_empty(), "{text}");
            0
        }
    }
}

async fn bytes_that_are_not_http_are_400(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for request in [
        "this is not HTTP\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nno colon here\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n",
    ] {
        let mut connection = chat.edge().raw().await;
        connection.write(request).await;
        connection.finish().await;
        assert_eq!(status(&mut connection).await, 400, "{request}");
    }
    assert_eq!(chat.get("/healthz").send().await.status, 200);
}

async fn a_head_over_16_kib_is_431(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let path = "/chat/get-user-threads/";
    let large = chat.get(path).bearer(&ada.token).header("x-padding", &"x".repeat(12_000));
    assert_eq!(large.send().await.status, 200);

    let mut connection = chat.edge().raw().await;
    let padding = "x".repeat(17_000);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Padding: {padding}\r\n\r\n");
    connection.try_write(head).await;
    assert_eq!(status(&mut connection).await, 431);
}

async fn a_long_uri_is_refused(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let mut connection = chat.edge().raw().await;
    let padding = "x".repeat(17_000);
    connection.try_write(format!("GET /{padding} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    let status = status(&mut connection).await;
    assert!(matches!(status, 414 | 431), "{status}");
}

async fn a_head_that_does_not_come_is_cut_off(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("handshake-timeout", "1s").start().await;
    for beginning in ["", "GET /ws/chat/room/ HTTP/1.1\r\nHost: loc"] {
        let mut connection = chat.edge().raw().await;
        connection.write(beginning).await;
        let status = status(&mut connection).await;
        assert!(matches!(status, 0 | 408), "{status} after {beginning:?}");
    }
}

async fn a_body_that_stalls_is_cut_off(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("body-idle-timeout", "1s").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut connection = chat.edge().raw().await;
    let head = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {}\r\nContent-Length: 50000\r\n\r\n",
        ada.token,
        Form::CONTENT_TYPE
    );
    let body = Form::new().text("receiver", &bob.id).file("a.txt", "x".repeat(9_000)).unfinished();
    connection.write(head).await;
    connection.write(body).await;
    let status = status(&mut connection).await;
    assert!(matches!(status, 0 | 408), "{status}");
    chat.keeps_files(0).await;
    assert!(chat.history(&ada, &bob).await.is_empty());
}

async fn two_lengths_are_never_two_requests(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = smuggled.len();
    for lengths in [
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked, identity\r\nContent-Length: {length}\r\n"),
    ] {
        let mut connection = chat.edge().raw().await;
        let head = format!("POST /nope HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n");
        connection.write(head + "0\r\n\r\n" + smuggled).await;
        connection.finish().await;
        let answers = String::from_utf8(connection.rest().await).expect("text");
        assert!(!answers.contains("HTTP/1.1 200 "), "{lengths}: {answers}");
    }
}

/// RFC 9112 section 9.6: it closes its side of the connection and reads on.
async fn a_client_that_has_nothing_more_to_say_is_answered(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let form = Form::new().text("receiver", &bob.id).file("a.txt", "a small file").finish();
    let authorization = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", ada.token);
    let list = format!("GET /chat/get-user-threads/ HTTP/1.1\r\n{authorization}\r\n");
    let upload = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\n{authorization}Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
        Form::CONTENT_TYPE,
        form.len()
    );
    // The end is there before any answer can be.
    for role in chat.roles() {
        chat.process(role).signal(Signal::STOP);
    }
    let mut connections = Vec::new();
    for (head, body, status) in [(list, &b""[..], 200), (upload, &form, 201)] {
        let mut connection = chat.edge().raw().await;
        connection.write(head).await;
        connection.write(body).await;
        connection.finish().await;
        connections.push((connection, status));
    }
    for role in chat.roles().into_iter().rev() {
        chat.process(role).signal(Signal::CONT);
        if role == chat.edge_role() {
            assert_eq!(chat.get("/healthz").send().await.status, 200);
        }
    }
    for (mut connection, expected) in connections {
        assert_eq!(status(&mut connection).await, expected);
    }
}
