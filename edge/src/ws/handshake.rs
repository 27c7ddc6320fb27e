//! The way into a session: `GET /ws/chat/room/?token=` (PROTOCOL section 3).
//!
//! Answered in this order: 401 without a good token, 429 where the user had too many handshakes of late, 426 or 400 for
//! what is no WebSocket handshake, 429 or 503 where no connection can be had. 101 comes when the user is in the directory and their subscription
//! is live, so that no message sent after it is missed. A subprotocol, an extension and an `Origin` are
//! ignored.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

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
    WebSockets,
    places::{NoPlace, Place},
    session,
    sockets::{Connection, Sockets},
};
use crate::{
    auth::{Identity, query_token},
    error::PublicError,
    strangers::Visitor,
    wire::{Generation, v1::rest},
};

/// Timers do not reach further than this.
const MAX_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) async fn handshake(
    State(web_sockets): State<Arc<WebSockets>>,
    mut request: Request,
) -> Response {
    let token = query_token(request.uri().query());
    let identity = match web_sockets.authenticator.authenticate(request.headers(), token.as_deref())
    {
        Ok(identity) => identity,
        Err(_) => return PublicError::unauthenticated().into_response(),
    };
    Visitor::become_known(request.extensions());
    let context = &web_sockets.context;
    if let Some(too_much) = context.limiter.has_too_many_handshakes(identity.user_id) {
        return PublicError::from(too_much).into_response();
    }
    choose_websocket(request.headers_mut());
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return not_a_handshake(&web_sockets, &error),
    };
    let handshake_timeout = context.config.handshake_timeout;
    let connecting = Box::pin(connect(&web_sockets, &identity));
    let connection = match timeout(handshake_timeout, connecting).await {
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
    context.limiter.count_handshake(identity.user_id);
    connection.admit();
    let upgrade = hyper::upgrade::on(&mut request);
    let closes_at = web_sockets.close_on_token_expiry.then(|| instant(identity.accepted_until()));
    let context = Arc::clone(context);
    let session = async move {
        match timeout(handshake_timeout, upgrade).await {
            Ok(Ok(upgraded)) => {
                session::run(connection, context, TokioIo::new(upgraded), closes_at).await;
            }
            Ok(Err(error)) => tracing::debug!("a WebSocket handshake was not finished: {error}"),
            Err(_) => tracing::debug!("a WebSocket handshake took too long"),
        }
    };
    web_sockets.spawn(session);
    response
}

/// A connection in the registry whose user is provisioned and whose subscription is live.
async fn connect(web_sockets: &WebSockets, identity: &Identity) -> Result<Connection, PublicError> {
    let (sockets, known_users) = (&web_sockets.sockets, &web_sockets.context.known_users);
    let place = || sockets.place(identity.user_id).map_err(no_place);
    let first = place()?;
    known_users.ensure(identity).await?;
    match join(sockets, first).await {
        // Known here, but not to the core's database: it is another one than it was.
        Err(failure) if failure.reason() == ErrorReason::UserUnknown => {
            let second = place()?;
            known_users.forget(identity.user_id);
            known_users.ensure(identity).await?;
            Ok(join(sockets, second).await?)
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

async fn join(sockets: &Arc<Sockets>, place: Place) -> Result<Connection, Failure> {
    let connection = sockets
        .join(place, Generation::V1)
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
fn not_a_handshake(web_sockets: &WebSockets, error: &Error) -> Response {
    let (header, message) = match error {
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::WrongHttpVersion,
        ) => {
            if web_sockets.lost_upgrade.is_due() {
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
    let mut response = rest::failure(StatusCode::UPGRADE_REQUIRED, message);
    response.headers_mut().insert(header.0, header.1);
    response
}

#[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
fn instant(unix_seconds: i64) -> Instant {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_epoch = Duration::from_secs(unix_seconds.try_into().unwrap_or(0));
    Instant::now() + since_epoch.saturating_sub(now).min(MAX_LIFE)
}

#[cfg(test)]
mod tests;
