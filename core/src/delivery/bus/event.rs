//! What happens at the connection to the bus, told to the operator and to the inbox.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_nats::{Client, ClientError, ConnectErrorKind, Event, Server, ServerError};
use tokio::sync::Notify;

use super::{Inbox, hint};
use crate::{
    metrics::{BusFailure, BusMetrics},
    notice::Notices,
};

/// What is told of once a minute at most.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Disconnected,
    LameDuck,
    Refused,
    MayNotPublish,
    MayNotListen,
    ServerError,
    ClientError,
    NotConnected(ConnectFailure),
    Ended,
}

impl Kind {
    fn failure(&self) -> BusFailure {
        match self {
            Self::Disconnected | Self::Ended => BusFailure::Disconnected,
            Self::LameDuck => BusFailure::LameDuck,
            Self::Refused | Self::NotConnected(ConnectFailure::Denied) => BusFailure::Denied,
            Self::MayNotPublish => BusFailure::MayNotPublish,
            Self::MayNotListen => BusFailure::MayNotListen,
            Self::ServerError => BusFailure::Server,
            Self::ClientError => BusFailure::Client,
            Self::NotConnected(ConnectFailure::Certificate) => BusFailure::Certificate,
            Self::NotConnected(ConnectFailure::Tls) => BusFailure::Tls,
            Self::NotConnected(ConnectFailure::Refused) => BusFailure::Refused,
            Self::NotConnected(ConnectFailure::TimedOut) => BusFailure::TimedOut,
            Self::NotConnected(ConnectFailure::Other) => BusFailure::Other,
        }
    }
}

/// Why a server cannot be connected to, as its error says: the rest of that differs from one attempt to the next.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum ConnectFailure {
    Certificate,
    Tls,
    Denied,
    Refused,
    TimedOut,
    Other,
}

impl ConnectFailure {
    pub(super) fn of(error: &str) -> Self {
        let error = error.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| error.contains(word));
        if has(&["certificate"]) {
            Self::Certificate
        } else if has(&["authorization", "authentication", "nonce"]) {
            Self::Denied
        } else if has(&["timed out"]) {
            Self::TimedOut
        } else if has(&["connection refused"]) {
            Self::Refused
        } else if has(&["tls", "corrupt message"]) {
            Self::Tls
        } else {
            Self::Other
        }
    }
}

#[derive(Debug)]
pub(super) struct Observer {
    inbox: Arc<dyn Inbox>,
    notices: Notices<Kind>,
    connected: Arc<Notify>,
    /// The attempts at each server that failed, as far as was told.
    failed: Mutex<HashMap<String, usize>>,
    metrics: BusMetrics,
}

impl Observer {
    /// `connected` is notified at each connection.
    pub(super) fn new(inbox: Arc<dyn Inbox>, connected: Arc<Notify>, metrics: BusMetrics) -> Self {
        let (notices, failed) = (Notices::default(), Mutex::default());
        Self { inbox, notices, connected, failed, metrics }
    }

    pub(super) fn note(&self, event: &Event) {
        let kind = match event {
            Event::Connected => {
                tracing::info!("the bus is connected");
                self.connected.notify_one();
                self.metrics.connected();
                return self.inbox.changed();
            }
            Event::SlowConsumer(_) => {
                tracing::debug!("hints were dropped");
                self.metrics.failed(BusFailure::SlowConsumer);
                return self.inbox.changed();
            }
            Event::Disconnected => Kind::Disconnected,
            Event::LameDuckMode => Kind::LameDuck,
            Event::Draining | Event::Closed => Kind::Ended,
            Event::ServerError(ServerError::AuthorizationViolation) => Kind::Refused,
            Event::ServerError(error) => kind_of(&error.to_string()),
            Event::ClientError(error) if has_cause_elsewhere(error) => return,
            Event::ClientError(_) => Kind::ClientError,
        };
        if matches!(kind, Kind::Disconnected | Kind::Ended) {
            self.metrics.disconnected();
            self.inbox.lost();
        }
        self.metrics.failed(kind.failure());
        if let Some(untold) = self.notices.happened(kind) {
            tracing::warn!(error = %event, untold, "the bus");
        }
    }
}

impl Observer {
    /// Tells of the attempts to connect that failed since this was last called.
    pub(super) fn note_failures(&self, servers: &[Server]) {
        for server in servers {
            // The address alone: its URL may hold a password.
            let address = format!("{}:{}", server.addr.host(), server.addr.port());
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            let before = failed.insert(address.clone(), server.failed_attempts);
            drop(failed);
            let Some(error) = &server.last_error else { continue };
            if before.unwrap_or(0) == server.failed_attempts {
                continue;
            }
            let kind = Kind::NotConnected(ConnectFailure::of(error));
            self.metrics.failed(kind.failure());
            if let Some(untold) = self.notices.happened(kind) {
                tracing::warn!(server = address, error, untold, "the bus does not connect");
            }
        }
    }
}

/// Whether it is one of connecting to a server that is told of with its cause.
fn has_cause_elsewhere(error: &ClientError) -> bool {
    use ConnectErrorKind::{Authentication, AuthorizationViolation, Io, TimedOut, Tls};
    let ClientError::Other(kind) = error else { return false };
    let kinds = [Io, Tls, TimedOut, AuthorizationViolation, Authentication];
    kinds.into_iter().any(|known| known.to_string() == *kind)
}

/// A server names what is not allowed in words alone.
pub(super) fn kind_of(server_error: &str) -> Kind {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_failure_does_not_depend_on_its_details() {
        for (error, kind) in [
            ("IO error: invalid peer certificate: UnknownIssuer", ConnectFailure::Certificate),
            (
                "IO error: invalid peer certificate: certificate expired: at 17",
                ConnectFailure::Certificate,
            ),
            ("IO error: Connection refused (os error 111)", ConnectFailure::Refused),
            ("authorization violation: nats: authorization violation", ConnectFailure::Denied),
            ("timed out", ConnectFailure::TimedOut),
            ("IO error: received corrupt message of type InvalidContentType", ConnectFailure::Tls),
            ("IO error: nats: maximum connections exceeded", ConnectFailure::Other),
        ] {
            assert_eq!(ConnectFailure::of(error), kind, "{error}");
        }
    }
}
