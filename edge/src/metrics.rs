//! What can be measured of an edge. Labels are words of ours, codes of HTTP and WebSocket, or what the operator set; never
//! what a client made up.
//!
//! docs/OPERATING.md tells what each metric means, and what to do about it.

use std::fmt::{self, Write as _};

use http::StatusCode;
use netrox_proto::v1::ErrorReason;
use netrox_tls::HandshakeFailure;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::sends::MAX_BYTES;

/// Refusals that somebody may want to be woken for: their first one is seen by a rate only if there was a zero before.
const WATCHED_REFUSALS: [&str; 3] = ["internal", "rate_limited", "unavailable"];

/// What an edge counts: cheap handles. Those that are in no registry are counted for nobody.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    sockets: Gauge,
    closes: Family<Close, Counter>,
    refusals: Family<Refusal, Counter>,
    subscriptions_broken: Family<BrokenSubscription, Counter>,
    handshakes_failed: Family<FailedHandshake, Counter>,
    bytes_of_sends: Gauge,
    refused_sends: RefusedSends,
    keys: KeyMetrics,
    address_refusals: Family<AddressRefused, Counter>,
    watch: WatchMetrics,
}

impl Metrics {
    /// Metrics that the registry shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self {
            sockets,
            closes,
            refusals,
            subscriptions_broken,
            handshakes_failed,
            bytes_of_sends,
            refused_sends,
            keys,
            address_refusals,
            watch,
        } = &metrics;
        for limit in AddressLimit::ALL {
            drop(address_refusals.get_or_create(&AddressRefused { limit }));
        }
        registry.register(
            "address_refusals",
            "Requests without a good token that were refused because too many came from their address",
            address_refusals.clone(),
        );
        for over in [Over::Http, Over::WebSocket] {
            for reason in WATCHED_REFUSALS {
                drop(refusals.get_or_create(&Refusal { over, reason }));
            }
        }
        for failure in HandshakeFailure::ALL {
            drop(handshakes_failed.get_or_create(&FailedHandshake { reason: failure.word() }));
        }
        registry.register(
            "sockets_open",
            "WebSockets that are open, or whose handshake waits for the core",
            sockets.clone(),
        );
        registry.register(
            "socket_closes",
            "WebSockets that were closed, by whom and why",
            closes.clone(),
        );
        registry.register(
            "refusals",
            "Requests over HTTP and frames over WebSockets that were refused",
            refusals.clone(),
        );
        registry.register(
            "subscriptions_broken",
            "Subscriptions to a core that ended while somebody was connected, by what they ended with",
            subscriptions_broken.clone(),
        );
        registry.register(
            "http_tls_handshakes_failed",
            "Connections to the public listener that came to nothing in their TLS handshake",
            handshakes_failed.clone(),
        );
        registry.register_with_unit(
            "sends_held",
            "Memory of sends that were taken and are not answered",
            Unit::Bytes,
            bytes_of_sends.clone(),
        );
        let max_bytes = Gauge::<i64>::default();
        max_bytes.set(MAX_BYTES as i64);
        registry.register_with_unit(
            "sends_held_limit",
            "What it may be: beyond it sockets are not read, or sends refused",
            Unit::Bytes,
            max_bytes,
        );
        for refusal in SendRefusal::ALL {
            drop(refused_sends.0.get_or_create(&SendRefused { reason: refusal }));
        }
        registry.register(
            "sends_refused",
            "Sends that were not known to be stored, by what their senders were told",
            refused_sends.0.clone(),
        );
        for result in Fetch::ALL {
            drop(keys.fetches.get_or_create(&KeyFetch { result }));
        }
        registry.register(
            "key_fetches",
            "Fetches of keys of access tokens from URLs, by what came of them",
            keys.fetches.clone(),
        );
        registry.register_with_unit(
            "keys_fetched_timestamp",
            "When the keys in use were fetched, by their URL, in Unix time",
            Unit::Seconds,
            keys.fetched_at.clone(),
        );
        registry.register(
            "session_watch_live",
            "Whether a core tells which tokens are revoked: 1 if so",
            watch.live.clone(),
        );
        registry.register_with_unit(
            "session_watch_heard_timestamp",
            "When a core last told it, in Unix time",
            Unit::Seconds,
            watch.heard_at.clone(),
        );
        registry.register(
            "revocations_kept",
            "Revocations of tokens that are known",
            watch.kept.clone(),
        );
        metrics
    }

    /// Counts a WebSocket as open until what is given is dropped.
    pub(crate) fn open_socket(&self) -> OpenSocket {
        self.sockets.inc();
        OpenSocket(self.sockets.clone())
    }

    #[cfg(test)]
    pub(crate) fn open_sockets(&self) -> i64 {
        self.sockets.get()
    }

    pub(crate) fn closed(&self, close: Close) {
        self.closes.get_or_create(&close).inc();
    }

    /// Counts an answer to a request, if it is a refusal.
    pub(crate) fn answered(&self, status: StatusCode) {
        if status.is_client_error() || status.is_server_error() {
            self.refused(Refusal { over: Over::Http, reason: reason_of(status) });
        }
    }

    /// `reason` is the code of the frame that tells it.
    pub(crate) fn refused_frame(&self, reason: &'static str) {
        self.refused(Refusal { over: Over::WebSocket, reason });
    }

    fn refused(&self, refusal: Refusal) {
        self.refusals.get_or_create(&refusal).inc();
    }

    pub(crate) fn address_refused(&self, limit: AddressLimit) {
        self.address_refusals.get_or_create(&AddressRefused { limit }).inc();
    }

    pub(crate) fn keys(&self) -> &KeyMetrics {
        &self.keys
    }

    pub(crate) fn watch(&self) -> WatchMetrics {
        self.watch.clone()
    }

    pub(crate) fn bytes_of_sends(&self) -> Gauge {
        self.bytes_of_sends.clone()
    }

    pub(crate) fn refused_sends(&self) -> RefusedSends {
        self.refused_sends.clone()
    }

    pub(crate) fn handshake_failed(&self, failure: HandshakeFailure) {
        self.handshakes_failed.get_or_create(&FailedHandshake { reason: failure.word() }).inc();
    }

    pub(crate) fn subscription_broke(&self, reason: ErrorReason) {
        let labels = BrokenSubscription { reason: Reason(reason) };
        self.subscriptions_broken.get_or_create(&labels).inc();
    }
}

#[derive(Debug)]
pub(crate) struct OpenSocket(Gauge);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How a WebSocket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Close {
    by: By,
    code: Code,
    reason: &'static str,
}

impl Close {
    pub(crate) fn by_server(code: u16, reason: &'static str) -> Self {
        Self { by: By::Server, code: code.into(), reason }
    }

    pub(crate) fn by_client(code: u16) -> Self {
        Self { by: By::Client, code: code.into(), reason: "" }
    }

    /// Without a close frame of either side.
    pub(crate) fn of_connection() -> Self {
        Self { by: By::Nobody, code: 1006.into(), reason: "" }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum By {
    Server,
    Client,
    /// The connection broke, or its client fell silent.
    Nobody,
}

impl EncodeLabelValue for By {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Nobody => "nobody",
        })
    }
}

/// A code of RFC 6455 section 7.4.1, or of the second generation; nothing for all others, which clients may make up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Code(Option<u16>);

impl From<u16> for Code {
    fn from(code: u16) -> Self {
        let is_known = matches!(code, 1000..=1015 | 4401 | 4403 | 4409);
        Self(is_known.then_some(code))
    }
}

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(encoder, "{code}"),
            None => encoder.write_str("other"),
        }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailedHandshake {
    reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokenSubscription {
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Reason(ErrorReason);

/// As error.proto names it, in lower case and without what all have in common.
impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = self.0.as_str_name().trim_start_matches("ERROR_REASON_");
        name.chars().try_for_each(|letter| encoder.write_char(letter.to_ascii_lowercase()))
    }
}

/// Sends that were refused for nothing that is wrong with them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefusedSends(Family<SendRefused, Counter>);

impl RefusedSends {
    pub(crate) fn count(&self, reason: SendRefusal) {
        self.0.get_or_create(&SendRefused { reason }).inc();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SendRefused {
    reason: SendRefusal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SendRefusal {
    /// More were under way than may be, or than were stored in time.
    Overloaded,
    /// The core or its database was away.
    Unavailable,
    /// It may be stored.
    OutcomeUnknown,
}

impl SendRefusal {
    const ALL: [Self; 3] = [Self::Overloaded, Self::Unavailable, Self::OutcomeUnknown];
}

impl EncodeLabelValue for SendRefusal {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AddressRefused {
    limit: AddressLimit,
}

/// What may come from an address so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AddressLimit {
    FailedTokens,
    Unauthenticated,
}

impl AddressLimit {
    const ALL: [Self; 2] = [Self::FailedTokens, Self::Unauthenticated];
}

impl EncodeLabelValue for AddressLimit {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::FailedTokens => "failed_tokens",
            Self::Unauthenticated => "unauthenticated",
        })
    }
}

/// How this edge learns which tokens are revoked.
#[derive(Debug, Clone, Default)]
pub(crate) struct WatchMetrics {
    live: Gauge,
    heard_at: Gauge,
    kept: Gauge,
}

impl WatchMetrics {
    pub(crate) fn set_live(&self, is_live: bool) {
        self.live.set(is_live.into());
    }

    /// In Unix seconds.
    pub(crate) fn heard(&self, at: i64) {
        self.heard_at.set(at);
    }

    pub(crate) fn set_kept(&self, count: usize) {
        self.kept.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Keys of access tokens that come from URLs.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyMetrics {
    fetches: Family<KeyFetch, Counter>,
    fetched_at: Family<KeySource, Gauge>,
}

impl KeyMetrics {
    pub(crate) fn fetched(&self, result: Fetch) {
        self.fetches.get_or_create(&KeyFetch { result }).inc();
    }

    /// `source` is the operator's, `fetched_at` in Unix seconds.
    pub(crate) fn has_keys(&self, source: &str, fetched_at: i64) {
        let labels = KeySource { source: source.to_owned() };
        self.fetched_at.get_or_create(&labels).set(fetched_at);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeySource {
    source: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyFetch {
    result: Fetch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fetch {
    Ok,
    /// There was no answer, or none within the limits.
    Failed,
    /// It was no set with a key that is usable here.
    Unusable,
}

impl Fetch {
    const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Unusable];
}

impl EncodeLabelValue for Fetch {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unusable => "unusable",
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn what_happens_is_counted_under_words_of_ours() {
        let mut registry = Registry::with_prefix("netrox_chat");
        let metrics = Metrics::registered(&mut registry);
        let first = metrics.open_socket();
        let _second = metrics.open_socket();
        drop(first);
        for status in [200, 304, 401, 429, 418] {
            metrics.answered(StatusCode::from_u16(status).expect("a status"));
        }
        metrics.refused_frame("rate_limited");
        metrics.subscription_broke(ErrorReason::ShuttingDown);
        metrics.handshake_failed(HandshakeFailure::NotTls);
        for code in [1000, 3000, 4999] {
            metrics.closed(Close::by_client(code));
        }
        metrics.closed(Close::by_server(1013, "too_slow"));
        metrics.closed(Close::of_connection());
        metrics.bytes_of_sends().inc_by(600);
        metrics.refused_sends().count(SendRefusal::Overloaded);
        metrics.address_refused(AddressLimit::FailedTokens);
        metrics.keys().fetched(Fetch::Failed);
        metrics.keys().has_keys("https://issuer/keys", 1_800_000_000);
        let mut shown = String::new();
        text::encode(&mut shown, &registry).expect("a string takes it");
        for line in [
            "netrox_chat_sockets_open 1",
            "netrox_chat_refusals_total{over=\"http\",reason=\"internal\"} 0",
            "netrox_chat_refusals_total{over=\"http\",reason=\"unauthorized\"} 1",
            "netrox_chat_refusals_total{over=\"http\",reason=\"rate_limited\"} 1",
            "netrox_chat_refusals_total{over=\"http\",reason=\"other\"} 1",
            "netrox_chat_refusals_total{over=\"websocket\",reason=\"rate_limited\"} 1",
            "netrox_chat_http_tls_handshakes_failed_total{reason=\"not_tls\"} 1",
            "netrox_chat_subscriptions_broken_total{reason=\"shutting_down\"} 1",
            "netrox_chat_socket_closes_total{by=\"client\",code=\"1000\",reason=\"\"} 1",
            "netrox_chat_socket_closes_total{by=\"client\",code=\"other\",reason=\"\"} 2",
            "netrox_chat_socket_closes_total{by=\"server\",code=\"1013\",reason=\"too_slow\"} 1",
            "netrox_chat_key_fetches_total{result=\"failed\"} 1",
            "netrox_chat_key_fetches_total{result=\"ok\"} 0",
            "netrox_chat_keys_fetched_timestamp_seconds{source=\"https://issuer/keys\"} 1800000000",
            "netrox_chat_address_refusals_total{limit=\"failed_tokens\"} 1",
            "netrox_chat_address_refusals_total{limit=\"unauthenticated\"} 0",
            "netrox_chat_sends_held_bytes 600",
            "netrox_chat_sends_held_limit_bytes 16777216",
            "netrox_chat_sends_refused_total{reason=\"overloaded\"} 1",
            "netrox_chat_sends_refused_total{reason=\"unavailable\"} 0",
            "netrox_chat_socket_closes_total{by=\"nobody\",code=\"1006\",reason=\"\"} 1",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}:\n{shown}");
        }
    }
}
