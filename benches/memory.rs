//! Measures the memory of a release build, from outside: `cargo bench -p netrox-chat --bench memory`.
//!
//! Prints the resident memory of all processes of each kind of deployment: idle, while a long history
//! and a large file are streamed, and for each of many idle sockets.

#![allow(clippy::print_stdout)]

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use netrox_harness::{Arrangement, TestChat, User, multipart::Form};
use netrox_proto::v1::{
    SendMessageRequest, SendMessagesRequest, send_messages_request::Request,
    send_messages_response::Result as Answer,
};

const MESSAGES: usize = 200_000;
const BODY_BYTES: usize = 64;
const FILE_BYTES: usize = 26_214_400;
/// Each of another user: the sockets of one share what the core keeps for them.
const SOCKETS: usize = 5_000;
/// What is opened before anything is measured: pools, buffers, connections to the core.
const FIRST_SOCKETS: usize = 50;
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    // `cargo test --benches` runs this too, without the argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        for arrangement in [Arrangement::Serve, Arrangement::Split] {
            println!("{arrangement:?}");
            streams(arrangement).await;
            sockets(arrangement).await;
        }
    });
}

/// The peak of the growth while `work` goes on.
async fn growth<T>(chat: &TestChat, work: impl Future<Output = T>) -> (u64, T) {
    let before = chat.resident_bytes();
    let mut peak = before;
    let mut work = pin!(work);
    let mut clock = tokio::time::interval(Duration::from_millis(2));
    loop {
        tokio::select! {
            done = &mut work => return (peak - before, done),
            _ = clock.tick() => peak = peak.max(chat.resident_bytes()),
        }
    }
}

async fn streams(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    println!("  idle                           {:8.1} MiB", chat.resident_bytes() as f64 / MIB);
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);

    let begun = Instant::now();
    fill(&chat, &ada, &bob).await;
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64();
    println!("  {MESSAGES} messages stored         {rate:8.0} a second, one gRPC stream");

    let path = format!("/chat/messages/{}/", ada.id);
    let read = || chat.get(&path).bearer(&bob.token).send();
    read().await;
    let begun = Instant::now();
    let (grown, answer) = growth(&chat, read()).await;
    let rate = MESSAGES as f64 / begun.elapsed().as_secs_f64();
    let read = answer.json()["entity"]["messages"].as_array().map(Vec::len);
    assert_eq!(read, Some(MESSAGES));
    println!(
        "  history of {MESSAGES}            + {:6.1} MiB ({rate:.0} messages a second, {:.1} MiB)",
        grown as f64 / MIB,
        answer.body.len() as f64 / MIB
    );

    let content = vec![7; FILE_BYTES];
    let form = || Form::new().text("receiver", &bob.id).file("a.bin", &content);
    assert_eq!(chat.upload(&ada, form()).await.status, 201);
    let (grown, answer) = growth(&chat, chat.upload(&ada, form())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    println!("  upload of 25 MiB               + {:6.1} MiB", grown as f64 / MIB);
    let answer = answer.json();
    let path = answer["entity"]["message"]["attached_file"].as_str().expect("a path");
    let (grown, answer) = growth(&chat, chat.get(path).send()).await;
    assert_eq!(answer.body.len(), FILE_BYTES);
    println!("  download of 25 MiB             + {:6.1} MiB", grown as f64 / MIB);
}

async fn fill(chat: &TestChat, ada: &User, bob: &User) {
    let (ada, bob) = (ada.id.clone(), bob.id.clone());
    let requests = (0..MESSAGES).map(move |number| {
        let message = SendMessageRequest {
            sender_id: ada.clone(),
            receiver_id: bob.clone(),
            body: format!("{number:0BODY_BYTES$}"),
            client_ref: None,
        };
        SendMessagesRequest { request_id: number as u64, request: Some(Request::Message(message)) }
    });
    let answers = chat.chat_service().send_messages(futures_util::stream::iter(requests)).await;
    let mut answers = answers.expect("a pipeline").into_inner();
    let mut stored = 0;
    while let Some(answer) = answers.next().await {
        assert!(matches!(answer.expect("an answer").result, Some(Answer::Message(_))));
        stored += 1;
    }
    assert_eq!(stored, MESSAGES);
}

async fn sockets(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let mut users = Vec::new();
    for number in 0..SOCKETS {
        users.push(chat.user(&number.to_string()).await);
    }
    let mut sockets = Vec::new();
    for user in &users[..FIRST_SOCKETS] {
        sockets.push(chat.connect(user).await);
    }
    let before = chat.resident_bytes();
    let begun = Instant::now();
    for user in &users[FIRST_SOCKETS..] {
        sockets.push(chat.connect(user).await);
    }
    let opened = (SOCKETS - FIRST_SOCKETS) as f64;
    let rate = opened / begun.elapsed().as_secs_f64();
    let each = (chat.resident_bytes() - before) as f64 / opened;
    println!(
        "  each of {SOCKETS} idle sockets     + {:6.1} KiB ({rate:.0} opened a second)",
        each / KIB
    );
    // They are alive, every one.
    let (_, mut sender) = chat.join("sender").await;
    for (user, socket) in users.iter().zip(&mut sockets) {
        sender.say(user, "are you there?").await;
        socket.expect_body("are you there?").await;
    }
}
