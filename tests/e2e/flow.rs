//! Traffic that goes on over every break, and a ledger of all that it was shown.
//!
//! Senders, receivers, uploaders and a reader of histories work as clients do: they open a socket,
//! use it while it lasts, and open another. Receivers write as well, on the same socket: a user's own messages
//! have places in the same feed as those that must come. Beside them are clients of the second generation ([`second`]). Nothing they meet is an error of theirs, but all of it is
//! written down, for [`Flow::verify`] to hold it against what is stored.

mod client;
mod ledger;
mod second;
mod uploader;
mod verify;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use netrox_harness::{Edge, TestChat, User, eventually, last_words, within};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::ledger::End;
use self::{ledger::Ledger, second::Second};

pub(crate) const SENDERS: usize = 8;
pub(crate) const RECEIVERS: usize = 8;
/// Those that receivers write to.
const LISTENERS: usize = 2;
/// A receiver writes for each message with a number that this divides.
const WRITES_FOR: u64 = 3;
const UPLOADERS: usize = 2;
/// Senders that wait for each message to be seen or refused before the next.
const PATIENT_SENDERS: usize = 2;
/// Messages that the others have under way.
const WINDOW: u64 = 32;
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
    /// Those that senders write to, and then the listeners.
    receivers: Vec<User>,
    uploaders: Vec<User>,
    /// Whether every send is answered or seen even while a process is gone.
    answered: bool,
}

impl Cast {
    fn edge(&self, attempt: usize) -> Edge {
        self.edges[attempt % self.edges.len()]
    }

    /// Everybody who writes to a receiver.
    fn authors_of(&self, receiver: usize) -> Vec<&User> {
        if receiver < RECEIVERS {
            self.senders.iter().chain(&self.uploaders).collect()
        } else {
            self.receivers[..RECEIVERS].iter().collect()
        }
    }
}

/// A moment of the traffic.
#[derive(Debug)]
pub(crate) struct Mark {
    at: Instant,
    /// By sender: the number of the first message after it.
    numbers: Vec<u64>,
}

/// Running traffic.
pub(crate) struct Flow {
    cast: Arc<Cast>,
    ledger: Arc<Ledger>,
    /// Absent where the program knows no second generation.
    second: Option<Second>,
    /// Files of others, from before.
    other_files: HashSet<String>,
    sending: CancellationToken,
    receiving: CancellationToken,
    tasks: JoinSet<()>,
}

impl Flow {
    /// Starts traffic over these edges. `answered` where clients keep their connections over all that
    /// is going to happen: then nothing may be lost without a word.
    pub(crate) async fn start(chat: &TestChat, edges: &[Edge], answered: bool, seed: u64) -> Self {
        Self::begin(chat, edges, answered, true, seed).await
    }

    /// The same of documented clients alone.
    pub(crate) async fn start_documented(chat: &TestChat, edges: &[Edge], seed: u64) -> Self {
        Self::begin(chat, edges, false, false, seed).await
    }

    async fn begin(
        chat: &TestChat,
        edges: &[Edge],
        answered: bool,
        has_second: bool,
        seed: u64,
    ) -> Self {
        let users = async |name: &'static str, count: usize| {
            let mut users = Vec::new();
            for number in 0..count {
                users.push(chat.user(&format!("{name}-{number}")).await);
            }
            users
        };
        let mut receivers = users("receiver", RECEIVERS).await;
        receivers.extend(users("listener", LISTENERS).await);
        let cast = Arc::new(Cast {
            edges: edges.to_vec(),
            senders: users("sender", SENDERS).await,
            receivers,
            uploaders: users("uploader", UPLOADERS).await,
            answered,
        });
        let ledger = Arc::new(Ledger::new(RECEIVERS + LISTENERS, SENDERS + RECEIVERS));
        let other_files = chat.media_paths().into_iter().collect();
        let sending = CancellationToken::new();
        let receiving = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for index in 0..RECEIVERS + LISTENERS {
            let task = client::receive(Arc::clone(&cast), Arc::clone(&ledger), index);
            tasks.spawn(until(receiving.clone(), task));
        }
        ledger.all_connected().await;
        let second = match has_second {
            true => Some(Second::start(chat, edges, &sending, &receiving, &mut tasks).await),
            false => None,
        };
        for index in 0..SENDERS {
            let window = if index < PATIENT_SENDERS { 1 } else { WINDOW };
            tasks.spawn(client::send(
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
        let reader =
            client::read(Arc::clone(&cast), Arc::clone(&ledger), StdRng::seed_from_u64(seed));
        tasks.spawn(until(sending.clone(), reader));
        Self { cast, ledger, second, other_files, sending, receiving, tasks }
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

    /// What is sent from now on.
    pub(crate) fn mark(&self) -> Mark {
        Mark { at: Instant::now(), numbers: self.ledger.next_numbers() }
    }

    /// Waits until messages sent after the mark got through, of every sender and to every receiver, and of every
    /// receiver.
    /// Gives the time from the mark on.
    pub(crate) async fn through(&mut self, mark: &Mark) -> Duration {
        let through = async {
            while !self.ledger.has_reached_all(&mark.numbers, PATIENT_SENDERS) {
                self.check_tasks();
                tokio::time::sleep(PAUSE).await;
            }
        };
        within("messages to get through again", through).await;
        mark.at.elapsed()
    }

    /// How many sends were refused, and the longest that a sender waited for it.
    pub(crate) fn refusals(&self) -> (usize, Duration) {
        self.ledger.refusals()
    }

    /// How many requests were answered with this code.
    pub(crate) fn refused(&self, code: &str) -> usize {
        let errors = self.second.as_ref().map(Second::errors).unwrap_or_default();
        let second = errors.get(code).copied().unwrap_or(0);
        self.ledger.refused_with(code) + second
    }

    pub(crate) fn received_count(&self) -> usize {
        self.ledger.received_count()
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

impl Drop for Flow {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let first = self.ledger.summary();
            let second = self.second.as_ref().map(Second::summary).unwrap_or_default();
            let last = self.second.as_ref().map(Second::last_frames).unwrap_or_default();
            last_words::note(format!("the traffic: {first}; second generation: {second}\n{last}"));
        }
    }
}

async fn until(stop: CancellationToken, task: impl Future<Output = ()>) {
    stop.run_until_cancelled(task).await;
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

/// To whom a sender sends its message of this number. After the senders, receivers count as senders.
fn receiver_of(sender: usize, number: u64) -> usize {
    if sender < SENDERS {
        (sender + number as usize) % RECEIVERS
    } else {
        RECEIVERS + (sender + number as usize) % LISTENERS
    }
}

/// The id of a message as REST shows it.
fn message_id(message: &Value) -> i64 {
    message["id"].as_i64().unwrap_or_else(|| panic!("no id: {message}"))
}
