//! What a core and an edge are built from.

use std::net::SocketAddr;

use http::HeaderValue;
use netrox_audit::Audit;
use netrox_edge::config::{AllowedOrigins, CorsAllowOrigin, Limits, Proxies};
use netrox_tls::ServerTls;

use crate::{
    cli::{CommonLimitArgs, DrainArgs, GrpcArgs, HttpArgs, QuotaArgs, WaitArgs},
    secret::{DataDir, ServiceTokens},
    settings::{key::JwtSettings, storage::Storage},
};

pub(crate) struct CoreSettings {
    pub(crate) addr: SocketAddr,
    pub(crate) config: netrox_core::Config,
}

/// The limits of a core.
#[derive(Clone, Copy)]
pub(crate) struct CoreLimits<'a> {
    pub(crate) common: &'a CommonLimitArgs,
    pub(crate) wait: &'a WaitArgs,
    pub(crate) drain: &'a DrainArgs,
    pub(crate) quotas: &'a QuotaArgs,
}

impl CoreSettings {
    pub(crate) fn new(
        grpc: &GrpcArgs,
        tls: Option<ServerTls>,
        data_dir: &DataDir,
        storage: Storage,
        limits: CoreLimits<'_>,
        service_tokens: ServiceTokens,
    ) -> Self {
        let config = netrox_core::Config {
            data_dir: data_dir.path().to_owned(),
            database: storage.database,
            require_existing_data: storage.is_required,
            media: storage.media,
            bus: storage.bus,
            tls,
            service_tokens: service_tokens.accepted,
            services: None,
            // Opened later, by the program.
            audit: Audit::default(),
            store_wait: limits.wait.store_wait,
            drain_wait: limits.drain.for_waits(),
            max_body_bytes: limits.common.max_body_bytes,
            max_attachment_bytes: limits.common.max_attachment_bytes,
            edit_window: limits.common.edit_window.0,
            delete_window: limits.common.delete_window.0,
            retain_messages: limits.common.retain_messages.0,
            link_ttl: limits.quotas.link_ttl,
            quotas: limits.quotas.to_quotas(),
            search: limits.common.search,
        };
        Self { addr: grpc.grpc_addr, config }
    }
}

pub(crate) struct EdgeSettings {
    pub(crate) addr: SocketAddr,
    pub(crate) config: netrox_edge::Config,
    /// That says which keys of access tokens there are.
    pub(crate) key_flag: &'static str,
    /// `Bearer <service token>`.
    pub(crate) authorization: HeaderValue,
    /// The one that is sent. An older one of its list may have been withdrawn at the cores, whom nobody asks.
    pub(crate) service_tokens: Vec<String>,
}

impl EdgeSettings {
    pub(crate) fn new(
        http: HttpArgs,
        tls: Option<ServerTls>,
        jwt: JwtSettings,
        limits: Limits,
        service_tokens: &ServiceTokens,
    ) -> Self {
        let config = netrox_edge::Config {
            jwt: jwt.jwt,
            media_access: http.media_access.into(),
            cors_allow_origin: http.cors_allow_origin.unwrap_or(CorsAllowOrigin::None),
            allowed_origins: match http.allowed_origins {
                Some(CorsAllowOrigin::List(origins)) => AllowedOrigins::List(origins),
                Some(CorsAllowOrigin::Any | CorsAllowOrigin::None) | None => AllowedOrigins::All,
            },
            close_on_token_expiry: http.close_on_token_expiry,
            proxies: Proxies {
                trusted: http.trusted_proxies.unwrap_or_default(),
                protocol: http.proxy_protocol,
            },
            tls,
            // Known when the program has raised it.
            open_files: None,
            limits,
            audit: Audit::default(),
            // Only with a core in the same process.
            demo: None,
        };
        Self {
            addr: http.http_addr,
            config,
            key_flag: jwt.flag,
            authorization: service_tokens.authorization.clone(),
            service_tokens: service_tokens.accepted.iter().take(1).cloned().collect(),
        }
    }
}
