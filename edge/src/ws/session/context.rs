//! What the sessions of an edge share.

use std::sync::Arc;

use crate::{
    config, directory::KnownUsers, limits::Limits, metrics::Metrics, sends::SendPipeline,
    standstill::Standstill, ws::client_closes::ClientCloses,
};

pub(in crate::ws) struct SessionContext {
    pub(in crate::ws) config: config::Limits,
    pub(in crate::ws) known_users: Arc<KnownUsers>,
    pub(in crate::ws) limits: Arc<Limits>,
    pub(in crate::ws) sends: Arc<SendPipeline>,
    pub(in crate::ws) standstill: Standstill,
    pub(in crate::ws) client_closes: ClientCloses,
    pub(in crate::ws) metrics: Metrics,
}
