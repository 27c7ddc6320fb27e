//! Beside cores of another version on the same database and bus: what one of 0.1.0 writes, and hints that a later one
//! sends.

use netrox_harness::{Arrangement, Engine, TestChat, engine::NatsServer, run_test};
use netrox_proto::v1::{Event, SubscribeRequest, SubscribeResponse, event::Change};
use prost::Message as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use uuid::Uuid;

use crate::{
    running::{Connection, authorized, connect_to},
    subscribe::Subscription,
};

/// A message as a core of 0.1.0 stores it: it knows neither first places nor starts.
async fn store(chat: &TestChat, id: i64, body: &str) {
    let row = format!(
        "insert into messages (thread_id, id, sender, receiver, body, created, updated,
            sender_seq, receiver_seq)
        select thread_id, {id}, sender, receiver, '{body}', created + {id}, created + {id},
            (select last_seq + 1 from feeds where user_key = sender),
            (select last_seq + 1 from feeds where user_key = receiver)
        from messages where body = 'first'"
    );
    let feeds = "update feeds set last_seq = last_seq + 1
        where user_key in (select unnest(array[sender, receiver]) from messages where body = 'first')";
    chat.change_rows(&[&row, feeds]).await;
}

/// Hands a hint to the bus, as another core would.
async fn publish(nats: &NatsServer, chat: &TestChat, user: &str, hint: &[u8]) {
    let cluster: Uuid = sqlx::query_scalar("select id from cluster")
        .fetch_one(&mut chat.database().connect().await)
        .await
        .expect("the identity of the database");
    let user = user.parse::<Uuid>().expect("a UUID");
    let subject = format!("netrox-chat.{}.feed.{}", cluster.as_simple(), user.as_simple());
    let mut server = BufReader::new(TcpStream::connect(nats.address()).await.expect("connect"));
    let mut line = String::new();
    server.read_line(&mut line).await.expect("the server's greeting");
    let mut command = b"CONNECT {\"verbose\":false}\r\n".to_vec();
    command.extend(format!("PUB {subject} {}\r\n", hint.len()).as_bytes());
    command.extend(hint);
    command.extend(b"\r\nPING\r\n");
    server.write_all(&command).await.expect("published");
    // Answered behind what was published.
    let mut pong = [0; 6];
    server.read_exact(&mut pong).await.expect("an answer");
    assert_eq!(&pong, b"PONG\r\n");
}

async fn start(nats: &NatsServer) -> (TestChat, Connection) {
    let builder = TestChat::builder(Arrangement::Cluster).cores(1).edges(0);
    let chat = builder.engine(Engine::Nats, nats.server()).start().await;
    let core = authorized(connect_to(chat.grpc_address()).await);
    (chat, core)
}

async fn received_only(core: &Connection, user: &str, after_seq: Option<u64>) -> Subscription {
    let request = SubscribeRequest {
        user_id: user.into(),
        after_seq,
        received_only: true,
        ..SubscribeRequest::default()
    };
    Subscription::try_open(core, request).await.expect("a subscription")
}

#[tokio::test]
async fn what_a_core_of_0_1_0_stores_is_delivered_once() {
    run_test(async {
        let nats = NatsServer::start().await;
        let (chat, core) = start(&nats).await;
        let [ada, bob] = core.users().await;
        core.send(&ada, &bob, "first").await.expect("stored");
        let mut live = received_only(&core, &bob, None).await;
        store(&chat, 500_000, "older").await;
        assert_eq!(live.message().await.body, "older");
        core.send(&ada, &bob, "newer").await.expect("stored");
        assert_eq!(live.message().await.body, "newer");
        let mut resumed = received_only(&core, &bob, Some(0)).await;
        for body in ["first", "older", "newer"] {
            let event = resumed.event().await;
            assert_eq!(event.first_seq, event.seq, "it is new");
            let Some(Change::Message(message)) = event.change else { panic!("no message") };
            assert_eq!(message.body, body);
        }
    })
    .await;
}

/// It does not note the newest message of a thread.
#[tokio::test]
async fn a_thread_that_a_core_of_0_1_0_writes_to_comes_first() {
    run_test(async {
        let nats = NatsServer::start().await;
        let (chat, core) = start(&nats).await;
        let [ada, bob, cyd] = core.users().await;
        let first = core.send(&ada, &bob, "first").await.expect("stored").thread_id;
        let second = core.send(&ada, &cyd, "second").await.expect("stored").thread_id;
        let order = async || -> Vec<_> {
            let threads = core.threads(&ada).await.expect("threads");
            threads.iter().map(|thread| thread.id).collect()
        };
        assert_eq!(order().await, [second, first]);
        store(&chat, 500_000, "older").await;
        let active =
            format!("update threads set last_activity = last_activity + 1 where id = {first}");
        chat.change_rows(&[&active]).await;
        assert_eq!(order().await, [first, second]);
    })
    .await;
}

/// A core that does not know the kind of a change must not take it for a message of the user's own.
#[tokio::test]
async fn a_hint_of_an_unknown_kind_hides_nothing() {
    run_test(async {
        let nats = NatsServer::start().await;
        let (chat, core) = start(&nats).await;
        let [ada, bob] = core.users().await;
        core.send(&ada, &bob, "first").await.expect("stored");
        let mut live = received_only(&core, &bob, None).await;
        // The name of the history, as only a core that knows of it tells.
        let request = SubscribeRequest { user_id: bob.clone(), ..SubscribeRequest::default() };
        let mut responses = core.chat().subscribe(request).await.expect("open").into_inner();
        let first = responses.message().await.expect("a response").expect("a response");
        assert!(!first.epoch.is_empty());
        let place = first.last_seq + 1;
        let event = Event { seq: place, ..Event::default() };
        let mut hint =
            SubscribeResponse { events: vec![event], last_seq: place, epoch: first.epoch };
        store(&chat, 500_000, "of a later kind").await;
        publish(&nats, &chat, &bob, &hint.encode_to_vec()).await;
        assert_eq!(live.message().await.body, "of a later kind");
        // Nor does one of an unknown history.
        hint.epoch = "no epoch".to_owned();
        hint.events[0].seq = place + 1;
        store(&chat, 500_001, "of another history").await;
        publish(&nats, &chat, &bob, &hint.encode_to_vec()).await;
        assert_eq!(live.message().await.body, "of another history");
    })
    .await;
}
