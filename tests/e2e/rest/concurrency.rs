//! How many uploads and history reads a user may have at a time.

use netrox_harness::{
    Arrangement, Edge, TestChat, User, each, eventually, multipart::Form, raw::Raw,
};

each![history_reads_beyond_the_limit_are_429, uploads_beyond_the_limit_are_429,];

async fn history_reads_beyond_the_limit_are_429(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("send-rate", "0")
        .set("max-history-reads-per-user", "2")
        .start()
        .await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    // More than the kernel takes in for a reader that stalls.
    let body = "x".repeat(16_000);
    for _ in 0..640 {
        ada_socket.say(&bob, &body).await;
        bob_socket.expect_body(&body).await;
    }

    let mut stalled = Vec::new();
    for _ in 0..2 {
        stalled.push(stalled_read(chat.edge(), &ada, &bob).await);
    }
    let path = format!("/chat/messages/{}/", bob.id);
    let answer = chat.get(&path).bearer(&ada.token).send().await;
    answer.assert_failure(429);
    assert_retry_after(answer.header("retry-after"));
    // It is one user's limit.
    assert_eq!(chat.history(&bob, &ada).await.len(), 640);

    drop(stalled.pop());
    eventually("room for a read", || async {
        let answer = chat.get(&path).bearer(&ada.token).send().await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// A read of which nothing but the head is taken in.
async fn stalled_read(edge: Edge, reader: &User, peer: &User) -> Raw {
    let mut connection = Raw::connect_narrow(edge.address).await;
    let (uid, token) = (&peer.id, &reader.token);
    connection
        .write(format!(
            "GET /chat/messages/{uid}/ HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        ))
        .await;
    let head = connection.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    connection
}

async fn uploads_beyond_the_limit_are_429(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-uploads-per-user", "2").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(open_upload(chat.edge(), &ada).await);
    }
    let form = || Form::new().text("receiver", &bob.id).file("a.txt", "a");
    let answer = chat.upload(&ada, form()).await;
    answer.assert_failure(429);
    assert_retry_after(answer.header("retry-after"));
    let other = Form::new().text("receiver", &ada.id).file("a.txt", "a");
    chat.store(&bob, other).await;

    drop(open.pop());
    eventually("room for an upload", || async {
        let answer = chat.upload(&ada, form()).await;
        (answer.status == 201).then_some(())
    })
    .await;
}

/// An upload that the program waits to read.
async fn open_upload(edge: Edge, sender: &User) -> Raw {
    let mut connection = edge.raw().await;
    connection
        .write(format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {}\r\nContent-Type: {}\r\nContent-Length: 5000\r\n\
             Expect: 100-continue\r\n\r\n",
            sender.token,
            Form::CONTENT_TYPE
        ))
        .await;
    let head = connection.head().await;
    assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
    connection
}

fn assert_retry_after(value: Option<&str>) {
    let seconds: u64 = value.expect("Retry-After").parse().expect("seconds");
    assert!(seconds >= 1);
}
