//! Of connections to the database.

use netrox_metrics::{Looks, Registry};

#[derive(Debug, Clone)]
pub(crate) struct StoreMetrics {
    /// By pool and state.
    pub(crate) connections: Looks,
    /// By pool.
    pub(crate) limits: Looks,
    pub(crate) waits: Looks,
    pub(crate) timeouts: Looks,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            connections: Looks::gauges(),
            limits: Looks::gauges(),
            waits: Looks::counters(),
            timeouts: Looks::counters(),
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
    }
}
