//! What can be measured of an edge. Labels are words of ours, codes of HTTP and WebSocket, or what the operator set; never
//! what a client made up.
//!
//! docs/METRICS.md tells what each metric means, and what to do about it.
//!
//! * [`sends`]: what users send; [`deliveries`]: what they receive; [`signals`]: what
//!   they do just now; [`sockets`]: their connections.
//! * [`refusals`]: what is refused; [`keys`]: what access tokens are verified by.

mod deliveries;
mod keys;
mod refusals;
mod sends;
mod signals;
mod sockets;

use netrox_metrics::{By, Queues, Registry};
use netrox_tls::HandshakeFailure;
use prometheus_client::metrics::counter::Counter;

pub(crate) use self::{
    deliveries::{Delivering, DeliveryMetrics, Lateness},
    keys::{Fetch, KeyMetrics, WatchMetrics},
    refusals::{AddressLimit, Limit, RefusalMetrics},
    sends::{SendKind, SendMetrics, SendRefusal},
    signals::{ShedSignal, SignalMetrics},
    sockets::{Close, SocketMetrics},
};

/// What an edge counts: cheap handles. Those that are in no registry are counted for nobody.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) sends: SendMetrics,
    pub(crate) deliveries: DeliveryMetrics,
    pub(crate) signals: SignalMetrics,
    pub(crate) sockets: SocketMetrics,
    pub(crate) refusals: RefusalMetrics,
    pub(crate) keys: KeyMetrics,
    pub(crate) watch: WatchMetrics,
    pub(crate) handshakes_failed: By<HandshakeFailure, Counter>,
    pub(crate) queues: Queues,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            sends: SendMetrics::default(),
            deliveries: DeliveryMetrics::default(),
            signals: SignalMetrics::default(),
            sockets: SocketMetrics::default(),
            refusals: RefusalMetrics::default(),
            keys: KeyMetrics::default(),
            watch: WatchMetrics::default(),
            handshakes_failed: By::counters("reason"),
            queues: Queues::default(),
        }
    }
}

impl Metrics {
    /// Metrics that the registry shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self { queues: registry.queues(), ..Self::default() };
        let Self {
            sends,
            deliveries,
            signals,
            sockets,
            refusals,
            keys,
            watch,
            handshakes_failed,
            queues: _,
        } = &metrics;
        sends.register(registry);
        deliveries.register(registry);
        signals.register(registry);
        sockets.register(registry);
        refusals.register(registry);
        keys.register(registry);
        watch.register(registry);
        registry.register(
            "http_tls_handshakes_failed",
            "Connections to the public listener that came to nothing in their TLS handshake",
            handshakes_failed.clone(),
        );
        metrics
    }
}

#[cfg(test)]
mod tests;
