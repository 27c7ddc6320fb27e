//! How much an upload may carry.

use bytes::Bytes;
use futures_util::stream;
use netrox_harness::{
    Arrangement, TestChat, each,
    multipart::{Form, certain},
};

use super::assert_no_trace;

each![
    a_file_over_the_limit_is_413,
    a_file_over_the_limit_is_413_without_a_content_length,
    the_default_limit_is_25_mib,
    a_huge_body_is_413_before_it_is_sent,
    a_message_over_the_body_limit_is_400,
    parts_without_end_are_refused,
];

async fn a_file_over_the_limit_is_413(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-attachment-bytes", "1000").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    for form in [
        Form::new().text("receiver", &bob.id).file("a.txt", vec![b'a'; 1001]),
        Form::new().file("a.txt", vec![b'a'; 1001]).text("receiver", &bob.id),
        Form::new().text("receiver", &bob.id).file("a.txt", vec![b'a'; 200_000]),
    ] {
        chat.upload(&ada, form).await.assert_failure(413);
    }
    assert_no_trace(&chat, &ada, &bob).await;
    let form = Form::new().text("receiver", &bob.id).file("a.txt", vec![b'a'; 1000]);
    chat.store(&ada, form).await;
}

async fn a_file_over_the_limit_is_413_without_a_content_length(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-attachment-bytes", "1000").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    for (size, status) in [(1000, 201), (1001, 413), (200_000, 413)] {
        let form = Form::new().text("receiver", &bob.id).file("a.txt", vec![b'a'; size]);
        let form = form.repeatable();
        let (content_type, body) = (form.content_type(), form.finish());
        let chunks: Vec<Bytes> = body.chunks(700).map(Bytes::copy_from_slice).collect();
        let answer = certain(async || {
            let request = chat.post("/chat/chat-attachment/").bearer(&ada.token);
            let request = request.header("content-type", &content_type);
            request.chunks(stream::iter(chunks.clone())).send().await
        })
        .await;
        assert_eq!(answer.status, status, "{size}: {answer:?}");
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
    chat.keeps_files(1).await;
}

async fn the_default_limit_is_25_mib(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let message = chat.upload_file(&ada, &bob, "a.bin", vec![b'a'; 26_214_400]).await;
    assert_eq!(message["attached_file_size"], "25.00MB");
    let path = message["attached_file"].as_str().expect("a path");
    assert_eq!(chat.get(path).send().await.body.len(), 26_214_400);
    let form = Form::new().text("receiver", &bob.id).file("a.bin", vec![b'a'; 26_214_401]);
    chat.upload(&ada, form).await.assert_failure(413);
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
}

async fn a_huge_body_is_413_before_it_is_sent(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut connection = chat.edge().raw().await;
    connection
        .write(format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {}\r\nContent-Type: {}\r\nContent-Length: 100000000000\r\n\r\n",
            ada.token,
            Form::CONTENT_TYPE
        ))
        .await;
    let head = connection.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_no_trace(&chat, &ada, &bob).await;
}

async fn a_message_over_the_body_limit_is_400(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let form = |text: String| {
        Form::new().text("receiver", &bob.id).text("message", &text).file("a.txt", "a")
    };
    for text in ["x".repeat(16_385), "\u{1f9e9}".repeat(4_096) + "x", "x".repeat(200_000)] {
        let message = chat.upload(&ada, form(text)).await.assert_failure(400);
        assert!(message.contains("message"), "{message:?}");
    }
    assert_no_trace(&chat, &ada, &bob).await;
    for text in ["x".repeat(16_384), "\u{1f9e9}".repeat(4_096)] {
        let answer = chat.store(&ada, form(text.clone())).await;
        assert_eq!(answer.json()["entity"]["message"]["message"], text);
    }
}

async fn parts_without_end_are_refused(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-attachment-bytes", "1000").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let many = (0..20_000).fold(Form::new(), |form, number| form.text(&number.to_string(), "x"));
    let wide = format!(
        "Content-Disposition: form-data; name=\"attached_file\"; filename=\"a.txt\"\r\nX-More: {}",
        "x".repeat(300_000)
    );
    for form in [many, Form::new().part(&wide, b"a")] {
        let answer = chat.upload(&ada, form.text("receiver", &bob.id)).await;
        assert!(matches!(answer.status, 400 | 413), "{answer:?}");
    }
    assert_no_trace(&chat, &ada, &bob).await;
}
