//! Of the committer.

use std::time::Duration;

use netrox_metrics::{By, Queues, Registry, words};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};

/// Seconds of a commit: one fsync of a good disk to what the watchdog calls overdue, and beyond.
const COMMIT_SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 3.0, 10.0];
/// Writes that share a commit: up to what a batch may have.
const BATCH_WRITES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

#[derive(Debug, Clone)]
pub(crate) struct Commits {
    seconds: Histogram,
    writes: Histogram,
    failed: By<CommitFailure, Counter>,
    waiting: Gauge,
    unknown: Counter,
    messages: Counter,
    swallowed: Counter,
    pub(crate) queues: Queues,
}

impl Commits {
    pub(super) fn new(queues: Queues) -> Self {
        Self {
            seconds: Histogram::new(COMMIT_SECONDS),
            writes: Histogram::new(BATCH_WRITES),
            failed: By::counters("outcome"),
            waiting: Gauge::default(),
            unknown: Counter::default(),
            messages: Counter::default(),
            swallowed: Counter::default(),
            queues,
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "commit_duration",
            "Time of a transaction of writes, from its beginning until it is durable",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "commit_writes",
            "Writes that one transaction made durable",
            self.writes.clone(),
        );
        registry.register(
            "commits_failed",
            "Transactions of writes that were not known to be stored, by what became of their writes",
            self.failed.clone(),
        );
        registry.register(
            "writes_waiting",
            "Writes that were taken and are not answered",
            self.waiting.clone(),
        );
        registry.register(
            "writes_unknown",
            "Writes whose callers were told that nobody knows whether they are stored",
            self.unknown.clone(),
        );
        registry.register("messages_stored", "Messages that were stored", self.messages.clone());
        registry.register(
            "messages_swallowed",
            "Messages and files that were kept from a receiver who blocks their sender",
            self.swallowed.clone(),
        );
    }

    /// So many writes are durable, `messages` of which are messages; it took so long.
    pub(crate) fn stored(&self, writes: usize, messages: usize, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        self.writes.observe(writes as f64);
        self.messages.inc_by(messages as u64);
    }

    /// So many messages and files are their senders' alone.
    pub(crate) fn swallowed(&self, count: usize) {
        if count > 0 {
            self.swallowed.inc_by(count as u64);
        }
    }

    pub(crate) fn failed(&self, outcome: CommitFailure) {
        self.failed.count(outcome);
    }

    /// Counts a write as waiting until what is given is dropped.
    pub(crate) fn wait(&self) -> WaitingWrite {
        self.waiting.inc();
        WaitingWrite { waiting: self.waiting.clone(), unknown: self.unknown.clone() }
    }
}

#[derive(Debug)]
pub(crate) struct WaitingWrite {
    waiting: Gauge,
    unknown: Counter,
}

impl WaitingWrite {
    /// Its caller is told that nobody knows whether it is stored.
    pub(crate) fn is_unknown(&self) {
        self.unknown.inc();
    }
}

impl Drop for WaitingWrite {
    fn drop(&mut self) {
        self.waiting.dec();
    }
}

words! {
    /// What became of the writes of a commit that failed.
    pub(crate) enum CommitFailure {
        /// They wait for the database, or were given back.
        PutBack = "put_back",
        /// Their callers are told that nothing was stored, or a batch is tried again write by write.
        Refused = "refused",
        /// Whether they are stored could not be found out.
        Unknown = "unknown",
    }
}
