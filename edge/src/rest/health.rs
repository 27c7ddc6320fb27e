//! Whether the process lives, and whether it can serve.

use std::time::Duration;

use axum::{extract::State, response::Response};
use http::StatusCode;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::{Edge, error::PublicError, json};

/// A probe must not wait for a core that hangs.
const CORE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn alive() -> Result<Response, PublicError> {
    json::success(StatusCode::OK, None::<()>, None).map_err(PublicError::internal)
}

/// Ready while it does not drain and the core serves.
pub(super) async fn ready(State(edge): State<Edge>) -> Result<Response, PublicError> {
    if edge.shared.draining.is_cancelled() {
        return Err(PublicError::unavailable());
    }
    let mut core = edge.shared.core.health.clone();
    // The empty name stands for the whole server.
    let check = core.check(HealthCheckRequest::default());
    match tokio::time::timeout(CORE_TIMEOUT, check).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => alive().await,
        _ => Err(PublicError::unavailable()),
    }
}
