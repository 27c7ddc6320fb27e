//! Whether the process lives, and whether it can serve.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{extract::State, response::Response};
use http::StatusCode;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::{core_client::Trouble, edge::Edge, error::PublicError, wire::v1::rest};

/// A probe must not wait for a core that hangs.
const CORE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn alive() -> Result<Response, PublicError> {
    rest::success(StatusCode::OK, None::<()>, None).map_err(PublicError::internal)
}

/// Ready while it does not drain, tokens can be verified, the core serves, messages can be sent to it, and it tells which tokens
/// were taken away. A refusal gives the reason in a
/// word, without an address: anybody may ask.
pub(super) async fn ready(State(edge): State<Edge>) -> Result<Response, PublicError> {
    match reason_against(&edge).await {
        None => alive().await,
        Some(reason) => Err(PublicError::not_ready(reason)),
    }
}

/// Whether it asks how this edge is: what is answered is no refusal.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path.trim_end_matches('/'), "/healthz" | "/readyz")
}

impl Edge {
    /// Why it is not ready, in a word; nothing if it is. `/readyz` says the same.
    pub async fn reason_against_serving(&self) -> Option<&'static str> {
        reason_against(self).await
    }
}

async fn reason_against(edge: &Edge) -> Option<&'static str> {
    let shared = &edge.shared;
    if shared.leaving.load(Ordering::Relaxed) || shared.tasks.draining().is_cancelled() {
        return Some("draining");
    }
    if shared.authenticator.lacks_keys() {
        return Some("no_keys");
    }
    let mut core = shared.core.health.clone();
    // The empty name stands for the whole server.
    let check = core.check(HealthCheckRequest::default());
    let trouble = || shared.core.reach.trouble().map_or("unreachable", Trouble::word);
    match tokio::time::timeout(CORE_TIMEOUT, check).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => {
            if shared.sends.is_cut_off() {
                return Some("no_sends");
            }
            // Nobody is let in. A core that starts anew is there again before that counts.
            let is_long = shared.authenticator.revocations().are_unknown_for_long();
            is_long.then_some("revocations_unknown")
        }
        Ok(Ok(_)) => Some("not_serving"),
        Ok(Err(_)) => Some(trouble()),
        Err(_) => Some("silent"),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use tonic::service::Routes;

    use super::*;
    use crate::{
        CoreTransport, Metrics,
        config::Limits,
        stub_core::{authorization, config},
    };

    #[tokio::test]
    async fn a_draining_edge_is_not_ready() {
        // Serves as soon as it is there.
        let (_reporter, core) = tonic_health::server::health_reporter();
        let transport = CoreTransport::in_process(Routes::new(core));
        let edge =
            Edge::new(config(Limits::default()), transport, authorization(), Metrics::default());
        let edge = edge.expect("a usable key");
        let readiness = async || ready(State(edge.clone())).await.into_response().status();
        assert_eq!(readiness().await, StatusCode::OK);
        edge.shared.tasks.begin_drain();
        assert_eq!(readiness().await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
