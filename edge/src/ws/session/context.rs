//! What the sessions of an edge share.

use std::sync::Arc;

use crate::{
    config, directory::KnownUsers, limits::Limiter, metrics::Metrics, sends::SendPipeline,
    standstill::Standstill, tasks::Tasks, typing::Typists, ws::client_closes::ClientCloses,
};

pub(crate) struct SessionContext {
    pub(in crate::ws) config: config::Limits,
    pub(in crate::ws) known_users: Arc<KnownUsers>,
    pub(in crate::ws) limiter: Arc<Limiter>,
    pub(in crate::ws) sends: Arc<SendPipeline>,
    pub(in crate::ws) typists: Typists,
    pub(in crate::ws) standstill: Standstill,
    pub(in crate::ws) client_closes: ClientCloses,
    pub(in crate::ws) metrics: Metrics,
}

impl SessionContext {
    pub(crate) fn new(
        config: &config::Limits,
        known_users: &Arc<KnownUsers>,
        limiter: &Arc<Limiter>,
        sends: &Arc<SendPipeline>,
        typists: Typists,
        metrics: Metrics,
        tasks: &Tasks,
    ) -> Self {
        Self {
            config: config.clone(),
            known_users: Arc::clone(known_users),
            limiter: Arc::clone(limiter),
            sends: Arc::clone(sends),
            typists,
            standstill: Standstill::watch(tasks),
            client_closes: ClientCloses::default(),
            metrics,
        }
    }
}
