//! The routes of the second generation (PROTOCOL-2 section 5), a file per resource.

mod answer;
mod attachment;
mod block;
mod description;
mod history;
mod json_body;
mod mark;
mod me;
mod message;
mod search;
mod send;
mod sync;
#[cfg(test)]
mod tests;
mod thread;
mod ticket;
mod user;

use std::any::Any;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post, put},
};
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use self::mark::WaitingMarks;
use crate::{edge::Edge, wire::v2::problem::Problem};

/// What all paths begin with.
pub(crate) const PREFIX: &str = "/v2";

/// Whether a path is of the second generation, whether it has a route or not.
pub(crate) fn is_of(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Below [`PREFIX`], without a last slash.
fn routes() -> [(&'static str, MethodRouter<Edge>); 17] {
    [
        ("/sync", get(sync::sync)),
        ("/threads", get(thread::list)),
        ("/threads/{peer_id}", get(thread::one)),
        ("/threads/{peer_id}/messages", get(history::list).post(history::send)),
        ("/threads/{peer_id}/attachments", post(attachment::upload)),
        ("/threads/{peer_id}/seen", put(mark::seen)),
        ("/threads/{peer_id}/delivered", put(mark::delivered)),
        ("/messages/{id}", get(message::one).patch(message::edit).delete(message::delete)),
        ("/messages/{id}/dispatch", post(message::dispatch)),
        ("/sends/{client_ref}", get(send::one)),
        ("/blocks", get(block::list)),
        ("/blocks/{peer_id}", put(block::block).delete(block::unblock)),
        ("/search", get(search::search)),
        ("/me", get(me::me)),
        ("/ticket", post(ticket::create)),
        ("/openapi.json", get(description::openapi)),
        ("/asyncapi.json", get(description::asyncapi)),
    ]
}

/// Every route, with and without its last slash.
pub(super) fn router() -> Router<Edge> {
    let mut router = Router::new();
    for (path, methods) in routes() {
        router = router.route(path, methods.clone()).route(&format!("{path}/"), methods);
    }
    router
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(CatchPanicLayer::custom(internal_error))
}

/// The panic's text may quote a message: its place is logged by the program's panic hook.
fn internal_error(_: Box<dyn Any + Send>) -> Response {
    Problem::internal("a handler panicked").into_response()
}
