//! Of who is online, and who watches.

use netrox_metrics::{Looks, Registry};

#[derive(Debug, Clone)]
pub(crate) struct PresenceMetrics {
    online: Looks,
    watched: Looks,
}

impl Default for PresenceMetrics {
    fn default() -> Self {
        Self { online: Looks::gauges(), watched: Looks::gauges() }
    }
}

impl PresenceMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "users_online",
            "Users with a WebSocket on any edge, and those of the last seconds, as far as the core knows",
            self.online.clone(),
        );
        registry.register(
            "users_watched",
            "Users whose presence anybody watches by way of the core",
            self.watched.clone(),
        );
    }

    pub(crate) fn show(
        &self,
        online: impl Fn() -> Option<usize> + Send + Sync + 'static,
        watched: impl Fn() -> Option<usize> + Send + Sync + 'static,
    ) {
        self.online.add([], move || Some(online()? as u64));
        self.watched.add([], move || Some(watched()? as u64));
    }
}
