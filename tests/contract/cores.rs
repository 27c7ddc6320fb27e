//! Several cores on one database are one chat: ids and sequences grow in one order, whoever writes and
//! wherever one looks.

use std::collections::{HashMap, HashSet};

use netrox_harness::{Arrangement, TestChat, run_test};
use netrox_proto::v1::{
    ErrorReason, Event, Message, SendMessageRequest, SendMessagesRequest, SubscribeRequest,
    event::Change, send_messages_request::Request, send_messages_response::Result as Answer,
};
use tokio::task::JoinSet;
use tonic::Code;
use uuid::Uuid;

use crate::{
    pipeline::Pipeline,
    repetition::{assert_fails, of_start, stored},
    running::{Connection, authorized, connect_to, text},
    search::SEARCH,
    subscribe::Subscription,
};

const CORES: usize = 4;
const USERS: usize = 4;
const PIPELINES: usize = 3;
/// Of each pipeline.
const SENDS: usize = 400;

struct Cluster {
    chat: TestChat,
    users: Vec<String>,
}

impl Cluster {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(settings: &[(&str, &str)]) -> Self {
        let builder = TestChat::builder(Arrangement::Cluster).cores(CORES).edges(0);
        let builder = settings.iter().fold(builder, |all, (flag, value)| all.set(flag, *value));
        let chat = builder.start().await;
        let mut cluster = Self { chat, users: Vec::new() };
        let users: [String; USERS] = cluster.connect(0).await.users().await;
        cluster.users = users.into();
        cluster
    }

    /// A connection of its own to one of the cores.
    async fn connect(&self, core: usize) -> Connection {
        let cores = self.chat.core_roles();
        authorized(connect_to(self.chat.grpc_address_of(cores[core % CORES])).await)
    }
}

/// Who sends the message of this number on a pipeline to whom: every ordered pair in turn.
fn pair(number: usize) -> (usize, usize) {
    let sender = number % USERS;
    let offset = 1 + number / USERS % (USERS - 1);
    (sender, (sender + offset) % USERS)
}

/// How many of the messages of all pipelines a user sends, and how many they receive.
fn counts(user: usize) -> (usize, usize) {
    let pairs = || (0..SENDS).map(pair);
    let sent = pairs().filter(|(sender, _)| *sender == user).count();
    let received = pairs().filter(|(_, receiver)| *receiver == user).count();
    (sent * CORES * PIPELINES, received * CORES * PIPELINES)
}

fn body(pipeline: usize, number: usize) -> String {
    format!("{pipeline} {number}")
}

fn parse_body(body: &str) -> (usize, usize) {
    let (pipeline, number) = body.split_once(' ').expect("two numbers");
    (pipeline.parse().expect("a number"), number.parse().expect("a number"))
}

fn message(event: &Event) -> &Message {
    let Some(Change::Message(message)) = &event.change else { panic!("no message: {event:?}") };
    message
}

/// What one observer sees from the beginning on. A core that cannot keep up on a busy machine says that it is
/// unavailable, and is asked again.
async fn observe(connection: Connection, request: SubscribeRequest, count: usize) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after_seq = Some(events.last().map_or(0, |event| event.seq));
        let request = SubscribeRequest { after_seq, ..request.clone() };
        let unavailable = match Subscription::try_open(&connection, request).await {
            Ok(mut subscription) => loop {
                match subscription.try_next().await {
                    Ok(Some(event)) if events.len() < count => events.push(event),
                    Ok(Some(fence)) => {
                        assert_eq!(message(&fence).body, "fence", "more than was sent");
                        return events;
                    }
                    Ok(None) => panic!("a stream ended"),
                    Err(status) => break status,
                }
            },
            Err(status) => status,
        };
        assert_eq!(unavailable.code(), Code::Unavailable, "{unavailable:?}");
    }
}

/// The same over many streams, each on another core than the last.
async fn observe_in_pieces(connections: Vec<Connection>, user: String, count: usize) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for piece in 0.. {
        let after_seq = Some(events.last().map_or(0, |event| event.seq));
        let request = SubscribeRequest {
            user_id: user.clone(),
            after_seq,
            received_only: false,
            epoch: None,
            ..Default::default()
        };
        let connection = &connections[piece % CORES];
        let Ok(mut subscription) = Subscription::try_open(connection, request).await else {
            continue;
        };
        for _ in 0..(piece * 31 % 97) {
            if events.len() == count {
                return events;
            }
            match subscription.try_next().await {
                Ok(Some(event)) => events.push(event),
                _ => break,
            }
        }
    }
    events
}

/// What a writer has done.
#[derive(Default)]
struct Written {
    /// By number.
    ids: HashMap<usize, i64>,
    /// What was refused at first, and so came later than what was sent after it.
    repeated: HashSet<usize>,
}

/// Sends everything that one pipeline has to send, and again what was refused.
async fn write(connection: Connection, index: usize, users: Vec<String>) -> Written {
    let mut written = Written::default();
    let mut unsent: Vec<_> = (0..SENDS).collect();
    // As an edge sends, whose answers may get lost: repeated, it is stored once.
    let refs: Vec<_> = (0..SENDS).map(|_| Uuid::new_v4().to_string()).collect();
    while !unsent.is_empty() {
        let pipeline = Pipeline::open(&connection).await;
        for number in &unsent {
            let (sender, receiver) = pair(*number);
            let mut message = text(&users[sender], &users[receiver], &body(index, *number));
            message.client_ref = Some(refs[*number].clone());
            pipeline.message(*number as u64, message).await;
        }
        let answers = pipeline.finish().await.expect("a good end");
        unsent.retain(|number| match &answers[&(*number as u64)] {
            Answer::Message(stored) => {
                written.ids.insert(*number, stored.message_id);
                false
            }
            // A database on a busy machine may take longer than a caller is to wait.
            Answer::Failure(failure) => {
                let reason = failure.reason();
                let may_be_repeated =
                    matches!(reason, ErrorReason::StoreUnavailable | ErrorReason::OutcomeUnknown);
                assert!(may_be_repeated, "instead of a stored message: {failure:?}");
                true
            }
            other => panic!("instead of a stored message: {other:?}"),
        });
        written.repeated.extend(&unsent);
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn all_cores_write_and_show_one_order() {
    run_test(async {
        let mut cluster = Cluster::start().await;
        let users = &cluster.users;
        let mut observers = JoinSet::new();
        for (user, id) in users.iter().enumerate() {
            let (sent, received) = counts(user);
            for core in 0..CORES {
                for received_only in [false, true] {
                    let request = SubscribeRequest {
                        user_id: id.clone(),
                        after_seq: Some(0),
                        received_only,
                        epoch: None,
                        ..Default::default()
                    };
                    let count = if received_only { received } else { sent + received };
                    let observing = observe(cluster.connect(core).await, request, count);
                    observers.spawn(async move { (user, received_only, observing.await) });
                }
            }
            let mut connections = Vec::new();
            for core in 0..CORES {
                connections.push(cluster.connect(core + user).await);
            }
            let pieces = observe_in_pieces(connections, id.clone(), sent + received);
            observers.spawn(async move { (user, false, pieces.await) });
        }

        let mut writers = JoinSet::new();
        for index in 0..CORES * PIPELINES {
            let writing = write(cluster.connect(index).await, index, users.clone());
            writers.spawn(async move { (index, writing.await) });
        }
        let mut answered = HashMap::new();
        let mut repeated = HashSet::new();
        while let Some(written) = writers.join_next().await {
            let (index, written) = written.expect("a writer");
            answered.extend(written.ids.into_iter().map(|(number, id)| (id, (index, number))));
            repeated.extend(written.repeated.into_iter().map(|number| (index, number)));
        }
        eprintln!("{} sends were refused at first", repeated.len());
        assert_eq!(answered.len(), CORES * PIPELINES * SENDS, "an id of its own for each");
        for user in 0..USERS {
            let connection = cluster.connect(user).await;
            let fence = connection.send(&users[user], &users[(user + 1) % USERS], "fence");
            fence.await.expect("stored");
        }

        let mut seen: Vec<Option<Vec<Event>>> = vec![None; USERS];
        let mut received_only = Vec::new();
        while let Some(observed) = observers.join_next().await {
            let (user, filtered, events) = observed.expect("an observer");
            if filtered {
                received_only.push((user, events));
                continue;
            }
            let seqs = events.iter().map(|event| event.seq);
            assert!(seqs.eq(1..=events.len() as u64), "a hole or a double");
            match &seen[user] {
                Some(first) => assert!(first == &events, "two observers differ"),
                None => seen[user] = Some(events),
            }
        }
        let seen: Vec<_> = seen.into_iter().map(|events| events.expect("an observer")).collect();
        for (user, events) in received_only {
            let received =
                seen[user].iter().filter(|event| message(event).receiver_id == users[user]);
            assert!(received.eq(&events), "an observer of what is received differs");
        }
        for (user, events) in seen.iter().enumerate() {
            let ids = || events.iter().map(|event| message(event).id);
            assert!(ids().is_sorted_by(|one, next| one < next), "ids grow with sequences");
            let mut last = HashMap::new();
            for event in events {
                let message = message(event);
                let (pipeline, number) = parse_body(&message.body);
                assert_eq!(answered.get(&message.id), Some(&(pipeline, number)), "{message:?}");
                if repeated.contains(&(pipeline, number)) {
                    continue;
                }
                let before = last.insert((pipeline, message.sender_id.clone()), number);
                assert!(before < Some(number), "{number} after {before:?} on a pipeline");
            }
            for (peer, peer_id) in users.iter().enumerate().filter(|(peer, _)| *peer != user) {
                // Whichever core is asked.
                let connection = cluster.connect(user + peer).await;
                let history = connection.history(&users[user], peer_id).await.expect("a history");
                let with_peer = events.iter().map(message).filter(|message| {
                    message.sender_id == *peer_id || message.receiver_id == *peer_id
                });
                let history = history.iter().filter(|message| message.body != "fence");
                assert!(with_peer.eq(history), "a history differs from what was seen");
            }
        }
        // What a core's sessions met is counted when they end.
        for core in cluster.chat.core_roles() {
            cluster.chat.terminate(core).await;
        }
        assert_eq!(cluster.chat.database().deadlocks().await, 0);
    })
    .await;
}

/// A reference counts wherever it is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_on_another_core_is_no_second_message() {
    const SENDS: usize = 50;
    run_test(async {
        let cluster = Cluster::start().await;
        let [ada, bob] = [&cluster.users[0], &cluster.users[1]];
        let mut senders = JoinSet::new();
        let references: Vec<_> = (0..SENDS).map(|_| Uuid::new_v4().to_string()).collect();
        for core in 0..CORES {
            let mut chat = cluster.connect(core).await.chat();
            let requests: Vec<_> = references
                .iter()
                .map(|reference| netrox_proto::v1::SendMessageRequest {
                    client_ref: Some(reference.clone()),
                    ..text(ada, bob, reference)
                })
                .collect();
            senders.spawn(async move {
                let mut ids = Vec::new();
                for request in requests {
                    let answer = chat.send_message(request).await.expect("stored");
                    ids.push(answer.into_inner().message_id);
                }
                ids
            });
        }
        let mut answers = Vec::new();
        while let Some(ids) = senders.join_next().await {
            answers.push(ids.expect("a sender"));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        let history = cluster.connect(0).await.history(bob, ada).await.expect("a history");
        let stored: Vec<_> = history.iter().map(|message| message.id).collect();
        assert_eq!(stored, answers[0]);
    })
    .await;
}

/// The first copy lies in the socket of another core.
#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_that_is_refused_is_refused_on_all_cores_for_an_hour() {
    run_test(async {
        const COUNT: &str = "select count(*) from refused_sends";
        const AGE: &str = "update refused_sends set refused = refused - 3601000000";
        let cluster = Cluster::start().await;
        let [ada, bob] = [&cluster.users[0], &cluster.users[1]];
        let request = |core: u64, number, is_repetition| {
            let client_ref = Some(of_start(1, number).to_string());
            let message = SendMessageRequest { client_ref, ..text(ada, bob, "hello") };
            let request = Some(Request::Message(message));
            SendMessagesRequest { request_id: core, request, is_repetition, ..Default::default() }
        };
        let mut cores = Vec::new();
        for core in 0..CORES {
            cores.push(Pipeline::open(&cluster.connect(core).await).await);
        }
        let mut ask = async |core: usize, number, is_repetition| {
            cores[core].put(request(core as u64 + 1, number, is_repetition)).await;
            cores[core].next().await.1
        };
        stored(&ask(0, 9, false).await);
        assert_fails(&ask(1, 1, true).await, ErrorReason::Overtaken);
        for core in 0..CORES {
            assert_fails(&ask(core, 1, false).await, ErrorReason::Overtaken);
        }
        let mut connection = cluster.chat.database().connect().await;
        sqlx::query(AGE).execute(&mut connection).await.expect("an hour");
        assert_fails(&ask(2, 2, true).await, ErrorReason::Overtaken);
        let left: i64 =
            sqlx::query_scalar(COUNT).fetch_one(&mut connection).await.expect("a count");
        assert_eq!(left, 1);
        let history = cluster.connect(0).await.history(ada, bob).await.expect("a history");
        assert_eq!(history.len(), 1);
    })
    .await;
}

/// What a core stores reaches the streams of every other.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_on_one_core_reaches_streams_on_all() {
    run_test(async {
        let cluster = Cluster::start().await;
        let [ada, bob] = [&cluster.users[0], &cluster.users[1]];
        let mut streams = Vec::new();
        for core in 0..CORES {
            streams.push(Subscription::open(&cluster.connect(core).await, bob).await);
        }
        for number in 0..20 {
            let writer = cluster.connect(number).await;
            let id = writer.send(ada, bob, "hello").await.expect("stored").message_id;
            for stream in &mut streams {
                assert_eq!(stream.message().await.id, id);
            }
        }
        // Who is deleted on one core is gone on all.
        cluster.connect(1).await.delete_user(bob).await.expect("deleted");
        for stream in &mut streams {
            let ended = stream.try_next().await;
            crate::refusal::assert_refused(ended, netrox_proto::v1::ErrorReason::UserDeleted);
        }
        for core in 0..CORES {
            let refused = cluster.connect(core).await.send(ada, bob, "too late").await;
            crate::refusal::assert_refused(refused, netrox_proto::v1::ErrorReason::ReceiverUnknown);
        }
    })
    .await;
}

/// What one core stores, those who listen at another learn: edits, deletions and marks too.
#[tokio::test(flavor = "multi_thread")]
async fn random_actions_on_all_cores_leave_what_the_contract_says() {
    let cluster = Cluster::start_with(&[SEARCH]).await;
    let mut connections = Vec::new();
    for core in 0..CORES {
        connections.push(cluster.connect(core).await);
    }
    crate::model::run(connections, 8).await;
}
