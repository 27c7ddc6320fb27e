//! The WebSocket sessions (PROTOCOL section 3).
//!
//! * `handshake`: from a request to a session.
//! * `session`: one connection; `queue`: what waits to be written to it; `close`: why it is closed;
//!   `flood`: what a client may make the server do for nothing.
//! * `sockets`: all connections, by user; `places`: how many there may be.
//! * `feed`: what a user receives; `members`: the connections that belong to them; `subscription`: the one to the core;
//!   `position`: how far it is; `lingering`: feeds that were left; `delivery`: from it to each connection.
//! * `spread`: when each client is to connect anew before a drain.
//! * `following`: the stream that a connection of the second generation has of its own.
//! * `client_closes`: with which codes clients close.
//! * `admitted`: what is kept of who connects; `ending`: connections that are to end for it.

mod admitted;
mod client_closes;
mod close;
mod delivery;
mod ending;
mod feed;
mod flood;
mod following;
mod handshake;
mod lingering;
mod members;
mod places;
mod position;
mod queue;
mod session;
mod sockets;
mod spread;
mod subscription;

pub(crate) use self::{handshake::handshake, session::SessionContext};

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use netrox_audit::Audit;
use tokio::time::timeout;

use self::{handshake::RefusedHandshakes, sockets::Sockets, subscription::Subscriptions};
use crate::{
    auth::Authenticator,
    config::{AllowedOrigins, Config},
    core_client::CoreClient,
    doorkeeper::Doorkeeper,
    notice::Notice,
    tasks::Tasks,
};

/// The WebSockets of an edge, from their handshakes on.
pub(crate) struct WebSockets {
    core: CoreClient,
    authenticator: Arc<Authenticator>,
    doorkeeper: Arc<Doorkeeper>,
    tasks: Tasks,
    sockets: Arc<Sockets>,
    refused: RefusedHandshakes,
    context: Arc<SessionContext>,
    /// A drain closes all at once.
    hurries: AtomicBool,
    allowed_origins: AllowedOrigins,
    audit: Audit,
    /// The operator is told of requests for a WebSocket that lack `Upgrade`.
    lost_upgrade: Notice,
    /// The same of pages whose origin is not one that may connect.
    refused_origin: Notice,
}

impl WebSockets {
    pub(crate) fn new(
        config: &Config,
        core: &CoreClient,
        (authenticator, doorkeeper): (&Arc<Authenticator>, &Arc<Doorkeeper>),
        context: SessionContext,
        tasks: &Tasks,
    ) -> Self {
        let SessionContext { known_users, metrics, online, .. } = &context;
        let sockets = Sockets::new(
            &config.limits,
            Subscriptions::new(
                core.clone(),
                Arc::clone(authenticator.revocations()),
                metrics.clone(),
            ),
            Arc::clone(known_users),
            (metrics.clone(), online.clone()),
            tasks.clone(),
        );
        let sockets = Arc::new(sockets);
        tasks.spawn(Arc::clone(&sockets).stop_left());
        Self {
            core: core.clone(),
            authenticator: Arc::clone(authenticator),
            doorkeeper: Arc::clone(doorkeeper),
            tasks: tasks.clone(),
            sockets,
            refused: RefusedHandshakes::default(),
            context: Arc::new(context),
            hurries: AtomicBool::new(false),
            allowed_origins: config.allowed_origins.clone(),
            audit: config.audit.clone(),
            lost_upgrade: Notice::default(),
            refused_origin: Notice::default(),
        }
    }

    /// Runs a session, which the drain ends before what it depends on.
    fn spawn(&self, session: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(Box::pin(self.sockets.sessions.track_future(session)));
    }

    /// Tells the operator with which codes clients closed since the last time. To be called once a minute.
    pub(crate) fn tell(&self) {
        self.context.client_closes.tell();
    }

    /// Has a drain that begins later close all at once: nobody is told to come back elsewhere before.
    pub(crate) fn hurry(&self) {
        self.hurries.store(true, Ordering::Relaxed);
    }

    /// Waits for the drain of the edge, ends the sessions with 1001, spread over a while where their clients are told, and after
    /// them the pipeline of what they sent. What waits for a core or database that is away waits for most of the drain, and as
    /// long as somebody is served: the rest is for what its senders are told.
    pub(crate) async fn drain(self: Arc<Self>) {
        let SessionContext { sends, config, .. } = &*self.context;
        self.tasks.draining().cancelled().await;
        let hurries = self.hurries.load(Ordering::Relaxed);
        let served_for = if hurries { Duration::ZERO } else { self.sockets.drain_takes() };
        let drained = async {
            self.sockets.drain(hurries).await;
            sends.close();
            sends.ended().await;
        };
        let mut drained = pin!(drained);
        let patience = (config.drain_timeout * 7 / 10).max(served_for);
        if timeout(patience, &mut drained).await.is_err() {
            sends.lose_patience();
            drained.await;
        }
    }
}
