//! What can be measured of a core. Labels are words of ours, never what a caller sent.
//!
//! docs/METRICS.md tells what each metric means, and what to do about it.
//!
//! * [`commits`]: how writes are stored; [`streams`]: what subscriptions are told; [`bus`]: the way to other cores.
//! * [`store`]: connections to the database; [`search`]: the index for search; [`media`]: attachment bytes; [`callers`]: who calls.
//! * [`signals`]: what is told and not stored; [`presence`]: who is online; [`retention`]: what goes for its age or with its sender.
//! * [`store`]: connections to the database; [`media`]: attachment bytes; [`callers`]: who calls.

mod bus;
mod callers;
mod commits;
mod media;
mod presence;
mod retention;
mod search;
mod signals;
mod store;
mod streams;

use netrox_metrics::{By, Queues, Registry, Word as _, words};
use netrox_tls::HandshakeFailure;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use tokio::sync::mpsc;

pub(crate) use self::{
    bus::{BusFailure, BusMetrics},
    callers::{Callers, OfService, Quota, ServiceCalls},
    commits::{CommitFailure, Commits, WaitingWrite},
    media::{Direction, MediaMetrics, MediaOperation, Transfer, UnderWay},
    presence::PresenceMetrics,
    retention::RetentionMetrics,
    search::SearchMetrics,
    signals::{Shed, SignalMetrics},
    store::StoreMetrics,
    streams::{ReadCause, Stream, Streams},
};

/// What a core counts: cheap handles. Those that are in no registry are counted for nobody.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) commits: Commits,
    pub(crate) streams: Streams,
    pub(crate) bus: BusMetrics,
    pub(crate) signals: SignalMetrics,
    pub(crate) presence: PresenceMetrics,
    pub(crate) store: StoreMetrics,
    pub(crate) search: SearchMetrics,
    pub(crate) retention: RetentionMetrics,
    pub(crate) media: MediaMetrics,
    pub(crate) callers: Callers,
    pub(crate) serving: Serving,
    pub(crate) failed_handshakes: By<HandshakeFailure, Counter>,
    pub(crate) quota_refusals: By<Quota, Counter>,
    pub(crate) tickets: By<TicketUse, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&Queues::default())
    }
}

impl Metrics {
    fn new(queues: &Queues) -> Self {
        let signals = SignalMetrics::default();
        Self {
            commits: Commits::new(queues.clone()),
            streams: Streams::new(queues.clone(), signals.clone()),
            bus: BusMetrics::new(queues.clone()),
            signals,
            presence: PresenceMetrics::default(),
            store: StoreMetrics::default(),
            search: SearchMetrics::default(),
            retention: RetentionMetrics::default(),
            media: MediaMetrics::new(queues.clone()),
            callers: Callers::default(),
            serving: Serving::default(),
            failed_handshakes: By::counters("reason"),
            quota_refusals: By::counters("quota"),
            tickets: By::counters("use"),
        }
    }

    /// Metrics that the registry shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::new(&registry.queues());
        let Self {
            commits,
            streams,
            bus,
            signals,
            presence,
            store,
            search,
            retention,
            media,
            callers,
            serving,
            failed_handshakes,
            quota_refusals,
            tickets,
        } = &metrics;
        commits.register(registry);
        streams.register(registry);
        bus.register(registry);
        signals.register(registry);
        presence.register(registry);
        store.register(registry);
        search.register(registry);
        retention.register(registry);
        media.register(registry);
        callers.register(registry);
        registry.register(
            "serving",
            "Whether the core serves: 1, or 0 while the part it names is away; nothing before it is open",
            serving.0.clone(),
        );
        registry.register(
            "grpc_tls_handshakes_failed",
            "Connections to the gRPC listener that came to nothing in their TLS handshake",
            failed_handshakes.clone(),
        );
        registry.register(
            "quota_refusals",
            "Sends and uploads that were refused because their user was over a quota",
            quota_refusals.clone(),
        );
        registry.register(
            "tickets",
            "Tickets for WebSockets and expiring links that were made, used and refused",
            tickets.clone(),
        );
        metrics
    }
}

words! {
    /// Whether there is service, as `grpc.health.v1` says.
    pub(crate) enum Part {
        /// The database takes writes.
        Database = "database",
        /// The media directory takes files.
        Files = "files",
    }
}

words! {
    /// What becomes of tickets.
    pub(crate) enum TicketUse {
        /// For a WebSocket, as are the next two.
        Made = "made",
        Spent = "spent",
        Refused = "refused",
        /// The signature of a link to a file, as are the next two.
        LinkMade = "link_made",
        LinkUsed = "link_used",
        LinkRefused = "link_refused",
    }
}

/// By part. Nothing is shown before it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Serving(Family<[(&'static str, &'static str); 1], Gauge>);

impl Serving {
    pub(crate) fn set(&self, part: Part, serves: bool) {
        self.0.get_or_create(&[("part", part.word())]).set(serves.into());
    }
}

/// How long a queue is, until it is gone.
pub(crate) fn length<T>(queue: &mpsc::WeakSender<T>) -> Option<usize> {
    queue.upgrade().map(|queue| queue.max_capacity() - queue.capacity())
}

#[cfg(test)]
mod tests;
