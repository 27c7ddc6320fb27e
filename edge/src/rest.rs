//! The route table, and what every answer has in common.

mod attachment;
mod disposition;
mod health;
mod listing;
mod media;
pub(crate) mod message;
mod multipart;
mod range;
mod thread;

pub(crate) use self::health::is_probe;

use std::{any::Any, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{HeaderName, Method, StatusCode, header};
use tower::ServiceExt as _;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};

use crate::{config::CorsAllowOrigin, edge::Edge, error::PublicError, ws};

/// What a browser may read of an answer, and send with a request, beyond the unconditional.
const EXPOSED_HEADERS: [HeaderName; 6] = [
    header::ACCEPT_RANGES,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ETAG,
    header::RETRY_AFTER,
];
const ALLOWED_HEADERS: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
];

/// Which route a path is of, in a word.
pub(crate) fn route_of(path: &str) -> &'static str {
    const ROUTES: [(&str, &str); 7] = [
        ("/chat/messages/", "messages"),
        ("/chat/get-user-threads", "threads"),
        ("/chat/chat-attachment", "upload"),
        ("/ws/chat/room", "websocket"),
        ("/mediafiles/", "media"),
        ("/healthz", "health"),
        ("/readyz", "health"),
    ];
    let found = ROUTES.iter().find(|(prefix, _)| path.starts_with(prefix));
    found.map_or("none", |(_, word)| word)
}

/// Every route, with and without its last slash, and without a redirect (PROTOCOL section 2).
pub(crate) fn router(edge: Edge) -> Router {
    let cors = cors_layer(&edge.shared.config.cors_allow_origin);
    let mut router = Router::new();
    let routes: [(&str, MethodRouter<Edge>); 6] = [
        ("/chat/messages/{uid}", get(message::list)),
        ("/chat/get-user-threads", get(thread::list)),
        ("/chat/chat-attachment", post(attachment::upload)),
        ("/ws/chat/room", get(ws::handshake)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
    ];
    for (path, methods) in routes {
        router = router.route(path, methods.clone()).route(&format!("{path}/"), methods);
    }
    let router = router
        .route("/mediafiles/{*path}", get(media::download))
        .fallback(|| async { PublicError::not_found() })
        .method_not_allowed_fallback(|| async { PublicError::method_not_allowed() })
        .with_state(edge)
        .layer(CatchPanicLayer::custom(internal_error));
    match cors {
        Some(cors) => with_cors(router, cors),
        None => router,
    }
}

/// The layer answers every OPTIONS itself, of whatever path. A preflight of a route is its own; all others are requests
/// as any.
fn with_cors(router: Router, cors: CorsLayer) -> Router {
    let plain = router.clone();
    let answered = router.layer(cors);
    Router::new().fallback(move |request: Request| {
        let (plain, answered) = (plain.clone(), answered.clone());
        async move {
            if request.method() == Method::OPTIONS {
                let probe = Request::builder().method(Method::OPTIONS).uri(request.uri().clone());
                let is_preflight = request.headers().contains_key(header::ORIGIN)
                    && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
                let own = match probe.body(Body::empty()) {
                    Ok(probe) if is_preflight => plain.clone().oneshot(probe).await.into_response(),
                    _ => return plain.oneshot(request).await.into_response(),
                };
                // What has a route does not allow OPTIONS.
                if own.status() != StatusCode::METHOD_NOT_ALLOWED {
                    return own;
                }
            }
            answered.oneshot(request).await.into_response()
        }
    })
}

/// The panic's text may quote a message: its place is logged by the program's panic hook.
fn internal_error(_: Box<dyn Any + Send>) -> Response {
    PublicError::internal("a handler panicked").into_response()
}

/// Tokens travel in headers, never in cookies, so that no origin needs to be trusted with
/// credentials.
fn cors_layer(config: &CorsAllowOrigin) -> Option<CorsLayer> {
    let origin = match config {
        CorsAllowOrigin::None => return None,
        CorsAllowOrigin::Any => AllowOrigin::any(),
        CorsAllowOrigin::List(origins) => AllowOrigin::list(origins.iter().cloned()),
    };
    Some(
        CorsLayer::new()
            .allow_origin(origin)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            .allow_headers(ALLOWED_HEADERS)
            .expose_headers(EXPOSED_HEADERS)
            .max_age(Duration::from_secs(3600)),
    )
}

#[cfg(test)]
mod tests;
