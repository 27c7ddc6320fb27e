//! What can be measured of the audit trail.

use netrox_metrics::Registry;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

/// Cheap handles.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) written: Counter,
    pub(crate) dropped: Counter,
    pub(crate) failing: Gauge,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "audit_events_written",
            "Lines of the audit log that were written",
            self.written.clone(),
        );
        registry.register(
            "audit_events_dropped",
            "Events that are missing in the audit log, since it could not be written in time",
            self.dropped.clone(),
        );
        registry.register(
            "audit_log_failing",
            "Whether the audit log cannot be written: 1, or 0",
            self.failing.clone(),
        );
    }
}
