//! An edge on a free port of the loopback, with a stub for its core.

use std::net::SocketAddr;

use http::HeaderValue;
use netrox_edge::{
    Config, CoreTransport, Edge, Metrics,
    config::{CorsAllowOrigin, Jwt, JwtKey, Limits, MediaAccess},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::stub::StubCore;

pub(crate) const ALICE: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
pub(crate) const BOB: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";
pub(crate) const CAROL: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

pub(crate) struct World {
    pub(crate) core: StubCore,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<()>,
}

pub(crate) fn config() -> Config {
    Config {
        jwt: Jwt {
            key: JwtKey::Secret(SECRET.to_vec()),
            user_claim: "user_id".into(),
            type_claim: "token_type".into(),
            issuer: None,
            audience: None,
        },
        media_access: MediaAccess::Capability,
        cors_allow_origin: CorsAllowOrigin::None,
        close_on_token_expiry: false,
        proxies: Default::default(),
        open_files: None,
        limits: Limits::default(),
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut config = config();
        change(&mut config.limits);
        Self::with(config).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let core = StubCore::default();
        let transport = CoreTransport::in_process(core.routes());
        let service = HeaderValue::from_static("Bearer service");
        let edge = Edge::new(config, transport, service, Metrics::default()).expect("a usable key");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let served = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { edge.serve(listener, shutdown).await }
        });
        Self { core, address, shutdown, served }
    }
}

/// The value of an `Authorization` header of a user.
pub(crate) fn bearer(user: &str) -> String {
    format!("Bearer {}", token(user, &json!({})))
}

pub(crate) fn token(user: &str, more: &Value) -> String {
    let mut claims = json!({"token_type": "access", "exp": 9_999_999_999_i64, "user_id": user});
    let object = claims.as_object_mut().expect("an object");
    object.extend(more.as_object().expect("an object").clone());
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token")
}
