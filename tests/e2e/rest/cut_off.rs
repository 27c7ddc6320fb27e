//! An answer whose core goes away in the middle is an error to whoever reads it, and never a shorter answer, compressed or
//! not.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::future::try_join_all;
use http::HeaderMap;
use netrox_harness::{Arrangement, Response, Role, TestChat, User, each, raw::Raw};
use netrox_proto::v1::SendMessageRequest;

each![; split: a_history_that_is_cut_off_is_no_shorter_history];

/// With texts that hardly become smaller, far more than the kernel takes in for a reader that stalls.
const MESSAGES: usize = 600;
const LONG: usize = 12_000;

async fn a_history_that_is_cut_off_is_no_shorter_history(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    talk(&chat, &ada, &bob).await;
    // Where there are no chunks, the end of the connection is that of the answer: the decoder has to tell.
    for (version, encoding) in [
        ("1.1", "identity"),
        ("1.1", "gzip"),
        ("1.1", "br"),
        ("1.1", "zstd"),
        ("1.0", "gzip"),
        ("1.0", "br"),
        ("1.0", "zstd"),
    ] {
        let name = format!("{encoding} by HTTP/{version}");
        let mut connection = Raw::connect_narrow(chat.edge().address).await;
        let (path, token) = (format!("/chat/messages/{}/", bob.id), &ada.token);
        connection
            .write(format!(
                "GET {path} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n\
                 Authorization: Bearer {token}\r\n\
                 Accept-Encoding: {encoding}\r\n\r\n"
            ))
            .await;
        let head = connection.head().await;
        assert!(head.contains(" 200 "), "{name}: {head}");
        let is_encoded = head.to_lowercase().contains(&format!("content-encoding: {encoding}"));
        assert_eq!(is_encoded, encoding != "identity", "{name}: {head}");
        chat.kill(Role::Core(0));
        let body = connection.rest().await;
        if version == "1.1" {
            assert!(head.to_lowercase().contains("transfer-encoding: chunked"), "{name}: {head}");
            assert!(
                !body.ends_with(b"\r\n0\r\n\r\n"),
                "{name} came to its end, {} bytes",
                body.len()
            );
        } else {
            let mut headers = HeaderMap::new();
            headers.insert("content-encoding", encoding.parse().expect("a value"));
            let answer = Response { status: 200, headers, body: body.into() };
            assert!(answer.try_decoded().await.is_err(), "{name} came to its end");
        }
        chat.spawn(Role::Core(0)).await;
        chat.ready().await;
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), MESSAGES);
}

async fn talk(chat: &TestChat, from: &User, to: &User) {
    let service = chat.chat_service();
    let numbers: Vec<_> = (0..MESSAGES).collect();
    for some in numbers.chunks(20) {
        let sends = some.iter().map(async |number| {
            let random: Vec<u8> = (0..LONG * 3 / 4).map(|_| rand::random()).collect();
            let request = SendMessageRequest {
                sender_id: from.id.clone(),
                receiver_id: to.id.clone(),
                body: format!("canary {number} {}", BASE64_STANDARD.encode(random)),
                ..Default::default()
            };
            service.clone().send_message(request).await
        });
        try_join_all(sends).await.expect("stored");
    }
}
