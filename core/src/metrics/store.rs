//! Of connections to the database.

use netrox_metrics::{Looks, Registry};
use prometheus_client::metrics::gauge::Gauge;

#[derive(Debug, Clone)]
pub(crate) struct StoreMetrics {
    /// By pool and state.
    pub(crate) connections: Looks,
    /// By pool.
    pub(crate) limits: Looks,
    pub(crate) waits: Looks,
    pub(crate) timeouts: Looks,
    /// Whether somebody holds a snapshot for so long that sends get slower.
    pub(crate) snapshot_held: Gauge,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            connections: Looks::gauges(),
            limits: Looks::gauges(),
            waits: Looks::counters(),
            timeouts: Looks::counters(),
            snapshot_held: Gauge::default(),
        }
    }
}

impl StoreMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "database_connections",
            "Connections that read the database, by their pool",
            self.connections.clone(),
        );
        registry.register(
            "database_connections_limit",
            "How many a pool may have",
            self.limits.clone(),
        );
        registry.register(
            "database_waits",
            "Reads that waited for a connection, of PostgreSQL",
            self.waits.clone(),
        );
        registry.register(
            "database_wait_timeouts",
            "Reads that got no connection in time, of PostgreSQL",
            self.timeouts.clone(),
        );
        registry.register(
            "database_snapshot_held",
            "Whether a snapshot of PostgreSQL is held for so long that sends get slower: 1, or 0",
            self.snapshot_held.clone(),
        );
    }
}
