//! What is refused, and why.

use std::fmt::{self, Write as _};

use http::StatusCode;
use netrox_metrics::{By, Registry, words};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
};

use crate::auth::Refusal as TokenRefusal;

/// Refusals that somebody may want to be woken for: their first one is seen by a rate only if there was a zero before.
const WATCHED_REFUSALS: [&str; 3] = ["internal", "rate_limited", "unavailable"];

#[derive(Debug, Clone)]
pub(crate) struct RefusalMetrics {
    all: Family<Refusal, Counter>,
    tokens: By<TokenRefusal, Counter>,
    limits: By<Limit, Counter>,
    addresses: By<AddressLimit, Counter>,
}

impl Default for RefusalMetrics {
    fn default() -> Self {
        let all = Family::default();
        for over in [Over::Http, Over::WebSocket] {
            for reason in WATCHED_REFUSALS {
                drop(all.get_or_create(&Refusal { over, reason }));
            }
        }
        let (tokens, limits) = (By::counters("reason"), By::counters("limit"));
        Self { all, tokens, limits, addresses: By::counters("limit") }
    }
}

impl RefusalMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "refusals",
            "Requests over HTTP and frames over WebSockets that were refused",
            self.all.clone(),
        );
        registry.register(
            "access_tokens_refused",
            "Requests whose access token was refused, by why",
            self.tokens.clone(),
        );
        registry.register(
            "limit_refusals",
            "What was refused because a limit was met",
            self.limits.clone(),
        );
        registry.register(
            "address_refusals",
            "Requests without a good token that were refused because too many came from their address",
            self.addresses.clone(),
        );
    }

    /// Counts an answer to a request, if it is a refusal.
    pub(crate) fn answered(&self, status: StatusCode) {
        if status.is_client_error() || status.is_server_error() {
            self.refused(Refusal { over: Over::Http, reason: reason_of(status) });
        }
    }

    /// `reason` is the code of the frame that tells it.
    pub(crate) fn frame(&self, reason: &'static str) {
        self.refused(Refusal { over: Over::WebSocket, reason });
    }

    fn refused(&self, refusal: Refusal) {
        self.all.get_or_create(&refusal).inc();
    }

    pub(crate) fn token(&self, refusal: TokenRefusal) {
        self.tokens.count(refusal);
    }

    pub(crate) fn address(&self, limit: AddressLimit) {
        self.addresses.count(limit);
    }

    pub(crate) fn limits(&self) -> By<Limit, Counter> {
        self.limits.clone()
    }
}

words! {
    /// What users, and all together, may do so often or so much of.
    pub(crate) enum Limit {
        Connections = "connections",
        ConnectionsOfUser = "connections_of_user",
        Handshakes = "handshakes",
        Sends = "sends",
        Uploads = "uploads",
        UploadBytes = "upload_bytes",
        HistoryReads = "history_reads",
        Searches = "searches",
        Downloads = "downloads",
        DownloadsOfTheirs = "downloads_of_user",
    }
}

words! {
    /// What may come from an address so often.
    pub(crate) enum AddressLimit {
        FailedTokens = "failed_tokens",
        Unauthenticated = "unauthenticated",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    over: Over,
    reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Over {
    Http,
    WebSocket,
}

impl EncodeLabelValue for Over {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
        })
    }
}

/// A status as a word.
fn reason_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::REQUEST_TIMEOUT => "timeout",
        StatusCode::PRECONDITION_FAILED => "precondition_failed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::RANGE_NOT_SATISFIABLE => "range_not_satisfiable",
        StatusCode::UPGRADE_REQUIRED => "upgrade_required",
        StatusCode::TOO_MANY_REQUESTS => "rate_limited",
        StatusCode::INTERNAL_SERVER_ERROR => "internal",
        StatusCode::NOT_IMPLEMENTED => "not_implemented",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "other",
    }
}
