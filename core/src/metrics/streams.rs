//! Of streams to callers, and of what subscriptions are told by them.

use netrox_metrics::{By, Held, Queues, Registry, words};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use super::SignalMetrics;

#[derive(Debug, Clone)]
pub(crate) struct Streams {
    open: By<Stream, Gauge>,
    events: Counter,
    reads: By<ReadCause, Counter>,
    repairs: Counter,
    pub(crate) queues: Queues,
    pub(crate) signals: SignalMetrics,
}

impl Streams {
    pub(super) fn new(queues: Queues, signals: SignalMetrics) -> Self {
        Self {
            open: By::gauges("stream"),
            events: Counter::default(),
            reads: By::counters("cause"),
            repairs: Counter::default(),
            queues,
            signals,
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "streams_open",
            "Streams of callers, by what they are for",
            self.open.clone(),
        );
        registry.register(
            "events_sent",
            "Events that were given to the streams of subscriptions",
            self.events.clone(),
        );
        registry.register(
            "feed_reads",
            "Reads of the database for a subscription, by why it was read",
            self.reads.clone(),
        );
        registry.register(
            "feed_repairs",
            "Subscriptions that have all again after a hole, or after they were behind",
            self.repairs.clone(),
        );
    }

    /// Counts a stream as open until what is given is dropped.
    pub(crate) fn open(&self, stream: Stream) -> Held {
        self.open.hold(stream)
    }

    pub(crate) fn sent(&self, events: usize) {
        self.events.inc_by(events as u64);
    }

    pub(crate) fn read_for(&self, cause: ReadCause) {
        self.reads.count(cause);
    }

    pub(crate) fn repaired(&self) {
        self.repairs.inc();
    }
}

words! {
    pub(crate) enum Stream {
        Subscribe = "subscribe",
        Send = "send",
        /// Of an edge that learns which tokens are revoked.
        Watch = "watch",
        /// Of an edge that reports its sockets.
        Report = "report",
        /// Of who watches the presence of others.
        Presence = "presence",
    }
}

words! {
    /// Why a subscription reads the database.
    pub(crate) enum ReadCause {
        /// It goes on from an earlier position, or what it is to read takes more than one read.
        Position = "position",
        /// What came was not the next after what it had.
        Hole = "hole",
        /// Its queue was full, or it was told to look.
        Behind = "behind",
    }
}

impl ReadCause {
    /// Whether something was missing that should have come by itself.
    pub(crate) fn is_of_a_loss(self) -> bool {
        match self {
            Self::Position => false,
            Self::Hole | Self::Behind => true,
        }
    }
}
