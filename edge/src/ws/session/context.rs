//! What the sessions of an edge share.

use std::sync::Arc;

use netrox_audit::Audit;

use crate::{
    auth::Authenticator,
    config::{Config, Limits},
    core_client::CoreClient,
    directory::KnownUsers,
    limits::Limiter,
    metrics::Metrics,
    presence::OnlineUsers,
    revocation::Revocations,
    sends::SendPipeline,
    standstill::Standstill,
    tasks::Tasks,
    typing::Typists,
    ws::client_closes::ClientCloses,
};

pub(crate) struct SessionContext {
    pub(in crate::ws) config: Limits,
    pub(in crate::ws) close_on_token_expiry: bool,
    pub(in crate::ws) authenticator: Arc<Authenticator>,
    pub(in crate::ws) audit: Audit,
    pub(in crate::ws) known_users: Arc<KnownUsers>,
    pub(in crate::ws) limiter: Arc<Limiter>,
    pub(in crate::ws) sends: Arc<SendPipeline>,
    pub(in crate::ws) typists: Typists,
    pub(in crate::ws) core: CoreClient,
    pub(in crate::ws) revocations: Arc<Revocations>,
    pub(in crate::ws) online: OnlineUsers,
    pub(in crate::ws) standstill: Standstill,
    pub(in crate::ws) client_closes: ClientCloses,
    pub(in crate::ws) metrics: Metrics,
}

impl SessionContext {
    pub(crate) fn new(
        config: &Config,
        authenticator: &Arc<Authenticator>,
        known_users: &Arc<KnownUsers>,
        limiter: &Arc<Limiter>,
        (sends, typists): (&Arc<SendPipeline>, Typists),
        (core, online): (&CoreClient, &OnlineUsers),
        (metrics, tasks): (Metrics, &Tasks),
    ) -> Self {
        Self {
            config: config.limits.clone(),
            close_on_token_expiry: config.close_on_token_expiry,
            authenticator: Arc::clone(authenticator),
            audit: config.audit.clone(),
            known_users: Arc::clone(known_users),
            limiter: Arc::clone(limiter),
            sends: Arc::clone(sends),
            typists,
            core: core.clone(),
            revocations: Arc::clone(authenticator.revocations()),
            online: online.clone(),
            standstill: Standstill::watch(tasks),
            client_closes: ClientCloses::default(),
            metrics,
        }
    }
}
