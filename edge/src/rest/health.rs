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

/// Ready while it does not drain, the core serves, and messages can be sent to it.
pub(super) async fn ready(State(edge): State<Edge>) -> Result<Response, PublicError> {
    if edge.shared.draining.is_cancelled() || edge.shared.sends.is_cut_off() {
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

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http::HeaderValue;
    use tonic::service::Routes;

    use super::*;
    use crate::{
        CoreTransport,
        config::{Config, CorsAllowOrigin, Jwt, JwtKey, Limits, MediaAccess, Proxies},
    };

    #[tokio::test]
    async fn a_draining_edge_is_not_ready() {
        // Serves as soon as it is there.
        let (_reporter, core) = tonic_health::server::health_reporter();
        let config = Config {
            jwt: Jwt {
                key: JwtKey::Secret(b"secret".to_vec()),
                user_claim: "user_id".into(),
                issuer: None,
                audience: None,
            },
            media_access: MediaAccess::Capability,
            cors_allow_origin: CorsAllowOrigin::None,
            close_on_token_expiry: false,
            proxies: Proxies::default(),
            open_files: None,
            limits: Limits::default(),
        };
        let transport = CoreTransport::in_process(Routes::new(core));
        let edge = Edge::new(config, transport, HeaderValue::from_static("Bearer service"));
        let edge = edge.expect("a usable key");
        let readiness = async || ready(State(edge.clone())).await.into_response().status();
        assert_eq!(readiness().await, StatusCode::OK);
        edge.shared.draining.cancel();
        assert_eq!(readiness().await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
