//! The core through its generated clients, called in process as `serve` does.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else")]

use std::time::Duration;

use bytes::Bytes;
use netrox_core::{Config, Core, Database, MediaLocation, Metrics, Quotas};
use netrox_proto::health::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use netrox_proto::v1::{
    ListMessagesRequest, SendMessageRequest, SubscribeRequest, SubscribeResponse,
    UploadAttachmentRequest, UploadFinish, UploadStart, UpsertUsersRequest, UserChange,
    attachment_service_client::AttachmentServiceClient, chat_service_client::ChatServiceClient,
    directory_service_client::DirectoryServiceClient, event::Change,
    upload_attachment_request::Part,
};
use prost::Message as _;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status, Streaming,
    service::{Routes, interceptor::InterceptedService},
};

const TOKEN: &str = "token";
const ALICE: &str = "00000000-0000-0000-0000-00000000000a";
const BOB: &str = "00000000-0000-0000-0000-00000000000b";

type Transport = InterceptedService<Routes, fn(Request<()>) -> Result<Request<()>, Status>>;

struct World {
    directory: TempDir,
    core: Core,
}

impl World {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let core = open(&directory).await;
        let world = Self { directory, core };
        let users =
            [ALICE, BOB].map(|id| UserChange { id: id.into(), ..Default::default() }).into();
        world.directory_client().upsert_users(UpsertUsersRequest { users }).await.expect("users");
        world
    }

    async fn restart(&mut self) {
        self.core.close().await;
        // The lock goes with the last handle.
        let old = std::mem::replace(&mut self.core, open(&tempfile::tempdir().expect("dir")).await);
        drop(old);
        self.core = open(&self.directory).await;
    }

    fn transport(&self) -> Transport {
        InterceptedService::new(self.core.routes(), authorize as fn(_) -> _)
    }

    fn chat(&self) -> ChatServiceClient<Transport> {
        ChatServiceClient::new(self.transport())
    }

    fn directory_client(&self) -> DirectoryServiceClient<Transport> {
        DirectoryServiceClient::new(self.transport())
    }

    async fn send(&self, body: &str) -> i64 {
        let request = SendMessageRequest {
            sender_id: ALICE.into(),
            receiver_id: BOB.into(),
            body: body.into(),
            client_ref: None,
            ..Default::default()
        };
        self.chat().send_message(request).await.expect("sent").into_inner().message_id
    }

    async fn subscribe(&self, after_seq: Option<u64>) -> Streaming<SubscribeResponse> {
        let request = SubscribeRequest {
            user_id: BOB.into(),
            after_seq,
            received_only: true,
            epoch: None,
            ..Default::default()
        };
        self.chat().subscribe(request).await.expect("subscribed").into_inner()
    }
}

fn authorize(mut request: Request<()>) -> Result<Request<()>, Status> {
    let value = format!("Bearer {TOKEN}").parse().expect("ascii");
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}

async fn open(directory: &TempDir) -> Core {
    Core::open(
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
            quotas: Quotas::default(),
            search: false,
        },
        Metrics::default(),
    )
    .await
    .expect("a core")
}

impl World {
    /// A file, to its end.
    async fn upload(&self) -> Result<(), Status> {
        let start = UploadStart {
            sender_id: ALICE.into(),
            file_name: "a.txt".into(),
            ..Default::default()
        };
        let finish = UploadFinish { receiver_id: BOB.into(), ..Default::default() };
        let parts =
            [Part::Start(start), Part::Chunk(b"content".to_vec().into()), Part::Finish(finish)];
        let parts = parts.map(|part| UploadAttachmentRequest { part: Some(part) });
        let mut client = AttachmentServiceClient::new(self.transport());
        client.upload_attachment(tokio_stream::iter(parts)).await.map(drop)
    }
}

/// A volume that goes while it is used: what needs no file goes on.
#[tokio::test]
async fn a_media_directory_that_takes_no_files_is_told_by_the_health_until_it_does_again() {
    let world = World::start().await;
    let request = HealthCheckRequest { service: String::new() };
    let mut health = HealthClient::new(world.core.routes());
    let mut health = health.watch(request).await.expect("a watch").into_inner();
    let mut next_health = async || {
        let change = tokio::time::timeout(Duration::from_secs(10), health.message());
        change.await.expect("in time").expect("ok").expect("a health").status()
    };
    assert_eq!(next_health().await, ServingStatus::Serving);
    world.upload().await.expect("uploaded");
    let attachments = world.directory.path().join("media/attachments");
    let elsewhere = world.directory.path().join("elsewhere");
    std::fs::rename(&attachments, &elsewhere).expect("moved");
    std::fs::write(&attachments, "no directory").expect("written");
    assert_eq!(world.upload().await.expect_err("no upload").code(), tonic::Code::Unavailable);
    assert_eq!(next_health().await, ServingStatus::NotServing);
    world.send("text goes on").await;
    std::fs::remove_file(&attachments).expect("removed");
    std::fs::rename(&elsewhere, &attachments).expect("moved back");
    assert_eq!(next_health().await, ServingStatus::Serving);
    world.upload().await.expect("uploaded");
    world.core.close().await;
}

async fn next(stream: &mut Streaming<SubscribeResponse>) -> SubscribeResponse {
    tokio::time::timeout(Duration::from_secs(10), stream.message())
        .await
        .expect("in time")
        .expect("ok")
        .expect("a response")
}

/// Bodies of the next events, until there are so many.
async fn bodies(stream: &mut Streaming<SubscribeResponse>, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        for event in next(stream).await.events {
            let Some(Change::Message(message)) = event.change else { panic!("no message") };
            bodies.push(message.body);
        }
    }
    bodies
}

#[tokio::test]
async fn a_message_is_stored_delivered_and_resumed_after_a_restart() {
    let mut world = World::start().await;
    let mut stream = world.subscribe(None).await;
    let first = next(&mut stream).await;
    assert_eq!((first.events, first.last_seq), (vec![], 0));
    assert!(!first.epoch.is_empty());
    world.send("one").await;
    let live = next(&mut stream).await;
    assert_eq!((live.events.len(), live.last_seq), (1, 1));
    drop(stream);
    world.send("two").await;

    world.restart().await;
    let third = world.send("three").await;
    let mut stream = world.subscribe(Some(live.last_seq)).await;
    assert_eq!(bodies(&mut stream, 2).await, ["two", "three"]);

    let request = ListMessagesRequest {
        user_id: ALICE.into(),
        peer_id: BOB.into(),
        newest_first: true,
        limit: 2,
        ..Default::default()
    };
    let mut list = world.chat().list_messages(request).await.expect("a list").into_inner();
    let first = list.message().await.expect("ok").expect("users");
    assert_eq!(first.users.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), [ALICE, BOB]);
    let page = list.message().await.expect("ok").expect("messages").messages;
    assert_eq!(page.iter().map(|m| m.body.as_str()).collect::<Vec<_>>(), ["three", "two"]);
    assert_eq!(page[0].id, third);
    assert_eq!(list.message().await.expect("ok"), None);
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_is_served_from_the_store() {
    let world = World::start().await;
    let mut stream = world.subscribe(None).await;
    next(&mut stream).await;
    let sent: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
    for body in &sent {
        world.send(body).await;
    }
    assert_eq!(bodies(&mut stream, sent.len()).await, sent);
    world.send("live again").await;
    assert_eq!(bodies(&mut stream, 1).await, ["live again"]);
}

#[tokio::test]
async fn a_drained_core_ends_its_streams_and_refuses_work() {
    let world = World::start().await;
    let mut stream = world.subscribe(None).await;
    next(&mut stream).await;
    world.core.drain();
    let ended = stream.message().await.expect_err("an end");
    assert_eq!(ended.code(), tonic::Code::Unavailable);
    world.core.close().await;
}

#[tokio::test]
async fn a_directory_and_a_database_are_used_by_one_core_at_a_time() {
    let world = World::start().await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let config = |data_dir: &TempDir, database: &TempDir| Config {
        data_dir: data_dir.path().into(),
        database: Database::Sqlite(database.path().join("chat.db")),
        require_existing_data: false,
        media: MediaLocation::Directory(data_dir.path().join("media")),
        bus: None,
        service_tokens: vec![TOKEN.into()],
        services: None,
        audit: Default::default(),
        store_wait: Duration::from_secs(10),
        tls: None,
        drain_wait: Duration::from_secs(5),
        max_body_bytes: 1,
        max_attachment_bytes: 1,
        edit_window: Some(Duration::from_secs(24 * 3600)),
        delete_window: None,
        retain_messages: None,
        link_ttl: Duration::from_secs(300),
        quotas: Quotas::default(),
        search: false,
    };
    let second = Core::open(config(&world.directory, &world.directory), Metrics::default()).await;
    assert!(second.is_err_and(|error| error.to_string().contains("another process")));

    // Also one that lies in the data directory of another.
    let second = Core::open(config(&elsewhere, &world.directory), Metrics::default()).await;
    assert!(second.is_err_and(|error| error.to_string().contains("another process")));

    let outside = tempfile::tempdir().expect("a directory");
    let first = Core::open(config(&elsewhere, &outside), Metrics::default()).await.expect("a core");
    let another = tempfile::tempdir().expect("a directory");
    let second = Core::open(config(&another, &outside), Metrics::default()).await;
    assert!(second.is_err_and(|error| error.to_string().contains("another process")));
    first.close().await;
}

#[tokio::test]
async fn a_closed_database_is_one_file() {
    let world = World::start().await;
    world.send("one").await;
    world.core.close().await;
    assert!(world.directory.path().join("chat.db").exists());
    assert!(!world.directory.path().join("chat.db-wal").exists());
}

#[tokio::test]
async fn a_start_removes_what_a_crash_cut_off_and_nothing_else() {
    let mut world = World::start().await;
    world.core.close().await;
    let media = world.directory.path().join("media");
    let day = media.join("attachments/2026/01/02");
    std::fs::create_dir_all(&day).expect("a directory");
    let file = |number: u8| day.join(format!("00000000-0000-4000-8000-00000000000{number}.txt"));
    let staged = day.join("00000000-0000-4000-8000-000000000002.txt#1");
    for path in [&file(1), &staged, &file(3)] {
        std::fs::write(path, "bytes").expect("a file");
    }
    let url = format!("sqlite://{}", world.directory.path().join("chat.db").display());
    let mut database = SqliteConnection::connect(&url).await.expect("a database");
    for number in [1, 2] {
        let path = file(number);
        let path = path.strip_prefix(&media).expect("below").to_str().expect("text").to_owned();
        sqlx::query("insert into uploads (path) values ($1)")
            .bind(path)
            .execute(&mut database)
            .await
            .expect("a note");
    }
    database.close().await.expect("closed");

    world.restart().await;
    let gone = async {
        while file(1).exists() || staged.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("in time");
    assert!(file(3).exists(), "no one knows whose file that is");
}

#[tokio::test]
async fn bodies_of_any_text_come_back_as_they_were_sent() {
    let world = World::start().await;
    let bodies = [
        "\u{1}\u{2028}\u{2029}\u{feff} \"'\\\\ \r\n\t".to_owned(),
        "\u{1}".repeat(16_384),
        "\u{1f680}".repeat(4_096),
        "a%00b".to_owned(),
    ];
    let mut stream = world.subscribe(None).await;
    next(&mut stream).await;
    let sends = bodies.iter().map(|body| world.send(body));
    futures_util::future::join_all(sends).await;
    let mut received = self::bodies(&mut stream, bodies.len()).await;
    let mut sent = bodies.to_vec();
    sent.sort();
    received.sort();
    assert_eq!(received, sent);
}

/// Nothing that a peer does not read keeps the core from its end.
#[tokio::test]
async fn connections_whose_calls_do_not_end_are_cut_off() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let served = tokio::spawn({
        let (core, shutdown) = (world.core.clone(), shutdown.clone());
        async move { core.serve(listener, shutdown).await }
    });
    let stream = TcpStream::connect(address).await.expect("a connection");
    // Its answers have no room.
    let mut builder = h2::client::Builder::new();
    let handshake = builder.initial_window_size(0).handshake::<_, Bytes>(stream);
    let (mut calls, connection) = handshake.await.expect("a handshake");
    let ended = tokio::spawn(connection);
    let request = SubscribeRequest { user_id: BOB.into(), ..Default::default() }.encode_to_vec();
    let length = u32::try_from(request.len()).expect("a short request").to_be_bytes();
    let request = [&[0], &length[..], &request].concat();
    let call =
        http::Request::post(format!("http://{address}/netrox.chat.v1.ChatService/Subscribe"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {TOKEN}"));
    let (answer, mut body) =
        calls.send_request(call.body(()).expect("a call"), false).expect("sent");
    body.send_data(request.into(), true).expect("sent");
    let answer = answer.await.expect("the head of an answer");
    assert_eq!(answer.status(), 200);

    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(8), served)
        .await
        .expect("the end of the service")
        .expect("a task")
        .expect("an end without an error");
    // And so its connection, before anything else ends it.
    let _ = tokio::time::timeout(Duration::from_secs(2), ended)
        .await
        .expect("the end of the connection");
    world.core.close().await;
    assert!(!world.directory.path().join("chat.db-wal").exists());
}
