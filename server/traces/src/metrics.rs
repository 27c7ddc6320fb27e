//! What is counted of spans that have ended.

use netrox_metrics::{By, Queues, Registry, words};
use prometheus_client::metrics::counter::Counter;

words! {
    /// Why a span was not exported.
    pub enum Dropped {
        /// More ended than the collector took.
        Queue = "queue",
        /// The collector refused it, or did not answer in time, or was not there.
        Collector = "collector",
        /// The process ended before it was taken.
        Shutdown = "shutdown",
    }
}

/// Cheap handles.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub exported: Counter,
    pub dropped: By<Dropped, Counter>,
    pub(crate) queues: Queues,
}

impl Default for Metrics {
    fn default() -> Self {
        let (exported, dropped) = (Counter::default(), By::counters("reason"));
        Self { exported, dropped, queues: Queues::default() }
    }
}

impl Metrics {
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self { queues: registry.queues(), ..Self::default() };
        registry.register(
            "trace_spans_exported",
            "Spans of traces that the collector took",
            metrics.exported.clone(),
        );
        registry.register(
            "trace_spans_dropped",
            "Spans of traces that are missing there, by why",
            metrics.dropped.clone(),
        );
        metrics
    }
}
