//! An edge as a whole: its parts, put together once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    auth::{Authenticator, ConfigError},
    config::Config,
    core_client::{CoreClient, CoreTransport},
    directory::KnownUsers,
    limits::Limits,
    notice::Notice,
    sends::SendPipeline,
    standstill::Standstill,
    tasks::Tasks,
    ws::{ClientCloses, Sockets},
};

/// An edge: cheap to clone, every clone is the same edge.
#[derive(Clone)]
pub struct Edge {
    pub(crate) shared: Arc<Shared>,
}

/// What every request and every session of an edge shares.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) core: CoreClient,
    pub(crate) authenticator: Authenticator,
    pub(crate) known_users: KnownUsers,
    pub(crate) limits: Limits,
    pub(crate) sends: SendPipeline,
    pub(crate) sockets: Sockets,
    pub(crate) client_closes: ClientCloses,
    /// The operator is told of requests for a WebSocket that lack `Upgrade`.
    pub(crate) lost_upgrade: Notice,
    pub(crate) standstill: Standstill,
    /// The drain comes soon: not ready any more, and serving all the same.
    pub(crate) leaving: AtomicBool,
    pub(crate) tasks: Tasks,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Edge {
    /// `authorization` is the whole header that the core asks of its callers: `Bearer <service
    /// token>`. Needs a running Tokio runtime.
    pub fn new(
        config: Config,
        transport: CoreTransport,
        authorization: http::HeaderValue,
    ) -> Result<Self, ConfigError> {
        // Before anything is connected.
        let authenticator = Authenticator::new(&config.jwt)?;
        let in_process = transport.is_in_process();
        let core = CoreClient::new(transport, authorization);
        let tasks = Tasks::default();
        let shared = Shared {
            authenticator,
            known_users: KnownUsers::new(core.clone()),
            limits: Limits::new(&config),
            sends: SendPipeline::new(&core, in_process, config.limits.store_wait, &tasks),
            sockets: Sockets::new(&config.limits),
            client_closes: ClientCloses::default(),
            lost_upgrade: Notice::default(),
            standstill: Standstill::watch(&tasks),
            core,
            config,
            leaving: AtomicBool::new(false),
            tasks,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Has `/readyz` refuse from here on, so that balancers choose others; all is served as before, until the drain.
    pub fn leave(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }
}
