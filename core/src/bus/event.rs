//! What happens at the connection to the bus, told to the operator and to the hub.

use std::sync::Arc;

use async_nats::{Client, Event, ServerError};
use tokio::sync::Notify;

use super::hint;
use crate::{hub::Hub, notice::Notices};

/// What is told of once a minute at most.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Kind {
    Disconnected,
    LameDuck,
    Refused,
    MayNotPublish,
    MayNotListen,
    ServerError,
    ClientError,
    Ended,
}

#[derive(Debug)]
pub(super) struct Observer {
    hub: Hub,
    notices: Notices<Kind>,
    connected: Arc<Notify>,
}

impl Observer {
    /// `connected` is notified at each connection.
    pub(super) fn new(hub: Hub, connected: Arc<Notify>) -> Self {
        Self { hub, notices: Notices::default(), connected }
    }

    pub(super) fn note(&self, event: &Event) {
        let kind = match event {
            Event::Connected => {
                tracing::info!("the bus is connected");
                self.connected.notify_one();
                return self.hub.check_all();
            }
            Event::SlowConsumer(_) => {
                tracing::debug!("hints were dropped");
                return self.hub.check_all();
            }
            Event::Disconnected => Kind::Disconnected,
            Event::LameDuckMode => Kind::LameDuck,
            Event::Draining | Event::Closed => Kind::Ended,
            Event::ServerError(ServerError::AuthorizationViolation) => Kind::Refused,
            Event::ServerError(error) => kind_of(&error.to_string()),
            Event::ClientError(_) => Kind::ClientError,
        };
        if let Some(untold) = self.notices.happened(kind) {
            tracing::warn!(%event, untold, "the bus");
        }
    }
}

/// A server names what is not allowed in words alone.
fn kind_of(server_error: &str) -> Kind {
    let text = server_error.to_ascii_lowercase();
    if text.contains("permissions violation for publish") {
        Kind::MayNotPublish
    } else if text.contains("permissions violation for subscription") {
        Kind::MayNotListen
    } else {
        Kind::ServerError
    }
}

/// Warns of a server that takes no hints as long as they may be.
pub(super) fn tell_small_payload(client: &Client) {
    let max_payload = client.max_payload();
    if max_payload < hint::MAX_BYTES {
        tracing::warn!(
            max_payload,
            wanted = hint::MAX_BYTES,
            "the bus takes short messages alone: of what is longer, other cores learn from the \
             database"
        );
    }
}
