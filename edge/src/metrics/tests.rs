use std::time::Duration;

use http::StatusCode;
use netrox_proto::{
    request_id::RequestId,
    time,
    v1::{ErrorReason, Message},
};

use super::*;
use crate::{auth::Refusal, wire::Generation};

#[test]
fn what_happens_is_counted_under_words_of_ours() {
    let mut registry = Registry::default();
    let metrics = Metrics::registered(&mut registry);
    metrics.sockets.set_limit(20_000);
    let first = metrics.sockets.open(Generation::V1);
    let _second = metrics.sockets.open(Generation::V2);
    drop(first);
    for status in [200, 304, 401, 429, 418] {
        metrics.refusals.answered(StatusCode::from_u16(status).expect("a status"));
    }
    metrics.refusals.frame("rate_limited");
    metrics.deliveries.subscription_broke(ErrorReason::ShuttingDown);
    metrics.handshakes_failed.count(HandshakeFailure::NotTls);
    for code in [1000, 3000, 4999] {
        metrics.sockets.closed(Close::by_client(code));
    }
    metrics.sockets.closed(Close::by_server(1013, "too_slow"));
    metrics.sockets.closed(Close::of_connection());
    metrics.sends.held_bytes().inc_by(600);
    metrics.sends.refused(SendRefusal::Overloaded);
    metrics.refusals.address(AddressLimit::FailedTokens);
    metrics.keys.begin("https://issuer/keys");
    metrics.keys.fetched("https://issuer/keys", Fetch::Failed);
    metrics.keys.has_keys("https://issuer/keys", 1_800_000_000);
    metrics.refusals.token(Refusal::Expired);
    metrics.refusals.limits().count(Limit::Uploads);
    metrics.sends.answered(SendKind::Edit, Duration::from_millis(3), &RequestId::draw());
    let mut counted = metrics.deliveries.begin(Generation::V2);
    let message = Message { id: 7, created: Some(time::timestamp(0)), ..Default::default() };
    let to_come =
        Message { id: 8, created: Some(time::timestamp(i64::MAX / 2)), ..message.clone() };
    for lateness in [None, counted.lateness(&message, None), counted.lateness(&to_come, None)] {
        counted.given(lateness);
    }
    drop(counted);
    let shown = registry.text().expect("text");
    for line in [
        "netrox_chat_sockets_open{generation=\"v1\"} 0",
        "netrox_chat_sockets_open{generation=\"v2\"} 1",
        "netrox_chat_sockets_limit 20000",
        "netrox_chat_access_tokens_refused_total{reason=\"expired\"} 1",
        "netrox_chat_access_tokens_refused_total{reason=\"signature\"} 0",
        "netrox_chat_limit_refusals_total{limit=\"uploads\"} 1",
        "netrox_chat_sends_total{kind=\"edit\"} 1",
        "netrox_chat_sends_total{kind=\"message\"} 0",
        "netrox_chat_send_duration_seconds_bucket{le=\"0.0025\"} 0",
        "netrox_chat_send_duration_seconds_count 1",
        "netrox_chat_deliveries_total{generation=\"v2\"} 3",
        "netrox_chat_delivery_duration_seconds_bucket{le=\"60.0\"} 0",
        "netrox_chat_delivery_duration_seconds_count 1",
        "netrox_chat_refusals_total{over=\"http\",reason=\"internal\"} 0",
        "netrox_chat_refusals_total{over=\"http\",reason=\"unauthorized\"} 1",
        "netrox_chat_refusals_total{over=\"http\",reason=\"rate_limited\"} 1",
        "netrox_chat_refusals_total{over=\"http\",reason=\"other\"} 1",
        "netrox_chat_refusals_total{over=\"websocket\",reason=\"rate_limited\"} 1",
        "netrox_chat_http_tls_handshakes_failed_total{reason=\"not_tls\"} 1",
        "netrox_chat_subscriptions_broken_total{reason=\"shutting_down\"} 1",
        "netrox_chat_socket_closes_total{by=\"client\",code=\"1000\",reason=\"\"} 1",
        "netrox_chat_socket_closes_total{by=\"client\",code=\"other\",reason=\"\"} 2",
        "netrox_chat_socket_closes_total{by=\"server\",code=\"1001\",reason=\"position_lost\"} 0",
        "netrox_chat_socket_closes_total{by=\"server\",code=\"1013\",reason=\"too_slow\"} 1",
        "netrox_chat_key_fetches_total{source=\"https://issuer/keys\",result=\"failed\"} 1",
        "netrox_chat_key_fetches_total{source=\"https://issuer/keys\",result=\"ok\"} 0",
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
