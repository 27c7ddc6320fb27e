//! There is one tracer in a process, and so one test of it.

use std::collections::HashMap;

use netrox_metrics::Registry;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

use super::*;

fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    spans.iter().find(|span| span.name == *name).unwrap_or_else(|| panic!("no {name}: {spans:?}"))
}

#[tokio::test]
async fn a_trace_goes_on_where_it_came_from_and_links_lead_to_what_is_for_many() {
    let client =
        TraceContext::parse("00-000000000000000000000000000000aa-00000000000000bb-01", "a=1");
    let client = client.expect("a span");
    assert!(!is_on());
    assert!(arrived("http", Caller::Trusted, Some(&client)).is_none());
    assert!(within("write", Kind::Internal, Some(&client)).is_none());
    assert!(for_many("batch").is_none());

    let mut registry = Registry::default();
    let metrics = Metrics::registered(&mut registry);
    let sampling = Sampling { ratio: 0.0, asked_per_second: 0 };
    let mut ended = turn_on(sampling, &metrics).expect("the first time");
    assert!(turn_on(sampling, &metrics).is_none(), "it is on");
    assert!(is_on());
    assert!(arrived("http", Caller::Public, Some(&client)).is_none(), "nobody trusts it");
    assert!(arrived("grpc", Caller::Trusted, None).is_none(), "a ratio of 0");
    let unsampled = TraceContext::new(1, 2, false, "").expect("a span");
    assert!(within("write", Kind::Internal, Some(&unsampled)).is_none());
    assert!(within("write", Kind::Internal, None).is_none());

    let mut grpc = arrived("grpc", Caller::Trusted, Some(&client)).expect("a service is trusted");
    let id = netrox_proto::request_id::RequestId::parse("mine").expect("an id");
    grpc.request(&id);
    let mut write = within("write", Kind::Internal, Some(&grpc.context())).expect("traced");
    let mut batch = for_many("batch").expect("traced");
    batch.link(&write.context());
    write.link(&batch.context());
    write.failed("refused");
    let (of_grpc, of_batch) = (grpc.context(), batch.context());
    assert_eq!(of_grpc.state(), "a=1", "passed on");
    drop((batch, write, grpc));

    let mut spans = Vec::new();
    ended.recv_many(&mut spans, QUEUE_SPANS).await;
    let (grpc, write, batch) =
        (named(&spans, "grpc"), named(&spans, "write"), named(&spans, "batch"));
    let ids = |span: &SpanData| {
        let context = &span.span_context;
        (context.trace_id().to_string(), context.span_id().to_string())
    };
    assert_eq!(ids(grpc).0, client.trace_id().to_string());
    assert_eq!(grpc.parent_span_id.to_string(), "00000000000000bb");
    assert_eq!(grpc.span_kind, SpanKind::Server);
    assert_eq!(grpc.span_context.trace_state().header(), "a=1");
    let attributes: HashMap<_, _> =
        grpc.attributes.iter().map(|of| (of.key.as_str(), of.value.to_string())).collect();
    assert_eq!(attributes, HashMap::from([("netrox.request_id", "mine".to_owned())]));
    assert_eq!((&ids(write).0, write.parent_span_id.to_string()), (&ids(grpc).0, ids(grpc).1));
    assert_eq!(write.status, Status::error("refused"));
    assert_ne!(ids(batch).0, ids(write).0, "a trace of its own");
    assert_eq!(ids(batch).0, of_batch.trace_id().to_string());
    for (from, to) in [(write, batch), (batch, write)] {
        let linked: Vec<_> = from.links.iter().map(|link| &link.span_context).collect();
        assert_eq!(linked.len(), 1);
        assert_eq!(linked[0].span_id(), to.span_context.span_id());
        assert_eq!(linked[0].trace_id(), to.span_context.trace_id());
    }

    // What nobody takes out costs no more than the queue.
    for _ in 0..QUEUE_SPANS + 7 {
        drop(for_many("batch"));
    }
    let shown = registry.text().expect("text");
    for line in [
        "netrox_chat_trace_spans_dropped_total{reason=\"queue\"} 7",
        "netrox_chat_trace_spans_exported_total 0",
        &format!("netrox_chat_queue_length{{queue=\"trace_spans\"}} {QUEUE_SPANS}"),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }

    turn_off();
    turn_off();
    assert!(for_many("batch").is_none());
}
