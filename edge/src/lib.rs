//! The public side of netrox-chat: authenticates end users and translates the documented REST
//! routes and WebSocket actions (PROTOCOL sections 1-5) into calls of the gRPC contract.
//!
//! * [`config`]: what an operator can set.
//! * [`core_client`]: the way to the core, over the network or in process.
//! * `server`: the accept loop, its timeouts and the drain.
//! * `rest`: the routes, one file per resource.
//! * `ws`: the WebSocket sessions; `sends`: the pipeline that their messages take to the core.
//! * `caller`: who calls; by way of `auth` (the token) and `directory` (what the core knows).
//! * `limits`: how much a user may do at a time.
//! * `json`, `error`: the public wire format and the refusals, each in one place.
//! * `metrics`: what can be measured.
//! * `request`: what a request is called on its way.
//! * `standstill`: whether the process was stopped or starved for a while.
//! * `backoff`: the delays between attempts to reach the core.

mod auth;
mod backoff;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod caller;
pub mod config;
pub mod core_client;
mod directory;
mod error;
mod json;
mod limits;
#[cfg(test)]
mod logs;
mod metrics;
mod notice;
mod request;
mod rest;
mod sends;
mod server;
mod standstill;
#[cfg(test)]
mod stub_core;
#[cfg(test)]
mod unused_address;
mod ws;

use std::sync::{
    Arc, Once,
    atomic::{AtomicBool, Ordering},
};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use auth::{ConfigError, Explanation, Refusal, explain};
pub use config::Config;
use core_client::CoreClient;
pub use core_client::CoreTransport;
pub use metrics::Metrics;

/// An edge: cheap to clone, every clone is the same edge.
#[derive(Clone)]
pub struct Edge {
    shared: Arc<Shared>,
}

/// What every request and every session of an edge shares.
struct Shared {
    config: Config,
    metrics: Metrics,
    core: CoreClient,
    authenticator: auth::Authenticator,
    known_users: directory::KnownUsers,
    limits: limits::Limits,
    sends: sends::SendPipeline,
    sockets: ws::Sockets,
    strangers: Arc<server::Strangers>,
    lingering: Arc<server::Lingering>,
    client_closes: ws::ClientCloses,
    /// The operator was told of a proxy that nobody named.
    unnamed_proxy: Once,
    /// The operator is told of requests for a WebSocket that lack `Upgrade`.
    lost_upgrade: notice::Notice,
    standstill: standstill::Standstill,
    /// The drain comes soon: not ready any more, and serving all the same.
    leaving: AtomicBool,
    /// Cancelled when the drain begins: no new work, sessions close.
    draining: CancellationToken,
    /// Cancelled when the drain has lasted too long: every task of the edge is dropped.
    hard_stop: CancellationToken,
    /// Every task of the edge; the drain waits for them.
    tasks: TaskTracker,
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
        let authenticator = auth::Authenticator::new(&config.jwt)?;
        let in_process = transport.is_in_process();
        let core = CoreClient::new(transport, authorization);
        let hard_stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let draining = CancellationToken::new();
        let shared = Shared {
            authenticator,
            known_users: directory::KnownUsers::new(),
            limits: limits::Limits::new(&config),
            sends: sends::SendPipeline::new(
                &core,
                in_process,
                config.limits.store_wait,
                &tasks,
                &hard_stop,
            ),
            sockets: ws::Sockets::new(&config.limits),
            strangers: Arc::new(server::Strangers::new(&config)),
            lingering: Arc::new(server::Lingering::new(&config)),
            client_closes: ws::ClientCloses::default(),
            unnamed_proxy: Once::new(),
            lost_upgrade: notice::Notice::default(),
            standstill: standstill::Standstill::watch(&tasks, &draining),
            core,
            config,
            metrics,
            leaving: AtomicBool::new(false),
            draining,
            hard_stop,
            tasks,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Runs a task that the drain waits for, and that the hard stop drops.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hard_stop = self.shared.hard_stop.clone();
        self.shared.tasks.spawn(async move {
            hard_stop.run_until_cancelled(task).await;
        });
    }

    /// Has `/readyz` refuse from here on, so that balancers choose others; all is served as before, until the drain.
    pub fn leave(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    /// Why it is not ready, in a word; nothing where it is. `/readyz` says the same.
    pub async fn reason_against_serving(&self) -> Option<&'static str> {
        rest::health::reason_against(self).await
    }

    /// Serves connections of `listener` until `shutdown` is cancelled, then drains and returns: no
    /// new connections, requests in flight are finished, WebSockets closed with 1001. What is left
    /// after `Limits::drain_timeout` is cut off.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) {
        server::serve(self, listener, shutdown).await;
    }
}
