//! The route table.

use axum::{Router, routing};

use crate::{Edge, error::PublicError, ws};

/// Every route, with and without its last slash, and without a redirect (PROTOCOL section 2).
pub(crate) fn router(edge: Edge) -> Router {
    Router::new()
        .route("/ws/chat/room/", routing::get(ws::handshake))
        .route("/ws/chat/room", routing::get(ws::handshake))
        .fallback(|| async { PublicError::not_found() })
        .method_not_allowed_fallback(|| async { PublicError::method_not_allowed() })
        .with_state(edge)
}
