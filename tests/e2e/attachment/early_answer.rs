//! An answer that comes before the whole body was read: the client finds it, whenever it reads, and does not send its next
//! request on that connection.

use std::time::Duration;

use netrox_harness::{Arrangement, TestChat, each, eventually, multipart::Form, raw::Raw};

each![
    a_refused_body_is_read_before_its_answer,
    a_client_that_does_not_wait_to_be_told_to_send_reads_its_answer,
    an_answer_to_a_whole_body_keeps_the_connection,
];

const MIB: usize = 1 << 20;

/// Sends a whole upload before it reads anything; gives the head of the answer.
async fn send(
    connection: &mut Raw,
    (token, headers): (&str, &str),
    mib: usize,
    pause: Duration,
) -> String {
    let file = vec![b'a'; mib * MIB];
    let body = Form::new().file("a.txt", file).finish();
    let head = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: {}\r\nContent-Length: {}\r\n{headers}\r\n",
        Form::CONTENT_TYPE,
        body.len()
    );
    connection.write(head).await;
    for piece in body.chunks(60_000) {
        connection.write(piece).await;
        tokio::time::sleep(pause).await;
    }
    connection.head().await
}

/// At 600 KB/s with `NETROX_CHAT_TEST_FULL=1`, which takes a minute and a half.
async fn a_refused_body_is_read_before_its_answer(arrangement: Arrangement) {
    let is_full = std::env::var_os("NETROX_CHAT_TEST_FULL").is_some();
    let pause = if is_full { Duration::from_millis(100) } else { Duration::ZERO };
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let forged = "not a token";
    for (token, mib, status) in
        [(forged, 1, 401), (forged, 7, 401), (&ada.token[..], 30, 413), (&ada.token, 48, 413)]
    {
        let mut connection = chat.edge().raw().await;
        let head = send(&mut connection, (token, ""), mib, pause).await.to_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{mib} MiB: {head}");
        assert!(head.contains("connection: close\r\n"), "{mib} MiB: {head}");
    }
}

/// RFC 9110 section 10.1.1: it need not wait for ever, and a second is much for many of them.
async fn a_client_that_does_not_wait_to_be_told_to_send_reads_its_answer(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let expect = ("not a token", "Expect: 100-continue\r\n");
    let mut connection = chat.edge().raw().await;
    let head = send(&mut connection, expect, 7, Duration::ZERO).await.to_lowercase();
    assert!(head.starts_with("http/1.1 401 ") && head.contains("connection: close\r\n"), "{head}");
}

async fn an_answer_to_a_whole_body_keeps_the_connection(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut connection = chat.edge().raw().await;
    for number in 0..4 {
        let name = format!("{number}.txt");
        let form = Form::new().text("receiver", &bob.id).file(&name, "a small file").repeatable();
        let (content_type, body) = (form.content_type(), form.finish());
        let (length, body) = if number % 2 == 0 {
            (format!("Content-Length: {}", body.len()), body.to_vec())
        } else {
            let head = format!("{:x}\r\n", body.len()).into_bytes();
            let body = [&head[..], &body, b"\r\n0\r\n\r\n"].concat();
            ("Transfer-Encoding: chunked".to_owned(), body)
        };
        let head = format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: {content_type}\r\n{length}\r\n\r\n",
            ada.token
        );
        // What a database was too slow for is sent again.
        let answer = eventually("an answer that is certain", async || {
            connection.write([head.as_bytes(), &body].concat()).await;
            let answer = connection.answer().await;
            let is_refused = |status| answer.starts_with(&format!("HTTP/1.1 {status} "));
            (!is_refused(500) && !is_refused(503)).then_some(answer)
        })
        .await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
        assert!(!answer.to_lowercase().contains("connection: close"), "{answer}");
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), 4);
}
