//! Traces, as a collector decodes them that is not ours: one message is one trace, whoever takes part in it.

mod collector_gone;

use std::collections::BTreeSet;

use netrox_harness::{
    Arrangement, Role, Socket, TestChat, certificate::Authority, collector::Collector, each,
    scrape::Metrics, settings::own_address,
};
use netrox_proto::v1::{SendMessageRequest, SubscribeRequest, event::Change};
use serde_json::{Value, json};
use tonic::Request;
use uuid::Uuid;

each![
    messages_of_a_socket_are_traces_of_their_own;
    serve: a_collector_is_reached_by_tls_and_shown_a_credential,
        a_collector_that_never_answers_costs_spans_alone;
    split: what_is_not_traced_leaves_nothing, a_collector_that_is_away_costs_spans_alone;
    cluster: a_message_is_one_trace_from_edge_to_edge
];

async fn a_collector_that_is_away_costs_spans_alone(arrangement: Arrangement) {
    collector_gone::a_collector_that_is_away_costs_spans_alone(arrangement).await;
}

async fn a_collector_that_never_answers_costs_spans_alone(arrangement: Arrangement) {
    collector_gone::a_collector_that_never_answers_costs_spans_alone(arrangement).await;
}

const BODY: &str = "canary-body-of-a-trace";
const CLIENT_SPAN: &str = "00f067aa0ba902b7";
const STATE: &str = "vendor=kept";

fn new_trace() -> String {
    Uuid::new_v4().simple().to_string()
}

fn parent(trace_id: &str, flags: &str) -> String {
    format!("00-{trace_id}-{CLIENT_SPAN}-{flags}")
}

/// Of a span, as another names it.
fn place(span: &Value) -> (&Value, &Value) {
    (&span["trace_id"], &span["span_id"])
}

fn leads_to(from: &Value, to: &Value) -> bool {
    let links = from["links"].as_array().expect("links");
    links.iter().any(|link| place(link) == place(to))
}

fn is_child(span: &Value, of: &Value) -> bool {
    span["trace_id"] == of["trace_id"] && span["parent"] == of["span_id"]
}

/// Nothing of what a trace must not tell.
fn tells_nothing_secret(spans: &[Value], tokens: &[&str]) {
    for span in spans {
        // The collector's own call shows its address and no more.
        let mut told = span.clone();
        told["metadata"] = Value::Null;
        let told = told.to_string();
        for secret in ["canary", "eyJ", "127."].iter().chain(tokens) {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
    }
}

/// A trace that has come to its receiver by the bus, with the span of that.
fn brought_by_bus(collector: &Collector, trace_id: &str) -> Option<(String, Value)> {
    let spans = collector.trace(trace_id);
    let deliver = spans.iter().find(|span| span["name"] == "deliver")?;
    let bus = spans.iter().find(|span| span["name"] == "bus" && is_child(deliver, span))?;
    Some((trace_id.to_owned(), bus.clone()))
}

async fn a_message_is_one_trace_from_edge_to_edge(arrangement: Arrangement) {
    let collector = Collector::start().await;
    let chat = TestChat::builder(arrangement)
        .set("otlp-endpoint", collector.url())
        .set("trace-ratio", "0")
        .set("client-traces-per-second", "1000")
        .set("log-filter", "info,netrox_core=debug")
        .start()
        .await;
    let ada = chat.user("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let path = format!("/v2/threads/{}/messages", bob.id);
    // An edge asks its cores in turn: some messages are stored by another than the one that bob's edge listens to.
    // Now and then one comes from the database, before its hint: it is not followed to its receiver.
    let mut sent = Vec::new();
    let (trace_id, bus) = loop {
        let trace_id = new_trace();
        let json = json!({"message_body": BODY, "client_ref": Uuid::new_v4().to_string()});
        let request = chat.edge_of(&ada).request("POST", &path).bearer(&ada.token);
        let answer = request
            .header("content-type", "application/json")
            .header("traceparent", &parent(&trace_id, "01"))
            .header("tracestate", STATE)
            .body(json.to_string())
            .send()
            .await;
        if answer.status == 503 {
            continue;
        }
        assert_eq!(answer.status, 201, "{answer:?}");
        let http = collector.span(&trace_id, "http", |span| span["name"] == "http").await;
        let span = http["span_id"].as_str().expect("an id");
        let told = format!("00-{trace_id}-{span}-01");
        assert_eq!(answer.header("traceresponse"), Some(&*told), "{answer:?}");
        bob_socket.expect_body(BODY).await;
        sent.push(trace_id);
        if let Some(found) = sent.iter().find_map(|trace_id| brought_by_bus(&collector, trace_id)) {
            break found;
        }
    };
    let found =
        async |name: &str| collector.span(&trace_id, name, |span| span["name"] == name).await;
    let http = found("http").await;
    let write = found("write").await;
    // An edge asks more than once for a request: first, whether the message is there.
    let grpc = collector.span(&trace_id, "the call", |span| is_child(&write, span)).await;
    let deliver = found("deliver").await;
    assert_eq!(http["parent"], CLIENT_SPAN);
    assert!(is_child(&grpc, &http) && is_child(&write, &grpc), "{http}\n{grpc}\n{write}");
    assert!(is_child(&bus, &write) && is_child(&deliver, &bus), "{write}\n{bus}\n{deliver}");
    for (span, kind) in [
        (&http, "SPAN_KIND_SERVER"),
        (&grpc, "SPAN_KIND_SERVER"),
        (&write, "SPAN_KIND_INTERNAL"),
        (&bus, "SPAN_KIND_CONSUMER"),
        (&deliver, "SPAN_KIND_CONSUMER"),
    ] {
        assert_eq!(
            (span["kind"].as_str(), span["trace_state"].as_str()),
            (Some(kind), Some(STATE))
        );
        assert_eq!(span["status"], "STATUS_CODE_UNSET", "{span}");
        assert_eq!(span["resource"]["service.name"], "netrox-chat");
    }
    // The batch is for others, too.
    let linked = write["links"][0]["trace_id"].as_str().expect("a link").to_owned();
    let batch = collector.span(&linked, "batch", |span| span["name"] == "batch").await;
    assert_ne!(linked, trace_id);
    assert!(leads_to(&write, &batch) && leads_to(&batch, &write), "{write}\n{batch}");
    assert_eq!(batch["parent"], "", "{batch}");

    // Four processes took part.
    let of = |span: &Value| {
        let resource = &span["resource"];
        let [role, id] =
            ["netrox.role", "service.instance.id"].map(|key| resource[key].to_string());
        (role, id)
    };
    let processes: BTreeSet<_> = [&http, &grpc, &bus, &deliver].map(of).into();
    assert_eq!(processes.len(), 4, "{processes:?}");
    assert_eq!(of(&write), of(&batch));
    assert_eq!(of(&write), of(&grpc));
    let attributes = &http["attributes"];
    assert_eq!(attributes["netrox.route"], "v2");
    assert_eq!(attributes["http.request.method"], "POST");
    assert_eq!(attributes["http.response.status_code"], 201);
    assert_eq!(grpc["attributes"]["rpc.method"], "SendMessage");
    assert_eq!(deliver["attributes"]["user.id"], bob.id);
    // The name of the request is that of the trace, where its client gives no other.
    for span in [&http, &grpc, &write, &bus] {
        assert_eq!(span["attributes"]["netrox.request_id"], trace_id, "{span}");
    }
    tells_nothing_secret(&collector.spans(), &[&ada.token, &bob.token]);

    // Both cores have lines of it.
    for core in chat.core_roles() {
        let is_of_it = |line: &Value| (line["trace_id"] == trace_id).then_some(());
        chat.log(core).event("a line of the trace", is_of_it).await;
    }
    // What no client asked for is not traced at a ratio of 0.
    let asked = collector.spans();
    let asked = asked.iter().filter(|span| span["parent"] == "");
    assert!(asked.clone().all(|span| span["name"] == "batch"), "{:?}", asked.collect::<Vec<_>>());
}

async fn messages_of_a_socket_are_traces_of_their_own(arrangement: Arrangement) {
    let collector = Collector::start().await;
    let chat = TestChat::builder(arrangement)
        .set("otlp-endpoint", collector.url())
        .set("trace-ratio", "1")
        .start()
        .await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let ada = chat.user("ada").await;
    let opened = new_trace();
    let path = format!("/ws/chat/room/?token={}", ada.token);
    let parent = parent(&opened, "01");
    let headers = [("traceparent", &*parent), ("tracestate", STATE)];
    let mut ada_socket = Socket::open(chat.edge_of(&ada).address, &path, &headers).await;
    let http = collector.span(&opened, "http", |span| span["name"] == "http").await;
    assert_eq!(http["attributes"]["netrox.route"], "websocket");
    assert_eq!(http["attributes"]["http.response.status_code"], 101);
    assert_eq!(http["parent"], CLIENT_SPAN);
    for _ in 0..2 {
        ada_socket.say(&bob, BODY).await;
        bob_socket.expect_body(BODY).await;
    }
    let is_of_ada =
        |span: &Value| span["name"] == "send" && span["attributes"]["user.id"] == ada.id;
    let sends = netrox_harness::eventually("two sends", async || {
        let sends: Vec<_> = collector.spans().into_iter().filter(is_of_ada).collect();
        (sends.len() == 2).then_some(sends)
    })
    .await;
    assert_ne!(sends[0]["trace_id"], sends[1]["trace_id"]);
    for send in &sends {
        assert_eq!(
            (&send["parent"], &send["attributes"]["netrox.kind"]),
            (&json!(""), &json!("message"))
        );
        assert!(leads_to(send, &http), "{send}\n{http}");
        let trace_id = send["trace_id"].as_str().expect("an id");
        let write = collector.span(trace_id, "write", |span| is_child(span, send)).await;
        assert_eq!(write["name"], "write");
        // In a cluster it may come from the database, before its hint.
        if arrangement != Arrangement::Cluster {
            collector.span(trace_id, "deliver", |span| span["name"] == "deliver").await;
        }
        let id = &send["attributes"]["netrox.request_id"];
        assert_eq!(&write["attributes"]["netrox.request_id"], id);
    }
    tells_nothing_secret(&collector.spans(), &[&ada.token, &bob.token]);

    // A service, whose word counts, by a call and by a subscription.
    let core = chat.core_role();
    let mut service = chat.chat_service_of(core);
    let subscription = SubscribeRequest { user_id: bob.id.clone(), ..Default::default() };
    let mut events = service.subscribe(subscription).await.expect("a stream").into_inner();
    events.message().await.expect("a stream").expect("the first response");
    for (flags, is_traced) in [("01", true), ("00", false)] {
        let trace_id = new_trace();
        let mut request = Request::new(SendMessageRequest {
            sender_id: ada.id.clone(),
            receiver_id: bob.id.clone(),
            body: BODY.into(),
            ..Default::default()
        });
        let parent = self::parent(&trace_id, flags).parse().expect("ASCII");
        request.metadata_mut().insert("traceparent", parent);
        service.send_message(request).await.expect("stored");
        let response = events.message().await.expect("a stream").expect("an event");
        let [event] = &response.events[..] else { panic!("{response:?}") };
        assert!(matches!(event.change, Some(Change::Message(_))), "{event:?}");
        let told = event.trace.as_ref().map(|trace| trace.traceparent.clone());
        assert_eq!(told.is_some(), is_traced, "{told:?}");
        if let Some(told) = told {
            let write = collector.span(&trace_id, "write", |span| span["name"] == "write").await;
            let span = write["span_id"].as_str().expect("an id");
            assert_eq!(told, format!("00-{trace_id}-{span}-01"));
            let grpc = collector.span(&trace_id, "grpc", |span| span["name"] == "grpc").await;
            assert!(is_child(&write, &grpc) && grpc["parent"] == CLIENT_SPAN, "{grpc}");
        } else {
            assert_eq!(collector.trace(&trace_id), Vec::<Value>::new());
        }
    }

    // One of each histogram leads to a trace.
    let edges = chat.edge_roles();
    let shown = Metrics::of_all(&chat, &edges).await;
    for metric in ["send_duration", "delivery_duration"] {
        let of_metric = format!("netrox_chat_{metric}_seconds_bucket");
        let exemplars = shown.iter().flat_map(|metrics| &metrics.exemplars);
        let mut exemplars = exemplars.filter(|(series, _)| series.starts_with(&of_metric));
        assert!(exemplars.any(|(_, one)| one.contains(",trace_id=\"")), "{metric}: {shown:?}");
    }
}

async fn a_collector_is_reached_by_tls_and_shown_a_credential(arrangement: Arrangement) {
    let (authority, address) = (Authority::new(), own_address());
    let certificate = authority.issue("collector", address.into());
    let collector = Collector::secured(address, &certificate).await;
    let directory = tempfile::tempdir().expect("a directory");
    let headers = directory.path().join("headers");
    std::fs::write(&headers, "authorization: Bearer of-the-collector\n").expect("written");
    let chat = TestChat::builder(arrangement)
        .set("otlp-endpoint", collector.secured_url())
        .set("otlp-ca-file", authority.certificate())
        .set("otlp-headers-file", &headers)
        .set("trace-ratio", "1")
        .start()
        .await;
    let trace_id = new_trace();
    let request =
        chat.get("/chat/get-user-threads/").header("traceparent", &parent(&trace_id, "01"));
    assert_eq!(request.send().await.status, 401);
    let http = collector.span(&trace_id, "http", |span| span["name"] == "http").await;
    assert_eq!(http["metadata"]["authorization"], "Bearer of-the-collector");
    assert_eq!(http["resource"]["netrox.role"], "serve");
}

async fn what_is_not_traced_leaves_nothing(arrangement: Arrangement) {
    let collector = Collector::start().await;
    let mut chat = TestChat::builder(arrangement)
        .set("otlp-endpoint", collector.url())
        .set("trace-ratio", "0")
        .set("client-traces-per-second", "1")
        .start()
        .await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (_, mut ada_socket) = chat.join("ada").await;
    ada_socket.say(&bob, BODY).await;
    bob_socket.expect_body(BODY).await;
    // Of many that ask few are granted, and one that says no is not traced.
    let mut asked = 0;
    for number in 0..40 {
        let (trace_id, flags) = (new_trace(), if number % 2 == 0 { "01" } else { "00" });
        let request = chat.get("/nowhere").header("traceparent", &parent(&trace_id, flags));
        let answer = request.send().await;
        assert_eq!(answer.status, 404);
        let is_traced = answer.header("traceresponse").is_some();
        assert!(!is_traced || flags == "01", "{answer:?}");
        asked += usize::from(is_traced);
    }
    assert!((1..20).contains(&asked), "{asked}");
    for role in [Role::Edge(0), Role::Core(0)] {
        assert_eq!(chat.terminate(role).await.code(), Some(0));
    }
    // What was left was sent at the end.
    netrox_harness::eventually("the spans", async || {
        (collector.spans().len() >= asked).then_some(())
    })
    .await;
    let spans = collector.spans();
    assert_eq!(spans.len(), asked, "{spans:?}");
    assert!(spans.iter().all(|span| span["name"] == "http"), "{spans:?}");
}
