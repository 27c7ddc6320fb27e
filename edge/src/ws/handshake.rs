//! The way into a session: `GET /ws/chat/room/?token=` (PROTOCOL section 3, PROTOCOL-2 section 1).
//!
//! A client of the second generation may show a ticket in the place of its token, which is spent by that. It is looked before
//! whether the rest is a handshake.
//!
//! Answered in this order: 403 to a page of an origin that may not connect, 401 without a good token, 503 where there are no
//! keys to tell, 429 where the user had too many handshakes of late, 426 or 400 for
//! what is no WebSocket handshake, 429 or 503 where no connection can be had. 101 comes when the user is in the directory and their subscription
//! is live, so that no message sent after it is missed. An extension and a subprotocol that is not ours are ignored.
//!
//! * [`offer`]: which generation is asked for.
//! * [`refused`]: who is told after the 101 that they are refused, in the place of 401.

mod offer;
mod refused;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{ErrorReason, Failure},
};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Error, error::ProtocolError, handshake::server::create_response_with_body,
};
use uuid::Uuid;

pub(super) use self::refused::RefusedHandshakes;
use self::{
    offer::Offer,
    refused::{Who, refuse},
};
use super::{
    WebSockets,
    admitted::Admitted,
    close::CloseReason,
    following::{Beginning, Following},
    places::{NoPlace, Place},
    session::{Expiry, Session},
    sockets::Connection,
};
use crate::{
    audit,
    auth::{Identity, query_token},
    client_address::ClientAddress,
    doorkeeper::TurnedAway,
    error::PublicError,
    revocation::Patience,
    strangers::Visitor,
    trace,
    wire::{
        Generation,
        v1::rest,
        v2::{
            limits::LimitsObject,
            server_frame::{self, Hello},
        },
    },
};

/// Of an origin, in the log.
const MAX_SHOWN_ORIGIN_BYTES: usize = 100;

pub(crate) async fn handshake(
    State(web_sockets): State<Arc<WebSockets>>,
    mut request: Request,
) -> Response {
    if !web_sockets.allowed_origins.allow(request.headers()) {
        tell_of_origin(&web_sockets, request.headers());
        return PublicError::origin_not_allowed().into_response();
    }
    let offer = Offer::of(&request);
    let token = query_token(request.uri().query());
    let authenticator = &web_sockets.authenticator;
    let doorkeeper = &web_sockets.doorkeeper;
    let (headers, extensions) = (request.headers(), request.extensions());
    let patience = Patience::of_handshake(web_sockets.context.config.handshake_timeout);
    let authenticated = match &offer.ticket {
        None => doorkeeper.authenticate(headers, token.as_deref(), extensions, patience).await,
        Some(ticket) => {
            // Else it would be spent for nothing.
            if let Err(error) = check_handshake(&request) {
                return not_a_handshake(&web_sockets, &error);
            }
            doorkeeper.redeem(&web_sockets.core, ticket, extensions, patience).await
        }
    };
    let identity = match authenticated {
        Ok(identity) => identity,
        Err(TurnedAway::TooMany(too_much)) => return PublicError::from(too_much).into_response(),
        Err(TurnedAway::Refused(refusal)) => {
            if refusal.is_temporary() {
                return PublicError::unavailable().into_response();
            }
            let user = match (offer.generation, &offer.ticket) {
                (Generation::V1, _) | (Generation::V2, Some(_)) => None,
                (Generation::V2, None) => {
                    authenticator.user_of_refused(request.headers(), token.as_deref())
                }
            };
            return unauthenticated(&web_sockets, request, &offer, user);
        }
    };
    Visitor::become_known(request.extensions());
    let context = &web_sockets.context;
    // It was counted when the ticket was bought.
    let is_counted = offer.ticket.is_some();
    if !is_counted && let Some(too_much) = context.limiter.has_too_many_handshakes(identity.user_id)
    {
        return PublicError::from(too_much).into_response();
    }
    choose_websocket(request.headers_mut());
    let mut response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return not_a_handshake(&web_sockets, &error),
    };
    let handshake_timeout = context.config.handshake_timeout;
    let admitted = Admitted {
        session_id: Uuid::new_v4(),
        address: Visitor::address(request.extensions()).map(ClientAddress::ip),
        token: identity.token,
        expires_at: identity.expires_at,
    };
    let connecting = Box::pin(connect(&web_sockets, &identity, &offer, admitted));
    let mut connection = match timeout(handshake_timeout, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(NotConnected::Failed(failure))) if failure.reason() == ErrorReason::UserDeleted => {
            let user = identity.user_id;
            audit::user_refused(&web_sockets.audit, &failure, user, request.extensions());
            return deleted(&web_sockets, request, &offer, user);
        }
        Ok(Err(refused)) => return PublicError::from(refused).into_response(),
        Err(_) => {
            tracing::debug!("the core was too slow for a WebSocket handshake");
            return PublicError::unavailable().into_response();
        }
    };
    // It is in the registry: from here on whatever is learned closes it. It may have been learned before.
    let revocations = authenticator.revocations();
    if let Err(refusal) = revocations.check(identity.user_id, &identity.token, patience).await {
        audit::refused(&web_sockets.audit, refusal, request.extensions());
        if refusal.is_temporary() {
            return PublicError::unavailable().into_response();
        }
        return unauthenticated(&web_sockets, request, &offer, Some(identity.user_id));
    }
    if let Some(written) = Visitor::written(request.extensions()) {
        written.keep_little();
    }
    offer.accept(response.headers_mut());
    if !is_counted {
        context.limiter.count_handshake(identity.user_id);
    }
    connection.admit();
    connection.upgrade = trace::asked_by(request.headers());
    let upgrade = hyper::upgrade::on(&mut request);
    let expiry =
        context.close_on_token_expiry.then(|| Expiry::of(offer.generation, identity.expires_at));
    let context = Arc::clone(context);
    let opened = Arc::clone(&web_sockets);
    let opening = async move {
        match timeout(handshake_timeout, upgrade).await {
            Ok(Ok(upgraded)) => {
                let upgraded = TokioIo::new(upgraded);
                let session = Session::open(connection, context, upgraded, expiry).await;
                // In a task of its own: this one has room for the handshake as long as it is there.
                opened.spawn(session.run());
            }
            Ok(Err(error)) => tracing::debug!(%error, "a WebSocket handshake was not finished"),
            Err(_) => tracing::debug!("a WebSocket handshake took too long"),
        }
    };
    web_sockets.spawn(opening);
    response
}

/// Tells the operator, who may have named other origins than that of the client.
fn tell_of_origin(web_sockets: &WebSockets, headers: &HeaderMap) {
    if let Some(untold) = web_sockets.refused_origin.happened() {
        let origins = headers.get_all(header::ORIGIN).iter();
        let origins: Vec<_> = origins.map(|origin| shortened(origin.as_bytes())).collect();
        let origin = origins.join(" and ");
        tracing::warn!(
            untold,
            origin,
            "a WebSocket of a page of {origin} is refused (403), since --allowed-origins does not have it"
        );
    }
}

/// What a peer wrote, as far as it goes into a line.
fn shortened(text: &[u8]) -> String {
    let (shown, cut) = match text.get(..MAX_SHOWN_ORIGIN_BYTES) {
        Some(shown) if shown.len() < text.len() => (shown, "…"),
        Some(_) | None => (text, ""),
    };
    format!("{}{cut}", shown.escape_ascii())
}

/// `user` is whose token it is, where that could be read.
fn unauthenticated(
    web_sockets: &Arc<WebSockets>,
    request: Request,
    offer: &Offer,
    user: Option<UserId>,
) -> Response {
    match offer.generation {
        Generation::V1 => PublicError::unauthenticated().into_response(),
        Generation::V2 => {
            let address = Visitor::address(request.extensions());
            let who = user.map_or(Who::Address(address), Who::User);
            refuse(web_sockets, request, offer, who, CloseReason::Unauthenticated)
        }
    }
}

fn deleted(
    web_sockets: &Arc<WebSockets>,
    request: Request,
    offer: &Offer,
    user: UserId,
) -> Response {
    match offer.generation {
        Generation::V1 => PublicError::unauthenticated().into_response(),
        Generation::V2 => {
            web_sockets.context.known_users.forget(user);
            refuse(web_sockets, request, offer, Who::User(user), CloseReason::UserDeleted)
        }
    }
}

/// Why there is no connection.
enum NotConnected {
    NoPlace(NoPlace),
    Failed(Failure),
}

impl From<NoPlace> for NotConnected {
    fn from(refused: NoPlace) -> Self {
        Self::NoPlace(refused)
    }
}

impl From<Failure> for NotConnected {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<NotConnected> for PublicError {
    fn from(refused: NotConnected) -> Self {
        match refused {
            NotConnected::NoPlace(NoPlace::OfUser) => Self::too_many_requests(),
            NotConnected::NoPlace(NoPlace::OfAll | NoPlace::Draining) => Self::unavailable(),
            NotConnected::Failed(failure) => failure.into(),
        }
    }
}

/// A connection in the registry whose user is provisioned and whose subscription is live.
async fn connect(
    web_sockets: &WebSockets,
    identity: &Identity,
    offer: &Offer,
    admitted: Admitted,
) -> Result<Connection, NotConnected> {
    let (sockets, known_users) = (&web_sockets.sockets, &web_sockets.context.known_users);
    let first = sockets.place(identity.user_id)?;
    known_users.ensure(identity).await?;
    match join(web_sockets, first, offer, admitted).await {
        // Known here, but not to the core's database: it is another one than it was.
        Err(failure) if failure.reason() == ErrorReason::UserUnknown => {
            let second = sockets.place(identity.user_id)?;
            known_users.forget(identity.user_id);
            known_users.ensure(identity).await?;
            Ok(join(web_sockets, second, offer, admitted).await?)
        }
        result => Ok(result?),
    }
}

async fn join(
    web_sockets: &WebSockets,
    place: Place,
    offer: &Offer,
    admitted: Admitted,
) -> Result<Connection, Failure> {
    let mut connection = web_sockets
        .sockets
        .join(place, offer.generation, admitted)
        .map_err(|_| Failure::new(ErrorReason::ShuttingDown, "this edge is shutting down"))?;
    match offer.generation {
        Generation::V1 => connection.live().await?,
        Generation::V2 => begin(web_sockets, &mut connection, offer.after.as_deref()).await?,
    }
    Ok(connection)
}

/// Gives a connection its stream, and its client the first frame.
pub(super) async fn begin(
    web_sockets: &WebSockets,
    connection: &mut Connection,
    after: Option<&str>,
) -> Result<(), Failure> {
    let (user, context) = (connection.user(), &web_sockets.context);
    let subscriptions = web_sockets.sockets.subscriptions();
    let session_id = RequestId::from_uuid(connection.outgoing.admitted().session_id);
    let opened = Following::open(subscriptions, &context.limiter, user, session_id, after);
    let (following, beginning) = opened.await?;
    let Beginning { session_id, cursor, resumed, reset, behind } = beginning;
    let hello = server_frame::hello(&Hello {
        user,
        session_id: &session_id.to_string(),
        cursor: &cursor.encode(user),
        resumed,
        reset,
        behind,
        limits: LimitsObject::of(&context.config),
    });
    // There is room in an empty queue.
    connection.outgoing.push(hello);
    connection.following = Some(Box::new(following));
    Ok(())
}

/// Whether it is one, but for who asks.
fn check_handshake(request: &Request) -> Result<(), Error> {
    let mut head = http::Request::new(());
    *head.method_mut() = request.method().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    choose_websocket(head.headers_mut());
    create_response_with_body(&head, || ()).map(drop)
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
            if let Some(untold) = web_sockets.lost_upgrade.happened() {
                tracing::warn!(
                    untold,
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

#[cfg(test)]
mod tests;
