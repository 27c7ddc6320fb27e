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
    world.get("/readyz", &[]).await.assert_refused(503, "Temporarily unavailable, try again");
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
    let world =
        World::with_limits(|limits| limits.handshake_timeout = Duration::from_millis(100)).await;
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
