//! SIGTERM: no new work, work in flight finished, sockets closed with 1001, exit status 0.

use netrox_harness::{Arrangement, TestChat, each, multipart::Form, socket::End};

each![
    a_drain_closes_sockets_with_1001_and_exits_with_0,
    messages_sent_before_a_drain_are_stored,
    an_upload_in_flight_is_finished_or_leaves_nothing;
    split: a_core_that_drains_leaves_sockets_open
];

async fn a_drain_closes_sockets_with_1001_and_exits_with_0(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let mut other_device = chat.connect(&ada).await;
    let address = chat.edge().address;
    let roles: Vec<_> = chat.roles().into_iter().rev().collect();
    let mut statuses = Vec::new();
    // The edge first: the core serves it to its end.
    for role in roles {
        statuses.push(chat.terminate(role).await.code());
    }
    assert!(statuses.iter().all(|status| *status == Some(0)), "{statuses:?}");
    assert_eq!(ada_socket.end().await, End::Closed(1001));
    assert_eq!(other_device.end().await, End::Closed(1001));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

async fn messages_sent_before_a_drain_are_stored(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for number in 0..500 {
        ada_socket.say(&bob, &number.to_string()).await;
    }
    bob_socket.expect_body("0").await;
    for edge in chat.edge_roles() {
        assert_eq!(chat.terminate(edge).await.code(), Some(0));
    }

    // What bob saw is what is stored, in order; what was refused was said to be.
    let mut seen = 1;
    while let Ok(message) = bob_socket.next_message().await {
        if message.is_text() {
            let frame: serde_json::Value =
                serde_json::from_str(message.to_text().expect("text")).expect("JSON");
            assert_eq!(frame["message_body"], seen.to_string());
            seen += 1;
        }
    }
    for edge in chat.edge_roles() {
        chat.spawn(edge).await;
    }
    chat.ready().await;
    let history = chat.history(&ada, &bob).await;
    assert!(history.len() >= seen, "{} stored, {seen} seen", history.len());
    for (number, message) in history.iter().enumerate() {
        assert_eq!(message["message"], number.to_string());
    }
}

async fn an_upload_in_flight_is_finished_or_leaves_nothing(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut connection = chat.edge().raw().await;
    let whole = Form::new().text("receiver", &bob.id).file("a.txt", vec![b'a'; 500_000]).finish();
    connection
        .write(format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\n\r\n",
            ada.token,
            Form::CONTENT_TYPE,
            whole.len()
        ))
        .await;
    let head = connection.head().await;
    assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
    let (first, last) = whole.split_at(300_000);
    connection.write(first).await;
    let edge = chat.edge_role();
    chat.process(edge).signal(netrox_harness::process::TERMINATE);
    connection.try_write(last).await;
    let answer = String::from_utf8_lossy(&connection.rest().await).into_owned();
    assert_eq!(chat.ended(edge).await.code(), Some(0));

    chat.spawn(edge).await;
    chat.ready().await;
    let stored = chat.history(&ada, &bob).await.len();
    let expected = usize::from(answer.starts_with("HTTP/1.1 201 "));
    assert_eq!(stored, expected, "{answer}");
    chat.keeps_files(expected).await;
}

async fn a_core_that_drains_leaves_sockets_open(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).set("store-wait", "1s").start().await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let core = chat.core_role();
    assert_eq!(chat.terminate(core).await.code(), Some(0));
    ada_socket.say(&bob, "into the dark").await;
    ada_socket.expect_error("unavailable").await;
    chat.spawn(core).await;
    chat.ready().await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
}
