use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use http::{HeaderValue, Method};
use http_body_util::BodyExt;
use netrox_edge::config::CorsAllowOrigin;
use netrox_proto::v1::{ListThreadsResponse, Thread};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use crate::world::{ALICE, World, bearer, config};

#[tokio::test]
async fn health_tells_life_and_readiness() {
    let world = World::start().await;
    let healthy = r#"{"status":"success","entity":null,"message":null,"success":true}"#;
    for path in ["/healthz", "/healthz/", "/readyz", "/readyz/"] {
        let answer = world.get(path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, healthy), "{path}");
    }
    world.core.state().is_healthy = false;
    assert_eq!(world.get("/healthz", &[]).await.status, 200);
    world.get("/readyz", &[]).await.assert_refused(503, "not_serving");
}

#[tokio::test]
async fn a_request_head_has_at_most_16_kibibytes() {
    let world = World::start().await;
    let request = |pad: usize| {
        let pad = "x".repeat(pad);
        format!("GET /healthz HTTP/1.1\r\nhost: edge\r\nconnection: close\r\nx-pad: {pad}\r\n\r\n")
    };
    let answer = world.raw(request(15_000).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = world.raw(request(16_500).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_request_head_that_does_not_come_is_given_up() {
    let world = World::with_limits(|limits| {
        limits.handshake_timeout = Duration::from_millis(100);
        limits.keep_alive_timeout = Duration::from_millis(100);
    })
    .await;
    for start in [
        &b""[..],
        b"GET /healthz HTTP/1.1\r\nhost: e",
        b"GET /healthz HTTP/1.1\r\nhost: edge\r\n\r\n",
    ] {
        // Closed by the server, with or without words.
        world.raw(start).await;
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let world = World::start().await;
    let answer = world.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_request_has_one_host() {
    let world = World::start().await;
    for (host, status) in [
        ("Host: a\r\n", "200"),
        ("", "400"),
        ("Host: a\r\nHost: a\r\n", "400"),
        ("Host: a\r\nhost: b\r\n", "400"),
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        let answer = world.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(r#""entity":null"#), "{answer}");
    }
    let answer = world.raw(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

/// Sends a body without end; gives how much was taken before the connection was closed.
async fn flood(world: &World, head: &str) -> usize {
    let mut stream = TcpStream::connect(world.address).await.expect("a connection");
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
    let world = World::start().await;
    let alice = bearer(ALICE);
    let length = 1_u64 << 40;
    for head in [
        "POST /chat/chat-attachment/".to_owned(),
        "POST /nowhere".to_owned(),
        "PUT /chat/get-user-threads/".to_owned(),
        format!("POST /chat/chat-attachment/ HTTP/1.1\r\nauthorization: {alice}"),
    ] {
        let version = if head.contains("HTTP/1.1") { "" } else { " HTTP/1.1" };
        let head = format!("{head}{version}\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        let taken = flood(&world, &head).await;
        // What the kernel buffers is counted too.
        assert!(taken < 32 * 1024 * 1024, "{taken} bytes of {head}");
    }
}

#[tokio::test]
async fn the_oldest_connections_without_a_user_make_room() {
    // Both ends of each connection are of this process.
    rlimit::increase_nofile_limit(4_096).expect("enough open files");
    let world = World::start().await;
    let alice = bearer(ALICE);
    let mut known = TcpStream::connect(world.address).await.expect("a connection");
    let request =
        format!("GET /chat/get-user-threads HTTP/1.1\r\nhost: a\r\nauthorization: {alice}\r\n\r\n");
    let mut start = [0; 15];
    known.write_all(request.as_bytes()).await.expect("sent");
    known.read_exact(&mut start).await.expect("an answer");
    let mut first = TcpStream::connect(world.address).await.expect("a connection");
    let mut others = Vec::new();
    for _ in 0..1_000 {
        others.push(TcpStream::connect(world.address).await.expect("a connection"));
    }
    let mut end = [0; 1];
    let read = first.read(&mut end).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    known.write_all(request.as_bytes()).await.expect("open");
    assert_ne!(known.read(&mut end).await.expect("open"), 0);
}

#[tokio::test]
async fn browsers_may_call_from_the_configured_origins_only() {
    let mut config = config();
    config.cors_allow_origin =
        CorsAllowOrigin::List(vec![HeaderValue::from_static("https://chat.example")]);
    let world = World::with(config).await;
    let preflight = |origin| {
        [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ]
    };
    let path = "/chat/chat-attachment/";
    let good = world.request(Method::OPTIONS, path, &preflight("https://chat.example"), "").await;
    assert_eq!(good.status, 200);
    assert_eq!(good.headers["access-control-allow-origin"], "https://chat.example");
    let allowed = good.headers["access-control-allow-headers"].to_str().expect("ASCII");
    assert!(allowed.contains("authorization"), "{allowed}");
    let bad = world.request(Method::OPTIONS, path, &preflight("https://evil.example"), "").await;
    assert!(!bad.headers.contains_key("access-control-allow-origin"));

    // A refusal can be read by the page too.
    let refused = world.get("/chat/get-user-threads", &[("origin", "https://chat.example")]).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.headers["access-control-allow-origin"], "https://chat.example");

    let world = World::start().await;
    let answer = world.get("/healthz", &[("origin", "https://chat.example")]).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

/// A thread list that goes on when it is told to.
fn list_slowly(world: &World, go_on: Arc<Notify>) {
    world.core.state().list_threads = Arc::new(move |_| {
        let go_on = Arc::clone(&go_on);
        let first = ListThreadsResponse { threads: vec![Thread::default()] };
        let second = first.clone();
        let rest = stream::once(async move {
            go_on.notified().await;
            Ok(second)
        });
        Ok(stream::iter([Ok(first)]).chain(rest).boxed())
    });
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let world = World::start().await;
    let go_on = Arc::new(Notify::new());
    list_slowly(&world, Arc::clone(&go_on));
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str())];
    let response = world.start_request(Method::GET, "/chat/get-user-threads", &headers, "").await;
    // One connection between two requests, and one before its first.
    let mut idle = TcpStream::connect(world.address).await.expect("a connection");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: edge\r\n\r\n").await.expect("sent");
    let mut start = [0; 15];
    idle.read_exact(&mut start).await.expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    let mut fresh = TcpStream::connect(world.address).await.expect("a connection");
    // The fresh one is accepted by now: connections are accepted in order.
    assert_eq!(world.get("/healthz", &[]).await.status, 200);

    world.shutdown.cancel();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.expect("closed in good order");
    let closed = fresh.read_to_end(&mut rest).await;
    assert!(closed.is_ok_and(|bytes| bytes == 0));
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!world.served.is_finished());

    go_on.notify_one();
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["entity"].as_array().map(Vec::len), Some(2));
    world.served.await.expect("drained");
}

#[tokio::test]
async fn a_drain_that_takes_too_long_is_ended() {
    let world =
        World::with_limits(|limits| limits.drain_timeout = Duration::from_millis(100)).await;
    list_slowly(&world, Arc::new(Notify::new()));
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str())];
    let response = world.start_request(Method::GET, "/chat/get-user-threads", &headers, "").await;
    world.shutdown.cancel();
    world.served.await.expect("ended");
    response.into_body().collect().await.expect_err("an aborted body");
}
