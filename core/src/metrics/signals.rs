//! Of signals: what users do just now, of which nothing is stored.

use netrox_metrics::{By, Registry, words};
use prometheus_client::metrics::counter::Counter;

#[derive(Debug, Clone)]
pub(crate) struct SignalMetrics {
    sent: Counter,
    shed: By<Shed, Counter>,
}

impl Default for SignalMetrics {
    fn default() -> Self {
        Self { sent: Counter::default(), shed: By::counters("at") }
    }
}

impl SignalMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "signals_sent",
            "Signals that were given to the streams of subscriptions",
            self.sent.clone(),
        );
        registry.register(
            "signals_shed",
            "Signals that were dropped because there was too much, by where",
            self.shed.clone(),
        );
    }

    pub(crate) fn sent(&self, signals: usize) {
        self.sent.inc_by(signals as u64);
    }

    pub(crate) fn shed(&self, at: Shed) {
        self.shed.count(at);
    }
}

words! {
    /// Where a signal is dropped.
    pub(crate) enum Shed {
        /// Its subscription takes nothing, or less than there is.
        Stream = "stream",
        /// The bus takes less than there is.
        Bus = "bus",
        /// Too many ask who may be told.
        Reads = "reads",
    }
}
