//! Of the bus between cores.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use netrox_metrics::{By, Looks, Queues, Registry, words};
use prometheus_client::metrics::counter::Counter;

#[derive(Debug, Clone)]
pub(crate) struct BusMetrics {
    /// Nothing is shown where there is no bus.
    connected: Looks,
    is_connected: Arc<AtomicBool>,
    connections: Counter,
    sent: Counter,
    received: Counter,
    missed: Counter,
    failures: By<BusFailure, Counter>,
    pub(crate) queues: Queues,
}

impl Default for BusMetrics {
    fn default() -> Self {
        Self::new(Queues::default())
    }
}

impl BusMetrics {
    pub(super) fn new(queues: Queues) -> Self {
        Self {
            connected: Looks::gauges(),
            is_connected: Arc::default(),
            connections: Counter::default(),
            sent: Counter::default(),
            received: Counter::default(),
            missed: Counter::default(),
            failures: By::counters("reason"),
            queues,
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "bus_connected",
            "Whether the bus is connected: 1, or 0; nothing where there is none",
            self.connected.clone(),
        );
        registry.register(
            "bus_connections",
            "Connections to the bus that were made, the first one too",
            self.connections.clone(),
        );
        registry.register(
            "bus_hints_sent",
            "Hints that were given to the bus, one for each user who learns of something",
            self.sent.clone(),
        );
        registry.register(
            "bus_hints_received",
            "Hints of other cores that came over the bus",
            self.received.clone(),
        );
        registry.register(
            "bus_hints_missed",
            "Users who learned from the database what the bus should have brought",
            self.missed.clone(),
        );
        registry.register(
            "bus_failures",
            "What went wrong at the connection to the bus",
            self.failures.clone(),
        );
    }

    /// There is a bus.
    pub(crate) fn begin(&self) {
        let is_connected = Arc::clone(&self.is_connected);
        self.connected.add([], move || Some(is_connected.load(Ordering::Relaxed).into()));
    }

    pub(crate) fn connected(&self) {
        self.is_connected.store(true, Ordering::Relaxed);
        self.connections.inc();
    }

    pub(crate) fn disconnected(&self) {
        self.is_connected.store(false, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self) {
        self.sent.inc();
    }

    pub(crate) fn received(&self) {
        self.received.inc();
    }

    pub(crate) fn missed(&self, users: u64) {
        self.missed.inc_by(users);
    }

    pub(crate) fn failed(&self, failure: BusFailure) {
        self.failures.count(failure);
    }
}

words! {
    /// What goes wrong at the connection.
    pub(crate) enum BusFailure {
        Disconnected = "disconnected",
        /// Hints came faster than they were taken in.
        SlowConsumer = "slow_consumer",
        /// The server is about to end.
        LameDuck = "lame_duck",
        /// This core is not let in.
        Denied = "denied",
        MayNotPublish = "may_not_publish",
        MayNotListen = "may_not_listen",
        Certificate = "certificate",
        Tls = "tls",
        /// Nobody listens there.
        Refused = "refused",
        TimedOut = "timed_out",
        Server = "server_error",
        Client = "client_error",
        Other = "other",
    }
}
