//! The way into a session: `GET /ws/chat/room/?token=` (PROTOCOL section 3).
//!
//! Answered in this order: 401 without a good token, 429 where the user had too many handshakes of late, 426 or 400 for
//! what is no WebSocket handshake, 429 or 503 where no connection can be had. 101 comes when the user is in the directory and their subscription
//! is live, so that no message sent after it is missed. A subprotocol, an extension and an `Origin` are
//! ignored.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use netrox_proto::v1::{ErrorReason, Failure};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{
    Error, error::ProtocolError, handshake::server::create_response_with_body,
};

use super::{
    session,
    sockets::{Connection, NoPlace, Place, Sockets},
};
use crate::{Edge, auth::Identity, caller::query_token, error::PublicError, json, server::Visitor};

/// Of a token, as when it is verified.
const LEEWAY: Duration = Duration::from_secs(10);
/// Timers do not reach further than this.
const MAX_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) async fn handshake(State(edge): State<Edge>, mut request: Request) -> Response {
    let token = query_token(request.uri().query());
    let authenticator = &edge.shared.authenticator;
    let identity = match authenticator.authenticate(request.headers(), token.as_deref()) {
        Ok(identity) => identity,
        Err(_) => return PublicError::unauthenticated().into_response(),
    };
    Visitor::become_known(request.extensions());
    if let Some(too_much) = edge.shared.limits.has_too_many_handshakes(identity.user_id) {
        return PublicError::from(too_much).into_response();
    }
    choose_websocket(request.headers_mut());
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return not_a_handshake(&edge, &error),
    };
    let handshake_timeout = edge.shared.config.limits.handshake_timeout;
    let connection = match timeout(handshake_timeout, Box::pin(connect(&edge, &identity))).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return error.into_response(),
        Err(_) => {
            tracing::debug!("the core was too slow for a WebSocket handshake");
            return PublicError::unavailable().into_response();
        }
    };
    if let Some(written) = Visitor::written(request.extensions()) {
        written.keep_little();
    }
    edge.shared.limits.count_handshake(identity.user_id);
    connection.admit();
    let upgrade = hyper::upgrade::on(&mut request);
    let expires_at = edge.shared.config.close_on_token_expiry.then(|| expiry(identity.expires_at));
    let session = async move {
        match timeout(handshake_timeout, upgrade).await {
            Ok(Ok(upgraded)) => session::run(connection, TokioIo::new(upgraded), expires_at).await,
            Ok(Err(error)) => tracing::debug!("a WebSocket handshake was not finished: {error}"),
            Err(_) => tracing::debug!("a WebSocket handshake took too long"),
        }
    };
    edge.spawn(Box::pin(edge.shared.sockets.sessions.track_future(session)));
    response
}

/// A connection in the registry whose user is provisioned and whose subscription is live.
async fn connect(edge: &Edge, identity: &Identity) -> Result<Connection, PublicError> {
    let known_users = &edge.shared.known_users;
    let place = || edge.shared.sockets.place(identity.user_id).map_err(no_place);
    let first = place()?;
    known_users.ensure(&edge.shared.core, identity).await?;
    match join(edge, first).await {
        // Known here, but not to the core's database: it is another one than it was.
        Err(failure) if failure.reason() == ErrorReason::UserUnknown => {
            let second = place()?;
            known_users.forget(identity.user_id);
            known_users.ensure(&edge.shared.core, identity).await?;
            Ok(join(edge, second).await?)
        }
        result => Ok(result?),
    }
}

fn no_place(refused: NoPlace) -> PublicError {
    match refused {
        NoPlace::OfUser => PublicError::too_many_requests(),
        NoPlace::OfAll | NoPlace::Draining => PublicError::unavailable(),
    }
}

async fn join(edge: &Edge, place: Place) -> Result<Connection, Failure> {
    let connection = Sockets::join(edge, place)
        .map_err(|_| Failure::new(ErrorReason::ShuttingDown, "this edge is shutting down"))?;
    connection.live().await?;
    Ok(connection)
}

/// Of several protocols that a client would go on with (RFC 9110 section 7.8). What checks a handshake looks for one
/// alone.
fn choose_websocket(headers: &mut HeaderMap) {
    let offers = headers.get_all(header::UPGRADE).iter();
    let mut offers = offers.flat_map(|offer| offer.as_bytes().split(|byte| *byte == b','));
    if offers.any(|offer| offer.trim_ascii().eq_ignore_ascii_case(b"websocket")) {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of tungstenite")]
fn not_a_handshake(edge: &Edge, error: &Error) -> Response {
    let (header, message) = match error {
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::WrongHttpVersion,
        ) => {
            if edge.shared.lost_upgrade.is_due() {
                tracing::warn!(
                    "a request for a WebSocket came without Upgrade: 426. Where its client sent one, a proxy in between \
                     does not pass it on (docs/PROXIES.md)"
                );
            }
            let header = (header::UPGRADE, HeaderValue::from_static("websocket"));
            (header, "A WebSocket handshake is required; a proxy in between has to pass Upgrade")
        }
        Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            let header = (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            (header, "A WebSocket handshake is required, of version 13")
        }
        Error::Protocol(ProtocolError::WrongHttpMethod) => {
            // HEAD, which the route takes for a kind of GET.
            let allow = [(header::ALLOW, HeaderValue::from_static("GET"))];
            return (allow, PublicError::method_not_allowed()).into_response();
        }
        _ => return PublicError::bad_request("Invalid WebSocket handshake").into_response(),
    };
    let mut response = json::failure(StatusCode::UPGRADE_REQUIRED, message);
    response.headers_mut().insert(header.0, header.1);
    response
}

#[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
fn expiry(unix_seconds: i64) -> Instant {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires = Duration::from_secs(unix_seconds.try_into().unwrap_or(0)) + LEEWAY;
    Instant::now() + expires.saturating_sub(now).min(MAX_LIFE)
}

#[cfg(test)]
mod tests;
