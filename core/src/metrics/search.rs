//! Of the index for search.

use netrox_metrics::Registry;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

#[derive(Debug, Clone, Default)]
pub(crate) struct SearchMetrics {
    /// Not in the transaction that stored them, but later.
    pub(crate) indexed: Counter,
    /// Whether all messages are indexed.
    pub(crate) complete: Gauge,
}

impl SearchMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "search_messages_indexed",
            "Messages that were indexed for search after they had been stored",
            self.indexed.clone(),
        );
        registry.register(
            "search_index_complete",
            "Whether all messages are indexed for search: 1, or 0 while there is no index or older ones are added",
            self.complete.clone(),
        );
    }
}
