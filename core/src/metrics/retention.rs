//! Of messages that go: those that are too old, and those of deleted users.

use netrox_metrics::Registry;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

#[derive(Debug, Clone, Default)]
pub(crate) struct RetentionMetrics {
    /// Messages, by this core.
    pub(crate) removed: Counter,
    /// How long the oldest message should be gone, in seconds.
    pub(crate) overdue: Gauge,
    /// Messages, by this core.
    pub(crate) erased: Counter,
    /// Deleted users whose messages are not all erased yet.
    pub(crate) erasures: Gauge,
}

impl RetentionMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "messages_removed",
            "Messages that were removed because they were older than --retain-messages",
            self.removed.clone(),
        );
        registry.register(
            "retention_overdue_seconds",
            "For how long the oldest message is older than --retain-messages; 0 where none is, or all are kept for ever",
            self.overdue.clone(),
        );
        registry.register(
            "messages_erased",
            "Messages that were erased because their sender was deleted with erase_messages",
            self.erased.clone(),
        );
        registry.register(
            "erasures_open",
            "Deleted users whose messages are being erased, or still are to be",
            self.erasures.clone(),
        );
    }
}
