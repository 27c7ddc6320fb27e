//! Beside cores of another version on the same database and bus: what one of 0.1.0 writes, and hints that a later one
//! sends.

use netrox_harness::{Arrangement, Engine, Role, TestChat, engine::NatsServer, run_test, within};
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

/// Of what a core of now publishes for older ones: true as field 2044.
const MARK: &[u8] = &[0xe0, 0x7f, 1];

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

/// A connection to the bus, as another core has.
struct Bus {
    server: BufReader<TcpStream>,
    prefix: String,
}

impl Bus {
    async fn connect(nats: &NatsServer, chat: &TestChat) -> Self {
        let cluster: Uuid = sqlx::query_scalar("select id from cluster")
            .fetch_one(&mut chat.database().connect().await)
            .await
            .expect("the identity of the database");
        let stream = TcpStream::connect(nats.address()).await.expect("connect");
        let mut bus = Self {
            server: BufReader::new(stream),
            prefix: format!("netrox-chat.{}.", cluster.as_simple()),
        };
        bus.line().await;
        bus.command(b"CONNECT {\"verbose\":false}\r\n").await;
        bus
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.server.read_line(&mut line);
        within("a line of the bus", read).await.expect("a line");
        line
    }

    /// The next line that is not the server's own question whether somebody is there.
    async fn told(&mut self) -> String {
        loop {
            let line = self.line().await;
            if line != "PING\r\n" {
                return line;
            }
            self.server.write_all(b"PONG\r\n").await.expect("sent");
        }
    }

    /// Returns once it took effect; nothing may be on its way here.
    async fn command(&mut self, command: &[u8]) {
        let command = [command, b"PING\r\n"].concat();
        self.server.write_all(&command).await.expect("sent");
        assert_eq!(self.told().await, "PONG\r\n");
    }

    /// What an older core publishes, or one of a later version for it.
    async fn publish(&mut self, user: &str, hint: &[u8]) {
        let subject = format!("{}{}", self.prefix, feed_of(user));
        let command = format!("PUB {subject} {}\r\n", hint.len());
        self.command(&[command.as_bytes(), hint, b"\r\n"].concat()).await;
    }

    async fn subscribe_to_all(&mut self) {
        let command = format!("SUB {}> 1\r\n", self.prefix);
        self.command(command.as_bytes()).await;
    }

    /// The next subject after what all have in common, and what is published under it; not who is online, which cores tell all the
    /// time.
    async fn next(&mut self) -> (String, Vec<u8>) {
        loop {
            let (subject, payload) = self.next_of_all().await;
            if !subject.starts_with("presence") {
                return (subject, payload);
            }
        }
    }

    async fn next_of_all(&mut self) -> (String, Vec<u8>) {
        let line = self.told().await;
        let words: Vec<_> = line.split_whitespace().collect();
        let ["MSG", subject, "1", len] = words[..] else { panic!("{line}") };
        let mut payload = vec![0; len.parse::<usize>().expect("a length") + 2];
        let read = self.server.read_exact(&mut payload);
        within("a payload", read).await.expect("a payload");
        payload.truncate(payload.len() - 2);
        let subject = subject.strip_prefix(&self.prefix).expect("a subject of this chat");
        (subject.to_owned(), payload)
    }
}

/// Under which an older core publishes and listens.
fn feed_of(user: &str) -> String {
    format!("feed.{}", user.parse::<Uuid>().expect("a UUID").as_simple())
}

async fn start(nats: &NatsServer) -> (TestChat, Connection) {
    let builder = TestChat::builder(Arrangement::Cluster).cores(1).edges(0);
    let chat = builder.engine(Engine::Nats, nats.server()).start().await;
    // Before it is, a core publishes nothing.
    chat.log(Role::Core(0)).counts("the bus is connected", 1).await;
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
        let mut hint = SubscribeResponse {
            events: vec![event],
            last_seq: place,
            epoch: first.epoch,
            ..Default::default()
        };
        let mut bus = Bus::connect(&nats, &chat).await;
        store(&chat, 500_000, "of a later kind").await;
        bus.publish(&bob, &hint.encode_to_vec()).await;
        assert_eq!(live.message().await.body, "of a later kind");
        // Nor does one of an unknown history.
        hint.epoch = "no epoch".to_owned();
        hint.events[0].seq = place + 1;
        store(&chat, 500_001, "of another history").await;
        bus.publish(&bob, &hint.encode_to_vec()).await;
        assert_eq!(live.message().await.body, "of another history");
    })
    .await;
}

/// It listens to a subject for each of its users. As soon as it has stored something it is published for.
#[tokio::test]
async fn an_older_core_hears_what_others_store_once_it_was_heard() {
    run_test(async {
        let nats = NatsServer::start().await;
        let (chat, core) = start(&nats).await;
        let [ada, bob] = core.users().await;
        let mut live = received_only(&core, &bob, None).await;
        let mut bus = Bus::connect(&nats, &chat).await;
        bus.subscribe_to_all().await;
        core.send(&ada, &bob, "first").await.expect("stored");
        assert_eq!(live.message().await.body, "first");
        for _ in [&ada, &bob] {
            let (subject, _) = bus.next().await;
            assert!(subject.starts_with("share."), "{subject}: nobody else is known");
        }

        let mut older = Bus::connect(&nats, &chat).await;
        store(&chat, 500_000, "older").await;
        older.publish(&bob, b"").await;
        chat.log(Role::Core(0)).counts("an older core is on the bus", 1).await;
        assert_eq!(live.message().await.body, "older");
        assert_eq!(bus.next().await, (feed_of(&bob), Vec::new()));
        core.send(&ada, &bob, "newer").await.expect("stored");
        assert_eq!(live.message().await.body, "newer");
        let mut copies = Vec::new();
        for _ in [&ada, &bob] {
            let (subject, _) = bus.next().await;
            assert!(subject.starts_with("share."), "{subject}: cores of now come first");
            copies.push(bus.next().await);
        }
        let of_bob = copies.iter().find(|(subject, _)| *subject == feed_of(&bob));
        let (_, copy) = of_bob.expect("what the older core hears");
        let mut hint = SubscribeResponse::decode(&copy[..]).expect("what it understands");
        let [Event { seq: 3, change: Some(Change::Message(message)), .. }] = &hint.events[..]
        else {
            panic!("{hint:?}")
        };
        assert_eq!(message.body, "newer");

        // A core of now, which hears it by the share, does not take the copy for what an older one says.
        assert!(copy.ends_with(MARK), "{copy:?}");
        hint.events[0].seq = 4;
        let Some(Change::Message(message)) = &mut hint.events[0].change else { unreachable!() };
        message.body = "a copy".to_owned();
        older.publish(&bob, &[&hint.encode_to_vec(), MARK].concat()).await;
        core.send(&ada, &bob, "last").await.expect("stored");
        assert_eq!(live.message().await.body, "last");
    })
    .await;
}
