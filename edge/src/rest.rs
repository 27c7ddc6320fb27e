//! The route table, and what every answer has in common.

mod attachment;
mod compression;
mod demo;
mod disposition;
mod health;
mod listing;
mod media;
pub(crate) mod message;
mod multipart;
mod range;
mod thread;
mod v2;

pub(crate) use self::{
    health::is_probe,
    v2::{WaitingMarks, is_of as is_second_generation},
};

use std::{any::Any, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{HeaderName, Method, StatusCode, Uri, header};
use tower::ServiceExt as _;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};

use self::compression::Turns;
use crate::{
    config::CorsAllowOrigin, edge::Edge, error::PublicError, wire::v2::problem::Problem, ws,
};

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

/// Of the second generation.
const SECOND_METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Which route a path is of, in a word.
pub(crate) fn route_of(path: &str) -> &'static str {
    const ROUTES: [(&str, &str); 9] = [
        ("/chat/messages/", "messages"),
        ("/chat/get-user-threads", "threads"),
        ("/chat/chat-attachment", "upload"),
        ("/ws/chat/room", "websocket"),
        ("/mediafiles/", "media"),
        ("/v2/", "v2"),
        ("/demo", "demo"),
        ("/healthz", "health"),
        ("/readyz", "health"),
    ];
    let found = ROUTES.iter().find(|(prefix, _)| path.starts_with(prefix));
    found.map_or("none", |(_, word)| word)
}

/// Every route, with and without its last slash, and without a redirect (PROTOCOL section 2).
pub(crate) fn router(edge: Edge) -> Router {
    let cors = Cors::of(&edge.shared.config.cors_allow_origin);
    let demo = edge.shared.config.demo.is_some().then(demo::router);
    let long = routes([
        ("/chat/messages/{uid}", get(message::list)),
        ("/chat/get-user-threads", get(thread::list)),
        ("/chat/chat-attachment", post(attachment::upload)),
    ]);
    // Their answers are short, and clients that all come back at once ask for a WebSocket.
    let short = routes([
        ("/ws/chat/room", get(ws::handshake)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
    ]);
    let compressed = middleware::from_fn_with_state(Turns::default(), compression::compress);
    let router = long
        .nest(v2::PREFIX, v2::router())
        .layer(compressed)
        .merge(short)
        .route("/mediafiles/{*path}", get(media::download))
        .merge(demo.unwrap_or_default())
        .fallback(no_route)
        .method_not_allowed_fallback(|| async { PublicError::method_not_allowed() })
        .with_state(edge)
        .layer(CatchPanicLayer::custom(internal_error));
    match cors {
        Some(cors) => with_cors(router, cors),
        None => router,
    }
}

fn routes<const N: usize>(routes: [(&str, MethodRouter<Edge>); N]) -> Router<Edge> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| {
        router.route(path, methods.clone()).route(&format!("{path}/"), methods)
    })
}

/// Also of what is below the prefix of the second generation and is no path of a route.
async fn no_route(uri: Uri) -> Response {
    if v2::is_of(uri.path()) {
        Problem::not_found().into_response()
    } else {
        PublicError::not_found().into_response()
    }
}

/// The layer answers every OPTIONS itself, of whatever path. A preflight of a route is its own; all others are requests
/// as any.
fn with_cors(router: Router, cors: Cors) -> Router {
    let plain = router.clone();
    let second = router.clone().layer(cors.second);
    let documented = router.layer(cors.documented);
    Router::new().fallback(move |request: Request| {
        let is_second = v2::is_of(request.uri().path());
        let answered = if is_second { second.clone() } else { documented.clone() };
        let plain = plain.clone();
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

/// What browsers are told of each generation.
struct Cors {
    documented: CorsLayer,
    second: CorsLayer,
}

impl Cors {
    /// Tokens travel in headers, never in cookies, so that no origin needs to be trusted with
    /// credentials.
    fn of(config: &CorsAllowOrigin) -> Option<Self> {
        let origin = match config {
            CorsAllowOrigin::None => return None,
            CorsAllowOrigin::Any => AllowOrigin::any(),
            CorsAllowOrigin::List(origins) => AllowOrigin::list(origins.iter().cloned()),
        };
        let both = CorsLayer::new().allow_origin(origin).max_age(Duration::from_secs(3600));
        let documented = both
            .clone()
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            .allow_headers(ALLOWED_HEADERS)
            .expose_headers(EXPOSED_HEADERS);
        let second = both
            .allow_methods(SECOND_METHODS)
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .expose_headers([header::RETRY_AFTER]);
        Some(Self { documented, second })
    }
}

#[cfg(test)]
mod tests;
