//! Placeholder until the WebSocket sessions are here.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use crate::{Edge, config, error::PublicError};

pub(crate) struct Sockets;

impl Sockets {
    pub(crate) fn new(_config: &config::Limits) -> Self {
        Self
    }
}

pub(crate) async fn handshake(State(_edge): State<Edge>, _request: Request) -> Response {
    PublicError::not_found().into_response()
}
