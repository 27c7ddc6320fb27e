//! The WebSocket sessions (PROTOCOL section 3).
//!
//! * `handshake`: from a request to a session.
//! * `session`: one connection; `queue`: what waits to be written to it; `close`: why it is closed;
//!   `flood`: what a client may make the server do for nothing.
//! * `feed`: what a user receives, for all their connections; `position`: how far that is; `sockets`: all connections.
//! * `client_closes`: with which codes clients close.

mod client_closes;
mod close;
mod feed;
mod flood;
mod handshake;
mod position;
mod queue;
mod session;
mod sockets;

pub(crate) use client_closes::ClientCloses;
pub(crate) use handshake::handshake;
pub(crate) use sockets::Sockets;

use std::pin::pin;

use tokio::time::timeout;

use crate::edge::Edge;

/// Waits for the drain of the edge, ends the sessions with 1001, and after them the pipeline of what
/// they sent. What waits for a core or database that is away waits for most of the drain: the rest is for what its senders are
/// told.
pub(crate) async fn drain(edge: Edge) {
    let shared = &edge.shared;
    shared.tasks.draining().cancelled().await;
    let drained = async {
        shared.sockets.drain().await;
        shared.sends.close();
        shared.sends.ended().await;
    };
    let mut drained = pin!(drained);
    let patience = shared.config.limits.drain_timeout * 7 / 10;
    if timeout(patience, &mut drained).await.is_err() {
        shared.sends.lose_patience();
        drained.await;
    }
}
