//! Metrics and health, as those see them who watch the processes.

mod described;
mod prometheus;

use futures_util::future::join_all;
use netrox_harness::{
    Arrangement, Edge, Engine, Role, TestChat,
    alarms::Before,
    each,
    engine::{NatsServer, PostgresServer},
    eventually,
    grpc::Credential,
    scrape::{Metrics, sum},
};
use netrox_proto::v1::{GetUsersRequest, directory_service_client::DirectoryServiceClient};
use tokio::{
    io::{AsyncWriteExt as _, copy, sink},
    net::TcpStream,
    select,
};
use tonic::Code;

each![
    what_happens_is_seen_in_the_metrics;
    serve: a_process_without_a_moment_to_spare_is_told_of;
    cluster: a_core_whose_database_is_away_lives_and_is_not_ready,
    each_metric_is_described_and_nothing_else_is
];

async fn each_metric_is_described_and_nothing_else_is(arrangement: Arrangement) {
    described::each_metric_is_described_and_nothing_else_is(arrangement).await;
}

/// Counted a moment after it was seen.
async fn comes_to(chat: &TestChat, roles: &[Role], series: &str, expected: f64) {
    eventually(&format!("{series} of {expected}"), || async {
        (sum(&Metrics::of_all(chat, roles).await, series) == expected).then_some(())
    })
    .await;
}

async fn what_happens_is_seen_in_the_metrics(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (cores, edges) = (chat.core_roles(), chat.edge_roles());
    let version = env!("CARGO_PKG_VERSION");
    for role in chat.roles() {
        let word = match role {
            Role::Serve => "serve",
            Role::Core(_) => "core",
            Role::Edge(_) => "edge",
        };
        let metrics = [Metrics::of(chat.admin(role)).await];
        let build = format!("build_info{{version=\"{version}\",role=\"{word}\"}}");
        assert_eq!(sum(&metrics, &build), 1.0, "{metrics:?}");
        for path in ["/healthz", "/readyz"] {
            eventually(&format!("{path} of {role:?}"), || async {
                (chat.admin(role).get(path).send().await.status == 200).then_some(())
            })
            .await;
        }
    }
    let before = Metrics::of_all(&chat, &cores).await;
    assert_eq!(sum(&before, "messages_stored_total"), 0.0);
    for part in ["database", "files"] {
        comes_to(&chat, &cores, &format!("serving{{part=\"{part}\"}}"), cores.len() as f64).await;
    }

    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for body in ["one", "two", "three"] {
        ada_socket.say(&bob, body).await;
        bob_socket.expect_body(body).await;
    }
    comes_to(&chat, &cores, "messages_stored_total", 3.0).await;
    comes_to(&chat, &cores, "writes_waiting", 0.0).await;
    comes_to(&chat, &edges, "sockets_open{generation=\"v1\"}", 2.0).await;
    let after = Metrics::of_all(&chat, &cores).await;
    let commits = sum(&after, "commit_duration_seconds_count");
    assert!(commits > sum(&before, "commit_duration_seconds_count"), "{after:?}");
    assert!(sum(&after, "commit_duration_seconds_sum") > 0.0, "{after:?}");
    assert_eq!(sum(&after, "commit_duration_seconds_bucket{le=\"+Inf\"}"), commits);
    assert_eq!(sum(&after, "commit_writes_count"), commits);
    assert!(sum(&after, "commit_writes_sum") >= commits + 0.0, "{after:?}");

    comes_to(&chat, &edges, "sends_total{kind=\"message\"}", 3.0).await;
    comes_to(&chat, &edges, "send_duration_seconds_count", 3.0).await;
    comes_to(&chat, &edges, "deliveries_total{generation=\"v1\"}", 3.0).await;
    comes_to(&chat, &edges, "delivery_duration_seconds_count", 3.0).await;
    comes_to(&chat, &cores, "events_sent_total", 3.0).await;
    comes_to(&chat, &cores, "streams_open{stream=\"subscribe\"}", 2.0).await;
    let shown = Metrics::of_all(&chat, &edges).await;
    for (metric, label) in
        [("send_duration", "{request_id=\""), ("delivery_duration", "{message_id=\"")]
    {
        let of_metric = format!("netrox_chat_{metric}_seconds_bucket");
        let exemplars = shown.iter().flat_map(|metrics| &metrics.exemplars);
        let mut exemplars = exemplars.filter(|(series, _)| series.starts_with(&of_metric));
        assert!(exemplars.any(|(_, exemplar)| exemplar.starts_with(label)), "{shown:?}");
    }

    ada_socket.send_text("no JSON").await;
    ada_socket.expect_error("invalid_json").await;
    let unknown = chat.stranger("carol");
    assert_eq!(chat.get("/chat/get-user-threads/").send().await.status, 401);
    ada_socket.say(&unknown, "hello").await;
    ada_socket.expect_error("invalid_receiver").await;
    for (over, reason) in
        [("websocket", "invalid_json"), ("websocket", "invalid_receiver"), ("http", "unauthorized")]
    {
        let series = format!("refusals_total{{over=\"{over}\",reason=\"{reason}\"}}");
        comes_to(&chat, &edges, &series, 1.0).await;
    }
    let refused = "access_tokens_refused_total{reason=\"no_token\"}";
    comes_to(&chat, &edges, refused, 1.0).await;
    ada_socket.close().await;
    // A close frame without a code.
    let closed = "socket_closes_total{by=\"client\",code=\"1005\",reason=\"\"}";
    comes_to(&chat, &edges, closed, 1.0).await;
    comes_to(&chat, &edges, "sockets_open{generation=\"v1\"}", 1.0).await;
    drop(bob_socket);
    let broken = "socket_closes_total{by=\"nobody\",code=\"1006\",reason=\"\"}";
    comes_to(&chat, &edges, broken, 1.0).await;
    // Nobody is there who could be given it.
    let mut ada_socket = chat.connect(&ada).await;
    ada_socket.say(&bob, "four").await;
    comes_to(&chat, &edges, "sends_total{kind=\"message\"}", 4.0).await;
    let shown = Metrics::of_all(&chat, &edges).await;
    assert_eq!(sum(&shown, "deliveries_total{generation=\"v1\"}"), 3.0, "{shown:?}");
    assert_eq!(sum(&shown, "delivery_duration_seconds_count"), 3.0, "{shown:?}");
}

async fn a_core_whose_database_is_away_lives_and_is_not_ready(arrangement: Arrangement) {
    let (mut postgres, mut nats) = tokio::join!(PostgresServer::start(), NatsServer::start());
    let chat = TestChat::builder(arrangement)
        .engine(Engine::Postgres, postgres.server())
        .engine(Engine::Nats, nats.server());
    let chat = chat.start().await;
    comes_to(&chat, &chat.core_roles(), "bus_connected", 2.0).await;
    let (ada, _) = chat.join("ada").await;
    let before = Before::of(&chat).await;
    for _ in 0..100 {
        let refused = chat.get("/chat/get-user-threads/").bearer("no.jwt.token").send().await;
        assert_eq!(refused.status, 401);
    }
    let unknown = Credential::new("one that no core has");
    let mut directory = DirectoryServiceClient::with_interceptor(chat.channel(), unknown);
    for _ in 0..3 {
        let refused = directory.get_users(GetUsersRequest::default()).await.expect_err("refused");
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    before.alarms_if_it_goes_on(&chat, &[], &["TokensAreRefused", "ServiceTokenIsRefused"]).await;
    let told = async |line: &str| {
        let is_told = || chat.core_roles().iter().any(|core| chat.log(*core).contains(line));
        eventually(line, async || is_told().then_some(())).await;
    };
    told("is refused, which needs a service token and shows").await;
    let is = async |role: Role, status: u16, word: &str| {
        eventually(&format!("{status} {word} of {role:?}"), || async {
            let answer = chat.admin(role).get("/readyz").send().await;
            (answer.status == status && answer.text() == format!("{word}\n")).then_some(())
        })
        .await;
        assert_eq!(chat.admin(role).get("/healthz").send().await.status, 200);
    };
    postgres.stop_immediately().await;
    for role in chat.core_roles() {
        is(role, 503, "database").await;
        comes_to(&chat, &[role], "serving{part=\"database\"}", 0.0).await;
    }
    for role in chat.edge_roles() {
        is(role, 503, "not_serving").await;
    }
    nats.kill();
    comes_to(&chat, &chat.core_roles(), "bus_connected", 0.0).await;
    let refused = chat.get("/chat/get-user-threads/").bearer(&ada.token).send().await;
    assert_eq!(refused.status, 503, "{refused:?}");
    before
        .alarms_if_it_goes_on(&chat, &[], &["CoreTakesNoWrites", "UsersAreRefused", "BusIsGone"])
        .await;
    told("the database does not take writes").await;
    told("disconnected").await;
    nats.start_again().await;
    postgres.start_again().await;
    comes_to(&chat, &chat.core_roles(), "bus_connected", 2.0).await;
    comes_to(&chat, &chat.core_roles(), "bus_connections_total", 4.0).await;
    for role in chat.roles() {
        is(role, 200, "ready").await;
    }
}

/// One worker, and more to do than it can.
async fn a_process_without_a_moment_to_spare_is_told_of(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .variable(Role::Serve, "TOKIO_WORKER_THREADS", "1")
        .set("send-rate", "0")
        .set("max-history-reads-per-user", "100")
        .start()
        .await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let body = "\"".repeat(16_000);
    for _ in 0..60 {
        at_ada.say(&bob, &body).await;
        at_bob.expect_body(&body).await;
    }
    let before = Before::of(&chat).await;
    let path = format!("/chat/messages/{}/", ada.id);
    // More than one processor of theirs and of the process can do.
    let readers = join_all((0..32).map(|_| reads_on(chat.edge(), &path, &bob.token)));
    select! {
        _ = readers => {}
        () = before.alarms_at_its_pace(&chat, &["RuntimeIsBusy"]) => {}
    }
}

/// Asks again and again, and drops the answers. Does not end.
async fn reads_on(edge: Edge, path: &str, token: &str) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    loop {
        let mut stream = TcpStream::connect(edge.address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("written");
        copy(&mut stream, &mut sink()).await.expect("an answer");
    }
}
