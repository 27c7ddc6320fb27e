//! Traffic that goes on over every break, and a ledger of all that it was shown.
//!
//! Senders, receivers, uploaders and a reader of histories work as clients do: they open a socket,
//! use it while it lasts, and open another. Nothing they meet is an error of theirs, but all of it is
//! written down, for [`Flow::verify`] to hold it against what is stored.

mod ledger;
mod uploader;
mod verify;

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use netrox_harness::{Edge, PATIENCE, TestChat, User, eventually, socket::chat_message, within};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

pub(crate) use self::ledger::End;
use self::ledger::Ledger;

pub(crate) const SENDERS: usize = 8;
pub(crate) const RECEIVERS: usize = 8;
const UPLOADERS: usize = 2;
/// Senders that wait for each message to be seen or refused before the next.
const PATIENT_SENDERS: usize = 2;
/// Messages that the others have under way.
const WINDOW: u64 = 32;
/// After this without news a sender takes what is under way for lost.
const NO_NEWS: Duration = Duration::from_millis(300);
/// Between two tries of what does not work at the moment.
const PAUSE: Duration = Duration::from_millis(10);

/// A seed for all that is random in a test; `NETROX_CHAT_TEST_SEED` repeats one.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("NETROX_CHAT_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |seed| seed.parse().expect("a number"));
    eprintln!("NETROX_CHAT_TEST_SEED={seed}");
    seed
}

/// Who takes part, and where.
pub(crate) struct Cast {
    /// Clients use one after the other.
    edges: Vec<Edge>,
    senders: Vec<User>,
    receivers: Vec<User>,
    uploaders: Vec<User>,
    /// Whether every send is answered or seen even while a process is gone.
    answered: bool,
}

impl Cast {
    fn edge(&self, attempt: usize) -> Edge {
        self.edges[attempt % self.edges.len()]
    }

    /// Everybody who writes to the receivers.
    fn authors(&self) -> impl Iterator<Item = &User> {
        self.senders.iter().chain(&self.uploaders)
    }
}

/// Running traffic.
pub(crate) struct Flow {
    cast: Arc<Cast>,
    ledger: Arc<Ledger>,
    sending: CancellationToken,
    receiving: CancellationToken,
    tasks: JoinSet<()>,
}

impl Flow {
    /// Starts traffic over these edges. `answered` where clients keep their connections over all that
    /// is going to happen: then nothing may be lost without a word.
    pub(crate) async fn start(chat: &TestChat, edges: &[Edge], answered: bool, seed: u64) -> Self {
        let users = async |name: &'static str, count: usize| {
            let mut users = Vec::new();
            for number in 0..count {
                users.push(chat.user(&format!("{name}-{number}")).await);
            }
            users
        };
        let cast = Arc::new(Cast {
            edges: edges.to_vec(),
            senders: users("sender", SENDERS).await,
            receivers: users("receiver", RECEIVERS).await,
            uploaders: users("uploader", UPLOADERS).await,
            answered,
        });
        let ledger = Arc::new(Ledger::new(RECEIVERS, SENDERS));
        let sending = CancellationToken::new();
        let receiving = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for index in 0..RECEIVERS {
            let task = receive(Arc::clone(&cast), Arc::clone(&ledger), index);
            tasks.spawn(until(receiving.clone(), task));
        }
        ledger.all_connected().await;
        for index in 0..SENDERS {
            let window = if index < PATIENT_SENDERS { 1 } else { WINDOW };
            tasks.spawn(send(
                Arc::clone(&cast),
                Arc::clone(&ledger),
                sending.clone(),
                index,
                window,
            ));
        }
        for index in 0..UPLOADERS {
            tasks.spawn(uploader::run(
                Arc::clone(&cast),
                Arc::clone(&ledger),
                sending.clone(),
                index,
            ));
        }
        let reader = read(Arc::clone(&cast), Arc::clone(&ledger), StdRng::seed_from_u64(seed));
        tasks.spawn(until(sending.clone(), reader));
        Self { cast, ledger, sending, receiving, tasks }
    }

    /// Waits until this many more messages were received. Fails where a task of the traffic failed.
    pub(crate) async fn progress(&mut self, messages: usize) {
        let goal = self.ledger.received_count() + messages;
        let progress = async {
            while self.ledger.received_count() < goal {
                self.check_tasks();
                tokio::time::sleep(PAUSE).await;
            }
        };
        within("progress of the traffic", progress).await;
    }

    /// How the first connection of a receiver ended, as soon as it has.
    pub(crate) async fn first_end(&self, receiver: usize) -> End {
        eventually("the end of a connection", async || {
            self.ledger.ends_of(receiver).first().copied()
        })
        .await
    }

    /// A task that ended before it was told to has failed.
    fn check_tasks(&mut self) {
        if let Some(ended) = self.tasks.try_join_next() {
            ended.expect("a task of the traffic");
            panic!("a task of the traffic ended");
        }
    }

    /// Nobody sends any more; receivers go on.
    pub(crate) fn stop_sending(&self) {
        self.sending.cancel();
    }

    /// Everybody stops.
    async fn stop(&mut self) {
        self.sending.cancel();
        self.receiving.cancel();
        while let Some(ended) = within("the end of the traffic", self.tasks.join_next()).await {
            ended.expect("a task of the traffic");
        }
    }
}

async fn until(stop: CancellationToken, task: impl Future<Output = ()>) {
    stop.run_until_cancelled(task).await;
}

/// Opens a socket; `None` where that does not work at the moment.
async fn open(edge: Edge, user: &User) -> Option<WebSocketStream<TcpStream>> {
    let handshake = async {
        let tcp = TcpStream::connect(edge.address).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        let uri = format!("ws://{}/ws/chat/room/?token={}", edge.address, user.token);
        client_async(uri, tcp).await.ok().map(|(stream, _)| stream)
    };
    timeout(PATIENCE, handshake).await.ok().flatten()
}

/// The text that a sender sends as its message of this number.
fn text_of(sender: usize, number: u64) -> String {
    let filler = "\u{e4}\u{1f600}x ".repeat((sender * 7 + number as usize * 13) % 40);
    format!("canary {sender} {number} {filler}")
}

/// The sender and number of a text.
fn parse_text(text: &str) -> (usize, u64) {
    let mut words = text.split(' ').skip(1);
    let mut number = || words.next()?.parse().ok();
    let (Some(sender), Some(count)) = (number(), number()) else { panic!("not sent: {text:?}") };
    let (sender, count) = (sender as usize, count);
    assert_eq!(text, text_of(sender, count), "a text was changed");
    (sender, count)
}

/// To whom a sender sends its message of this number.
fn receiver_of(sender: usize, number: u64) -> usize {
    (sender + number as usize) % RECEIVERS
}

async fn send(
    cast: Arc<Cast>,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
    index: usize,
    window: u64,
) {
    let mut next = 0;
    let mut seen = ledger.progress(index);
    for attempt in index.. {
        if stop.is_cancelled() {
            return;
        }
        let Some(socket) = open(cast.edge(attempt), &cast.senders[index]).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (mut sink, mut frames) = socket.split();
        // What was under way on the last connection is settled, one way or the other.
        let mut settled = next;
        loop {
            let fill = async {
                while next < settled + window {
                    let receiver = &cast.receivers[receiver_of(index, next)];
                    let frame = chat_message(&receiver.id, &text_of(index, next)).to_string();
                    next += 1;
                    sink.feed(Message::text(frame)).await?;
                }
                sink.flush().await
            };
            // A peer that stops reading is as good as gone.
            match timeout(PATIENCE, fill).await {
                Ok(Ok(())) => {}
                _ => break,
            }
            let patience = if cast.answered && window == 1 { PATIENCE } else { NO_NEWS };
            tokio::select! {
                () = stop.cancelled() => return,
                frame = frames.next() => match frame {
                    Some(Ok(Message::Text(frame))) => {
                        let code = ledger.refused(&frame);
                        if window == 1 && code == "unavailable" {
                            ledger.never_stored(text_of(index, next - 1));
                        }
                        settled = next;
                        tokio::time::sleep(PAUSE).await;
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
                changed = seen.changed() => {
                    changed.expect("a ledger");
                    settled = settled.max(*seen.borrow_and_update());
                }
                () = tokio::time::sleep(patience) => {
                    assert!(patience == NO_NEWS, "message {} was lost without a word", next - 1);
                    settled = next;
                }
            }
        }
    }
}

async fn receive(cast: Arc<Cast>, ledger: Arc<Ledger>, index: usize) {
    for connection in 0.. {
        let Some(mut socket) = open(cast.edge(connection), &cast.receivers[index]).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        ledger.connected(index);
        let end = loop {
            match socket.next().await {
                Some(Ok(Message::Text(frame))) => ledger.received(index, connection, &frame),
                Some(Ok(Message::Close(frame))) => {
                    break End::Closed(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break End::Broken,
            }
        };
        ledger.ended(index, end);
    }
}

/// Reads histories all the time.
async fn read(cast: Arc<Cast>, ledger: Arc<Ledger>, mut random: StdRng) {
    let authors: Vec<_> = cast.authors().collect();
    for attempt in 0.. {
        let author = authors[random.random_range(0..authors.len())];
        let receiver = &cast.receivers[random.random_range(0..RECEIVERS)];
        let path = format!("/chat/messages/{}/", author.id);
        let request = cast.edge(attempt).get(&path).bearer(&receiver.token);
        if let Ok(answer) = request.try_send().await {
            match answer.status {
                200 => {
                    let answer = answer.json();
                    let messages = answer["entity"]["messages"].as_array().expect("messages");
                    messages.iter().for_each(|message| ledger.listed(message));
                }
                503 => {}
                _ => panic!("a history: {answer:?}"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The id of a message as REST shows it.
fn message_id(message: &Value) -> i64 {
    message["id"].as_i64().unwrap_or_else(|| panic!("no id: {message}"))
}
