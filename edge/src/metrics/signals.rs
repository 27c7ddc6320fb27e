//! Of signals: what users do just now, and are told of each other.

use netrox_metrics::{By, Registry, words};
use prometheus_client::metrics::counter::Counter;

#[derive(Debug, Clone)]
pub(crate) struct SignalMetrics {
    frames: Counter,
    shed: By<ShedSignal, Counter>,
}

impl Default for SignalMetrics {
    fn default() -> Self {
        Self { frames: Counter::default(), shed: By::counters("at") }
    }
}

impl SignalMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "signal_frames",
            "Frames of signals that were given to a WebSocket",
            self.frames.clone(),
        );
        registry.register(
            "signal_frames_shed",
            "Signals that were dropped because there was too much, or a core away, by where",
            self.shed.clone(),
        );
    }

    pub(crate) fn given(&self) {
        self.frames.inc();
    }

    #[cfg(test)]
    pub(crate) fn shed_at(&self, at: ShedSignal) -> u64 {
        self.shed.of(at).map_or(0, Counter::get)
    }

    pub(crate) fn shed(&self, at: ShedSignal) {
        self.shed.count(at);
    }
}

words! {
    /// Where a signal is dropped.
    pub(crate) enum ShedSignal {
        /// Its socket takes nothing, or less than there is.
        Socket = "socket",
        /// What users say could not be told to a core.
        Typing = "typing",
    }
}
