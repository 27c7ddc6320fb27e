//! The hot pieces of the core: `cargo bench -p netrox-core --features bench`.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark fails by a panic")]

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt as _;
use netrox_core::{Config, Core, Database, MediaLocation, Metrics, bench::FanOut};
use netrox_proto::v1::{
    ListMessagesRequest, SendMessageRequest, SendMessagesRequest, UpsertUsersRequest, UserChange,
    chat_service_client::ChatServiceClient, directory_service_client::DirectoryServiceClient,
    send_messages_request::Request as Command,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::{
    Request, Status,
    service::{Routes, interceptor::InterceptedService},
};

const TOKEN: &str = "token";
const ADA: &str = "00000000-0000-0000-0000-00000000000a";
const BOB: &str = "00000000-0000-0000-0000-00000000000b";
const BATCH: usize = 256;
const HISTORY: usize = 20_000;

type Transport = InterceptedService<Routes, fn(Request<()>) -> Result<Request<()>, Status>>;

fn authorize(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("authorization", "Bearer token".parse().expect("ascii"));
    Ok(request)
}

/// A core on SQLite, called in process.
async fn open(directory: &TempDir) -> (Core, ChatServiceClient<Transport>) {
    let core = Core::open(
        Config {
            data_dir: directory.path().into(),
            database: Database::Sqlite(directory.path().join("chat.db")),
            require_existing_data: false,
            media: MediaLocation::Directory(directory.path().join("media")),
            bus: None,
            service_tokens: vec![TOKEN.into()],
            services: None,
            audit: Default::default(),
            store_wait: Duration::from_secs(10),
            tls: None,
            drain_wait: Duration::from_secs(5),
            max_body_bytes: netrox_proto::limits::DEFAULT_MAX_BODY_BYTES,
            max_attachment_bytes: 1 << 20,
            edit_window: Some(Duration::from_secs(24 * 3600)),
            delete_window: None,
            retain_messages: None,
            link_ttl: Duration::from_secs(300),
            search: false,
            quotas: Default::default(),
        },
        Metrics::default(),
    );
    let core = core.await.expect("a core");
    let transport = || InterceptedService::new(core.routes(), authorize as fn(_) -> _);
    let user = |id: &str| UserChange { id: id.into(), ..Default::default() };
    let users = UpsertUsersRequest { users: vec![user(ADA), user(BOB)] };
    DirectoryServiceClient::new(transport()).upsert_users(users).await.expect("users");
    let chat = ChatServiceClient::new(transport());
    (core, chat)
}

fn messages(count: usize) -> Vec<SendMessagesRequest> {
    let message = |number| SendMessagesRequest {
        request_id: number as u64,
        request: Some(Command::Message(SendMessageRequest {
            sender_id: ADA.into(),
            receiver_id: BOB.into(),
            body: "x".repeat(64),
            client_ref: None,
            ..Default::default()
        })),
        ..Default::default()
    };
    (0..count).map(message).collect()
}

/// Returns when all are stored, durably.
async fn send(mut chat: ChatServiceClient<Transport>, messages: Vec<SendMessagesRequest>) {
    let count = messages.len();
    let answers = chat.send_messages(futures_util::stream::iter(messages)).await;
    let answers = answers.expect("a pipeline").into_inner();
    assert_eq!(answers.filter(|answer| std::future::ready(answer.is_ok())).count().await, count);
}

async fn history(mut chat: ChatServiceClient<Transport>) -> usize {
    let request =
        ListMessagesRequest { user_id: ADA.into(), peer_id: BOB.into(), ..Default::default() };
    let mut pages = chat.list_messages(request).await.expect("a list").into_inner();
    let mut count = 0;
    while let Some(page) = pages.message().await.expect("a page") {
        count += black_box(page).messages.len();
    }
    count
}

fn store(criterion: &mut Criterion) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let runtime = Runtime::new().expect("a runtime");
    let (core, chat) = runtime.block_on(open(&directory));

    let mut group = criterion.benchmark_group("sqlite");
    group.sample_size(20);
    runtime.block_on(send(chat.clone(), messages(HISTORY)));
    group.throughput(Throughput::Elements(HISTORY as u64));
    group.bench_function("history", |bencher| {
        bencher.iter(|| assert_eq!(runtime.block_on(history(chat.clone())), HISTORY));
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("256 messages sent, stored and answered", |bencher| {
        let run = |messages| runtime.block_on(send(chat.clone(), messages));
        bencher.iter_batched(|| messages(BATCH), run, BatchSize::PerIteration);
    });
    group.finish();
    runtime.block_on(core.close());
}

fn hub(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hub");
    for subscriptions in [1, 16] {
        let mut fan_out = FanOut::new(subscriptions);
        group.throughput(Throughput::Elements(subscriptions as u64));
        group.bench_function(format!("fan-out to {subscriptions}"), |bencher| {
            bencher.iter(|| assert_eq!(fan_out.publish(), subscriptions));
        });
    }
    group.finish();
}

criterion_group!(benches, hub, store);
criterion_main!(benches);
