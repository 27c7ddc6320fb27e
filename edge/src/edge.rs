//! An edge as a whole: its parts, put together once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::extract::FromRef;

use crate::{
    auth::{Authenticator, ConfigError},
    config::Config,
    core_client::{CoreClient, CoreTransport},
    directory::KnownUsers,
    doorkeeper::Doorkeeper,
    limits::Limiter,
    metrics::Metrics,
    presence::OnlineUsers,
    rest::WaitingMarks,
    revocation::{self, Watcher},
    sends::SendPipeline,
    tasks::Tasks,
    typing::Typists,
    ws::{SessionContext, WebSockets},
};

/// An edge: cheap to clone, every clone is the same edge.
#[derive(Clone)]
pub struct Edge {
    pub(crate) shared: Arc<Shared>,
}

/// What every request and every session of an edge shares.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    pub(crate) core: CoreClient,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) doorkeeper: Arc<Doorkeeper>,
    pub(crate) known_users: Arc<KnownUsers>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) sends: Arc<SendPipeline>,
    pub(crate) waiting_marks: WaitingMarks,
    pub(crate) web_sockets: Arc<WebSockets>,
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
        metrics: Metrics,
    ) -> Result<Self, ConfigError> {
        // Before anything is connected.
        let authenticator = Arc::new(Authenticator::new(&config.jwt)?);
        let in_process = transport.is_in_process();
        let core = CoreClient::new(transport, authorization);
        let tasks = Tasks::default();
        authenticator.keep_keys(&metrics.keys, &config.audit, &tasks);
        let known_users = Arc::new(KnownUsers::new(core.clone()));
        let limiter = Arc::new(Limiter::new(&config, &metrics));
        metrics.sockets.set_limit(config.limits.max_connections);
        let (wait, revocations) = (config.limits.store_wait, authenticator.revocations());
        let sends = SendPipeline::new(&core, in_process, wait, revocations, &tasks, &metrics);
        let sends = Arc::new(sends);
        let typists = Typists::new(&core, &limiter, revocations, &tasks, metrics.signals.clone());
        let online = OnlineUsers::default();
        let context = SessionContext::new(
            &config,
            &authenticator,
            &known_users,
            &limiter,
            (&sends, typists),
            (&core, &online),
            (metrics.clone(), &tasks),
        );
        let doorkeeper = Arc::new(Doorkeeper::new(&config, &authenticator, &metrics));
        let doors = (&authenticator, &doorkeeper);
        let web_sockets = WebSockets::new(&config, &core, doors, context, &tasks);
        let web_sockets = Arc::new(web_sockets);
        let watcher = Watcher {
            core: core.clone(),
            revocations: Arc::clone(authenticator.revocations()),
            web_sockets: Arc::clone(&web_sockets),
            metrics: metrics.watch.clone(),
            name: revocation::edge_name(),
        };
        let ended = Arc::clone(&web_sockets);
        let reporting = online.report(core.clone(), async move { ended.ended().await });
        tasks.spawn(reporting);
        watcher.begin();
        tasks.spawn(watcher.run());
        let shared = Shared {
            authenticator,
            doorkeeper,
            known_users,
            limiter,
            sends,
            waiting_marks: WaitingMarks::default(),
            web_sockets,
            core,
            config,
            metrics,
            leaving: AtomicBool::new(false),
            tasks,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads the files of keys of access tokens anew, and asks the URLs. Returns at once; what becomes of it is logged. Files
    /// that change are read within seconds without it.
    pub fn reload_keys(&self) {
        self.shared.authenticator.reload_keys();
    }

    /// Has the drain that comes close all sockets at once: this process ends because it cannot go on.
    pub fn hurry(&self) {
        self.shared.web_sockets.hurry();
    }

    /// Has `/readyz` refuse from here on, so that balancers choose others; all is served as before, until the drain.
    pub fn leave(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }
}

/// All that a handshake needs.
impl FromRef<Edge> for Arc<WebSockets> {
    fn from_ref(edge: &Edge) -> Self {
        Arc::clone(&edge.shared.web_sockets)
    }
}
