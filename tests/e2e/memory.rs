//! What is long is streamed: memory does not grow with it (ARCHITECTURE.md, G8).
//!
//! The bounds are those of a debug build on a busy machine; `netrox-bench` measures a release build.

use futures_util::StreamExt as _;
use netrox_harness::{Arrangement, TestChat, each, multipart::Form};
use netrox_proto::v1::{
    SendMessageRequest, SendMessagesRequest, send_messages_request::Request,
    send_messages_response::Result as Answer,
};

each![a_long_history_is_streamed, a_large_file_is_streamed];

const MESSAGES: usize = 12_000;
const BODY_BYTES: usize = 4_000;
const AT_A_TIME: usize = 64;
const MAX_GROWTH: u64 = 32 * 1024 * 1024;

/// The most that the processes grow while `work` goes on.
async fn growth<T>(chat: &TestChat, work: impl Future<Output = T>) -> (u64, T) {
    let before = chat.resident_bytes();
    let mut peak = before;
    let mut work = std::pin::pin!(work);
    let mut clock = tokio::time::interval(std::time::Duration::from_millis(5));
    loop {
        tokio::select! {
            done = &mut work => {
                eprintln!("from {before} to {peak} bytes");
                return (peak - before, done);
            }
            _ = clock.tick() => peak = peak.max(chat.resident_bytes()),
        }
    }
}

async fn a_long_history_is_streamed(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let request = |number: usize| {
        let message = SendMessageRequest {
            sender_id: ada.id.clone(),
            receiver_id: bob.id.clone(),
            body: format!("canary {number} {}", "z".repeat(BODY_BYTES)),
            client_ref: None,
            ..Default::default()
        };
        SendMessagesRequest {
            request_id: number as u64,
            request: Some(Request::Message(message)),
            ..Default::default()
        }
    };
    let requests: Vec<_> = (0..MESSAGES).map(request).collect();
    let (mut service, mut stored) = (chat.chat_service(), 0);
    // Few at a time: none waits so long that it is refused.
    for requests in requests.chunks(AT_A_TIME) {
        let requests = futures_util::stream::iter(requests.to_vec());
        let answers = service.send_messages(requests).await;
        let mut answers = answers.expect("a pipeline").into_inner();
        while let Some(answer) = answers.next().await {
            assert!(matches!(answer.expect("an answer").result, Some(Answer::Message(_))));
            stored += 1;
        }
    }
    assert_eq!(stored, MESSAGES);

    // Once, so that caches are filled and allocators have settled.
    let path = format!("/chat/messages/{}/", ada.id);
    let read = || chat.get(&path).bearer(&bob.token).send();
    read().await;
    let (grown, answer) = growth(&chat, read()).await;
    assert!(answer.body.len() > MESSAGES * BODY_BYTES, "{}", answer.body.len());
    assert!(grown < MAX_GROWTH, "{grown} bytes for a history of {}", answer.body.len());
    let messages = answer.json()["entity"]["messages"].as_array().map(Vec::len);
    assert_eq!(messages, Some(MESSAGES));

    // Clients that begin to read and stop hold back little.
    let mut idle = Vec::new();
    let (grown, ()) = growth(&chat, async {
        for _ in 0..4 {
            let mut raw = chat.edge().raw().await;
            let token = &bob.token;
            raw.write(format!(
                "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
            .await;
            assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
            idle.push(raw);
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    })
    .await;
    assert!(grown < MAX_GROWTH, "{grown} bytes for four readers that stopped");
}

async fn a_large_file_is_streamed(arrangement: Arrangement) {
    const LARGEST: usize = 26_214_400;
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let content: Vec<u8> = (0..LARGEST).map(|at| (at * 31 / 7) as u8).collect();
    let form = |content: &[u8]| Form::new().text("receiver", &bob.id).file("a.bin", content);
    chat.store(&ada, form(&content[..1_000_000])).await;
    let (grown, answer) = growth(&chat, chat.store(&ada, form(&content))).await;
    assert!(grown < MAX_GROWTH / 2, "{grown} bytes to take a file of {LARGEST}");
    let path =
        answer.json()["entity"]["message"]["attached_file"].as_str().expect("a path").to_owned();
    let (grown, answer) = growth(&chat, chat.get(&path).send()).await;
    assert!(answer.body == content, "not what was sent");
    assert!(grown < MAX_GROWTH / 2, "{grown} bytes to give a file of {LARGEST}");
}
