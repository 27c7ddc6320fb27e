//! What clients were shown, written down as they saw it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use netrox_harness::within;
use serde_json::Value;
use tokio::sync::watch;

use super::{RECEIVERS, SENDERS, message_id, parse_text};

/// How a connection of a receiver came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed(u16),
    Broken,
}

/// A frame with a message, as a receiver got it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Grows with every connection of the receiver.
    pub(crate) connection: usize,
    pub(crate) frame: Value,
}

impl Received {
    pub(crate) fn id(&self) -> i64 {
        self.frame["created_msg_id"].as_i64().unwrap_or_else(|| panic!("no id: {}", self.frame))
    }

    pub(crate) fn is_file(&self) -> bool {
        self.frame["action"] == "re_message_file"
    }

    pub(crate) fn body(&self) -> &str {
        self.frame["message_body"].as_str().unwrap_or_else(|| panic!("no body: {}", self.frame))
    }
}

#[derive(Debug, Default)]
struct Pages {
    /// By receiver.
    received: Vec<Vec<Received>>,
    ends: Vec<Vec<End>>,
    connections: Vec<usize>,
    /// By receiver and sender: one more than the last number that came.
    reached: Vec<Vec<u64>>,
    /// By sender: the first number on each of its connections.
    sender_begins: Vec<Vec<u64>>,
    /// Connections of senders that ended.
    sender_ends: usize,
    /// Messages that an answer over REST showed, by id.
    listed: HashMap<i64, Value>,
    /// Texts that were refused as not stored.
    never_stored: HashSet<String>,
    errors: BTreeMap<String, usize>,
    /// The longest that a sender waited for a refusal.
    slowest_refusal: Duration,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
    /// By sender: one more than the last number that a receiver saw.
    progress: Vec<watch::Sender<u64>>,
    /// By sender: the next number to be sent.
    next: Vec<AtomicU64>,
    connected: watch::Sender<usize>,
}

impl Ledger {
    pub(super) fn new(receivers: usize, senders: usize) -> Self {
        let pages = Pages {
            received: vec![Vec::new(); receivers],
            ends: vec![Vec::new(); receivers],
            connections: vec![0; receivers],
            reached: vec![vec![0; senders]; receivers],
            sender_begins: vec![Vec::new(); senders],
            ..Default::default()
        };
        Self {
            pages: Mutex::new(pages),
            progress: (0..senders).map(|_| watch::channel(0).0).collect(),
            next: (0..senders).map(|_| AtomicU64::new(0)).collect(),
            connected: watch::channel(0).0,
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self, sender: usize) -> watch::Receiver<u64> {
        self.progress[sender].subscribe()
    }

    pub(super) fn connected(&self, receiver: usize) {
        self.pages().connections[receiver] += 1;
        self.connected.send_modify(|count| *count += 1);
    }

    /// Waits until every receiver had a connection.
    pub(super) async fn all_connected(&self) {
        let mut connected = self.connected.subscribe();
        let all = connected.wait_for(|_| self.pages().connections.iter().all(|count| *count > 0));
        within("all receivers", all).await.expect("a ledger");
    }

    pub(super) fn ended(&self, receiver: usize, end: End) {
        self.pages().ends[receiver].push(end);
    }

    /// Gives the number of a text. Receivers write as well: it may be a refusal.
    pub(super) fn received(&self, receiver: usize, connection: usize, frame: &str) -> Option<u64> {
        let shown: Value = serde_json::from_str(frame).expect("a JSON frame");
        let action = shown["action"].as_str();
        if action == Some("error") && receiver < RECEIVERS {
            self.refused(frame);
            return None;
        }
        assert!(matches!(action, Some("re_message" | "re_message_file")), "{frame}");
        let received = Received { connection, frame: shown };
        let text = (!received.is_file()).then(|| parse_text(received.body()));
        let mut pages = self.pages();
        pages.received[receiver].push(received);
        let (sender, number) = text?;
        pages.reached[receiver][sender] = number + 1;
        drop(pages);
        self.progress[sender].send_if_modified(|seen| {
            let advances = number >= *seen;
            *seen = (*seen).max(number + 1);
            advances
        });
        Some(number)
    }

    /// Notes an error frame and gives its code.
    pub(super) fn refused(&self, frame: &str) -> String {
        let frame: Value = serde_json::from_str(frame).expect("a JSON frame");
        assert_eq!(frame["action"], "error", "a sender was sent {frame}");
        let code = frame["code"].as_str().expect("a code").to_owned();
        assert!(matches!(code.as_str(), "unavailable" | "outcome_unknown"), "{frame}");
        *self.pages().errors.entry(code.clone()).or_default() += 1;
        code
    }

    /// The numbers that senders have not used yet.
    pub(super) fn next_numbers(&self) -> Vec<u64> {
        self.next.iter().map(|next| next.load(Ordering::Relaxed)).collect()
    }

    pub(super) fn sends(&self, sender: usize, number: u64) {
        self.next[sender].store(number + 1, Ordering::Relaxed);
    }

    /// Whether every sender got through with a message of at least these numbers: to everybody, or the first
    /// few, which wait for each message, and receivers to anybody.
    pub(super) fn has_reached_all(&self, numbers: &[u64], patient: usize) -> bool {
        let pages = self.pages();
        let through = |sender: usize, reached: &Vec<u64>| reached[sender] > numbers[sender];
        (0..numbers.len()).all(|sender| {
            let mut through = pages.reached.iter().map(|reached| through(sender, reached));
            if (patient..SENDERS).contains(&sender) {
                through.take(RECEIVERS).all(|through| through)
            } else {
                through.any(|through| through)
            }
        })
    }

    pub(super) fn sender_began(&self, sender: usize, number: u64) {
        self.pages().sender_begins[sender].push(number);
    }

    /// By sender: the first number on each of its connections.
    pub(super) fn sender_begins(&self) -> Vec<Vec<u64>> {
        self.pages().sender_begins.clone()
    }

    pub(super) fn sender_ended(&self) {
        self.pages().sender_ends += 1;
    }

    pub(crate) fn sender_ends(&self) -> usize {
        self.pages().sender_ends
    }

    pub(super) fn refused_after(&self, waited: Duration) {
        let mut pages = self.pages();
        pages.slowest_refusal = pages.slowest_refusal.max(waited);
    }

    /// How many sends were answered with this code.
    pub(super) fn refused_with(&self, code: &str) -> usize {
        self.pages().errors.get(code).copied().unwrap_or(0)
    }

    /// How many sends were refused, and the longest that one waited for it.
    pub(crate) fn refusals(&self) -> (usize, Duration) {
        let pages = self.pages();
        (pages.errors.values().sum(), pages.slowest_refusal)
    }

    pub(super) fn never_stored(&self, text: String) {
        self.pages().never_stored.insert(text);
    }

    /// A message does not change from one answer to the next.
    pub(super) fn listed(&self, message: &Value) {
        let mut pages = self.pages();
        let first = pages.listed.entry(message_id(message)).or_insert_with(|| message.clone());
        assert_eq!(first, message, "a message changed");
    }

    pub(crate) fn received_count(&self) -> usize {
        self.pages().received.iter().map(Vec::len).sum()
    }

    pub(crate) fn received_by(&self, receiver: usize) -> Vec<Received> {
        self.pages().received[receiver].clone()
    }

    /// The texts that a receiver got on each of its connections, by id.
    pub(super) fn texts_by_connection(&self, receiver: usize) -> BTreeMap<usize, Vec<i64>> {
        let mut texts = BTreeMap::<_, Vec<_>>::new();
        for received in self.pages().received[receiver].iter().filter(|one| !one.is_file()) {
            texts.entry(received.connection).or_default().push(received.id());
        }
        texts
    }

    /// How the connections of a receiver ended.
    pub(crate) fn ends_of(&self, receiver: usize) -> Vec<End> {
        self.pages().ends[receiver].clone()
    }

    pub(super) fn all_listed(&self) -> HashMap<i64, Value> {
        self.pages().listed.clone()
    }

    pub(super) fn all_never_stored(&self) -> HashSet<String> {
        self.pages().never_stored.clone()
    }

    /// For people.
    pub(super) fn summary(&self) -> String {
        let pages = self.pages();
        format!(
            "received {}, listed {}, refused {:?} after at most {:?}, connections of receivers {}",
            pages.received.iter().map(Vec::len).sum::<usize>(),
            pages.listed.len(),
            pages.errors,
            pages.slowest_refusal,
            pages.connections.iter().sum::<usize>(),
        )
    }
}
