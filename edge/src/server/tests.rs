//! The HTTP socket from outside: requests over real connections to an edge whose core is a stub.

mod http_layer;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use http::Method;
use http_body_util::BodyExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use netrox_proto::v1::{ListThreadsResponse, Thread};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use crate::{
    config::{AddressRate, Config, KeySource, Limits, Proxies},
    stub_core::config,
    stub_edge::{ALICE, StubEdge, bearer},
    unused_address::unused_address,
};

const PRIVATE_KEY: &[u8] = include_bytes!("../auth/keys/rsa.pem");

#[tokio::test]
async fn health_tells_life_and_readiness() {
    let edge = StubEdge::start().await;
    let healthy = r#"{"status":"success","entity":null,"message":null,"success":true}"#;
    for path in ["/healthz", "/healthz/", "/readyz", "/readyz/"] {
        let answer = edge.get(path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, healthy), "{path}");
    }
    edge.core.state().is_unhealthy = true;
    assert_eq!(edge.get("/healthz", &[]).await.status, 200);
    edge.get("/readyz", &[]).await.assert_refused(503, "not_serving");
}

#[tokio::test]
async fn a_request_has_one_host() {
    let edge = StubEdge::start().await;
    for (host, status) in [
        ("Host: a\r\n", "200"),
        ("", "400"),
        ("Host: a\r\nHost: a\r\n", "400"),
        ("Host: a\r\nhost: b\r\n", "400"),
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        let answer = edge.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(r#""entity":null"#), "{answer}");
    }
    let answer = edge.raw(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

/// Of clients behind a proxy, whose address may have one request that leads nowhere, in an hour.
fn behind_a_proxy() -> Config {
    let limits = Limits {
        unauthenticated_requests_per_address: Some(AddressRate {
            count: 1,
            period: Duration::from_secs(3_600),
        }),
        ..Limits::default()
    };
    let trusted = "127.0.0.0/8".parse().expect("a network");
    Config { proxies: Proxies { trusted, ..Proxies::default() }, ..config(limits) }
}

#[tokio::test]
async fn where_the_next_request_begins_is_not_known_beyond_a_limit_either() {
    let edge = StubEdge::with(behind_a_proxy()).await;
    // The rest is no request.
    let rest = "0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    for status in ["400", "429", "429"] {
        let request = format!(
            "POST /v2/me HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 198.51.100.7\r\n\
             transfer-encoding: chunked, chunked\r\n\r\n{rest}"
        );
        let answer = edge.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_token_of_a_key_that_nobody_knows_counts_though_nobody_can_tell() {
    let mut config = behind_a_proxy();
    let url = format!("http://{}/keys", unused_address());
    config.jwt.issuers[0].keys = vec![KeySource::Url(url)];
    let edge = StubEdge::with(config).await;
    let key = EncodingKey::from_rsa_pem(PRIVATE_KEY).expect("a key");
    let ask = async |number: u32| {
        let header = Header { kid: Some(number.to_string()), ..Header::new(Algorithm::RS256) };
        let claims = json!({"exp": 9_999_999_999_i64, "user_id": ALICE});
        let token = encode(&header, &claims, &key).expect("a token");
        let bearer = format!("Bearer {token}");
        let from = ("x-forwarded-for", "198.51.100.7");
        edge.get("/v2/me", &[("authorization", &*bearer), from]).await.status.as_u16()
    };
    assert_eq!((ask(1).await, ask(2).await, ask(3).await), (503, 429, 429));
}

/// What is read of a body for nothing at most, and of who has shown no token.
const KNOWN_BYTES: usize = 64 * 1024 * 1024;
const STRANGER_BYTES: usize = 8 * 1024 * 1024;
/// On the way between the two ends.
const KERNEL_BYTES: usize = 24 * 1024 * 1024;

/// Sends a body without end; gives how much was taken before the connection was closed.
async fn flood(edge: &StubEdge, head: &str) -> usize {
    let mut stream = TcpStream::connect(edge.address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (mut reader, mut writer) = stream.split();
    let mut taken = 0;
    let write = async {
        let chunk = [b'x'; 64 * 1024];
        while taken < 256 * 1024 * 1024 {
            match writer.write(&chunk).await {
                Ok(bytes) => taken += bytes,
                Err(_) => break,
            }
        }
    };
    let read = async {
        let mut answer = Vec::new();
        // Ends with a reset.
        let _ = reader.read_to_end(&mut answer).await;
    };
    tokio::join!(write, read);
    taken
}

#[tokio::test]
async fn little_is_read_of_a_body_that_nobody_asked_for() {
    let edge = StubEdge::start().await;
    let alice = bearer(ALICE);
    let length = 1_u64 << 40;
    for (head, token, most) in [
        ("POST /chat/chat-attachment/", String::new(), STRANGER_BYTES),
        ("POST /nowhere", String::new(), STRANGER_BYTES),
        ("PUT /chat/get-user-threads/", String::new(), STRANGER_BYTES),
        ("POST /chat/chat-attachment/", format!("authorization: {alice}\r\n"), KNOWN_BYTES),
    ] {
        let head = format!("{head} HTTP/1.1\r\n{token}host: a\r\ncontent-length: {length}\r\n\r\n");
        let taken = flood(&edge, &head).await;
        // What the kernel buffers is counted too.
        assert!(taken < most + KERNEL_BYTES, "{taken} bytes of {head}");
    }
}

#[tokio::test]
async fn the_oldest_connections_without_a_user_make_room() {
    // Both ends of each connection are of this process.
    rlimit::increase_nofile_limit(4_096).expect("enough open files");
    let edge = StubEdge::start().await;
    let alice = bearer(ALICE);
    let mut known = TcpStream::connect(edge.address).await.expect("a connection");
    let request =
        format!("GET /chat/get-user-threads HTTP/1.1\r\nhost: a\r\nauthorization: {alice}\r\n\r\n");
    let mut start = [0; 15];
    known.write_all(request.as_bytes()).await.expect("sent");
    known.read_exact(&mut start).await.expect("an answer");
    let mut first = TcpStream::connect(edge.address).await.expect("a connection");
    let mut others = Vec::new();
    for _ in 0..1_000 {
        others.push(TcpStream::connect(edge.address).await.expect("a connection"));
    }
    let mut end = [0; 1];
    let read = first.read(&mut end).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    known.write_all(request.as_bytes()).await.expect("open");
    assert_ne!(known.read(&mut end).await.expect("open"), 0);
}

/// A thread list that goes on when it is told to.
fn list_slowly(edge: &StubEdge, go_on: Arc<Notify>) {
    edge.core.state().threads = Some(Box::new(move |_| {
        let go_on = Arc::clone(&go_on);
        let first = ListThreadsResponse { threads: vec![Thread::default()], ..Default::default() };
        let second = first.clone();
        let rest = stream::once(async move {
            go_on.notified().await;
            Ok(second)
        });
        Ok(stream::iter([Ok(first)]).chain(rest).boxed())
    }));
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let edge = StubEdge::start().await;
    let go_on = Arc::new(Notify::new());
    list_slowly(&edge, Arc::clone(&go_on));
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str())];
    let response = edge.start_request(Method::GET, "/chat/get-user-threads", &headers, "").await;
    // One connection between two requests, and one before its first.
    let mut idle = TcpStream::connect(edge.address).await.expect("a connection");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: edge\r\n\r\n").await.expect("sent");
    let mut start = [0; 15];
    idle.read_exact(&mut start).await.expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    let mut fresh = TcpStream::connect(edge.address).await.expect("a connection");
    // The fresh one is accepted by now: connections are accepted in order.
    assert_eq!(edge.get("/healthz", &[]).await.status, 200);

    edge.shutdown.cancel();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.expect("closed in good order");
    let closed = fresh.read_to_end(&mut rest).await;
    assert!(closed.is_ok_and(|bytes| bytes == 0));
    while TcpStream::connect(edge.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!edge.served.is_finished());

    go_on.notify_one();
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["entity"].as_array().map(Vec::len), Some(2));
    edge.served.await.expect("drained");
}

#[tokio::test]
async fn a_drain_that_takes_too_long_is_ended() {
    let edge =
        StubEdge::with_limits(|limits| limits.drain_timeout = Duration::from_millis(100)).await;
    list_slowly(&edge, Arc::new(Notify::new()));
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str())];
    let response = edge.start_request(Method::GET, "/chat/get-user-threads", &headers, "").await;
    edge.shutdown.cancel();
    edge.served.await.expect("ended");
    response.into_body().collect().await.expect_err("an aborted body");
}
