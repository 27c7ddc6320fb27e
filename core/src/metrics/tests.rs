use std::time::Duration;

use futures_util::FutureExt as _;

use super::*;
use crate::auth::Unknown;

fn shown(registry: &Registry) -> String {
    registry.text().expect("text")
}

#[test]
fn every_series_is_there_from_the_beginning_and_counts() {
    let mut registry = Registry::default();
    let metrics = Metrics::registered(&mut registry);
    let before = shown(&registry);
    assert!(!before.contains("\nnetrox_chat_bus_connected "), "there is no bus: {before}");
    assert!(!before.contains("netrox_chat_serving{"), "it is not open: {before}");
    for line in [
        "netrox_chat_commit_duration_seconds_count 0",
        "netrox_chat_commit_writes_count 0",
        "netrox_chat_commits_failed_total{outcome=\"put_back\"} 0",
        "netrox_chat_commits_failed_total{outcome=\"unknown\"} 0",
        "netrox_chat_writes_waiting 0",
        "netrox_chat_messages_stored_total 0",
        "netrox_chat_messages_swallowed_total 0",
        "netrox_chat_feed_reads_total{cause=\"hole\"} 0",
        "netrox_chat_streams_open{stream=\"watch\"} 0",
        "netrox_chat_tickets_total{use=\"link_refused\"} 0",
        "netrox_chat_database_snapshot_held 0",
        "netrox_chat_media_operation_duration_seconds_count{operation=\"finish\"} 0",
    ] {
        assert!(before.lines().any(|shown| shown == line), "{line}:\n{before}");
    }
    let first = metrics.commits.wait();
    let _second = metrics.commits.wait();
    first.is_unknown();
    drop(first);
    metrics.commits.stored(3, 2, Duration::from_millis(2));
    metrics.commits.swallowed(5);
    metrics.commits.failed(CommitFailure::Refused);
    metrics.streams.read_for(ReadCause::Behind);
    let _open = metrics.streams.open(Stream::Subscribe);
    metrics.streams.sent(3);
    metrics.streams.repaired();
    metrics.bus.begin();
    metrics.bus.connected();
    metrics.bus.failed(BusFailure::Denied);
    // Given up by its caller.
    drop(metrics.media.upload());
    metrics.media.upload().ended(Transfer::Ok);
    metrics.media.download().ended(Transfer::Refused);
    let never = std::future::pending::<Result<(), crate::media::Error>>();
    let given_up = metrics.media.measure(MediaOperation::Write, never).now_or_never();
    assert!(given_up.is_none());
    metrics.media.moved(Direction::Read, 10);
    metrics.callers.refused(Unknown::Token);
    metrics.store.connections.add([("pool", "chat"), ("state", "idle")], || Some(4));
    metrics.serving.set(Part::Database, true);
    metrics.serving.set(Part::Files, false);
    metrics.tickets.count(TicketUse::Spent);
    metrics.callers.calls().of("gone").taken.inc();
    metrics.callers.calls().forget("gone");
    metrics.callers.calls().of("billing").refused.inc();
    let after = shown(&registry);
    for line in [
        "netrox_chat_commit_duration_seconds_bucket{le=\"0.001\"} 0",
        "netrox_chat_commit_duration_seconds_bucket{le=\"0.0025\"} 1",
        "netrox_chat_commit_writes_sum 3.0",
        "netrox_chat_commits_failed_total{outcome=\"refused\"} 1",
        "netrox_chat_writes_waiting 1",
        "netrox_chat_writes_unknown_total 1",
        "netrox_chat_messages_stored_total 2",
        "netrox_chat_messages_swallowed_total 5",
        "netrox_chat_feed_reads_total{cause=\"behind\"} 1",
        "netrox_chat_serving{part=\"database\"} 1",
        "netrox_chat_serving{part=\"files\"} 0",
        "netrox_chat_streams_open{stream=\"subscribe\"} 1",
        "netrox_chat_events_sent_total 3",
        "netrox_chat_feed_repairs_total 1",
        "netrox_chat_bus_connected 1",
        "netrox_chat_bus_connections_total 1",
        "netrox_chat_bus_failures_total{reason=\"denied\"} 1",
        "netrox_chat_media_uploads_total{result=\"failed\"} 1",
        "netrox_chat_media_uploads_total{result=\"ok\"} 1",
        "netrox_chat_media_downloads_total{result=\"refused\"} 1",
        "netrox_chat_media_downloads_total{result=\"failed\"} 0",
        "netrox_chat_media_operation_failures_total{operation=\"write\"} 1",
        "netrox_chat_media_operation_duration_seconds_count{operation=\"write\"} 1",
        "netrox_chat_media_transferred_bytes_total{direction=\"read\"} 10",
        "netrox_chat_tickets_total{use=\"spent\"} 1",
        "netrox_chat_service_tokens_refused_total{reason=\"unknown_token\"} 1",
        "netrox_chat_database_connections{pool=\"chat\",state=\"idle\"} 4",
        "netrox_chat_service_calls_total{service=\"billing\",result=\"taken\"} 0",
        "netrox_chat_service_calls_total{service=\"billing\",result=\"refused\"} 1",
    ] {
        assert!(after.lines().any(|shown| shown == line), "{line}:\n{after}");
    }
    assert!(!after.contains("gone"), "{after}");
}
