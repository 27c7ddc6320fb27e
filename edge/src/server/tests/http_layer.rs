//! What the HTTP layer makes of requests, and how long it waits for them.

use std::time::Duration;

use http::{HeaderValue, Method};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    config::{Config, CorsAllowOrigin, Limits},
    stub_core::config,
    stub_edge::{ALICE, StubEdge, bearer},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_secs(1);

/// A request of somebody.
fn get() -> Vec<u8> {
    let alice = bearer(ALICE);
    let head = "GET /chat/get-user-threads HTTP/1.1\r\nhost: edge\r\nauthorization:";
    format!("{head} {alice}\r\n\r\n").into_bytes()
}

/// A connection on which one request was answered.
async fn used(edge: &StubEdge) -> TcpStream {
    let mut stream = TcpStream::connect(edge.address).await.expect("a connection");
    ask(&mut stream, &get()).await;
    stream
}

async fn ask(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    // Whole, or in chunks.
    while !answer.ends_with(b"\"success\":true}") && !answer.ends_with(b"\r\n0\r\n\r\n") {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("an answer");
        assert_ne!(read.expect("an answer"), 0, "{}", String::from_utf8_lossy(&answer));
    }
}

async fn assert_closed(stream: &mut TcpStream) {
    let end = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("the end");
    assert_eq!(end.expect("no reset"), 0);
}

#[tokio::test]
async fn a_connection_rests_for_longer_than_a_head_may_take() {
    let edge = StubEdge::with_limits(|limits| {
        limits.handshake_timeout = SHORT;
        limits.keep_alive_timeout = LONG;
    })
    .await;
    let mut stream = used(&edge).await;
    let end = timeout(3 * SHORT, stream.read(&mut [0; 1])).await;
    assert!(end.is_err(), "{end:?}");
    ask(&mut stream, &get()).await;
    // A head that has begun has no more time than the first.
    stream.write_all(&get()[..10]).await.expect("sent");
    assert_closed(&mut stream).await;
    let mut fresh = TcpStream::connect(edge.address).await.expect("a connection");
    assert_closed(&mut fresh).await;
}

#[tokio::test]
async fn who_has_shown_no_token_does_not_rest_for_long() {
    let edge = StubEdge::with_limits(|limits| {
        limits.handshake_timeout = SHORT;
        limits.keep_alive_timeout = LONG;
    })
    .await;
    let mut stream = TcpStream::connect(edge.address).await.expect("a connection");
    ask(&mut stream, b"GET /healthz HTTP/1.1\r\nhost: edge\r\n\r\n").await;
    assert_closed(&mut stream).await;
}

#[tokio::test]
async fn a_connection_does_not_rest_for_ever() {
    let edge = StubEdge::with_limits(|limits| {
        limits.handshake_timeout = LONG;
        limits.keep_alive_timeout = SHORT;
    })
    .await;
    assert_closed(&mut used(&edge).await).await;
}

#[tokio::test]
async fn a_body_is_chunked_once_or_not_at_all() {
    let edge = StubEdge::start().await;
    for (codings, status) in [
        ("Transfer-Encoding: chunked\r\n", "404"),
        ("Transfer-Encoding:  CHUNKED \r\n", "404"),
        ("Transfer-Encoding: gzip, chunked\r\n", "501"),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "501"),
        ("Transfer-Encoding: identity, chunked\r\n", "501"),
        ("Transfer-Encoding: chunked, chunked\r\n", "400"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400"),
        ("Transfer-Encoding: ,chunked\r\n", "400"),
    ] {
        let close = if status == "404" { "connection: close\r\n" } else { "" };
        let request = format!("POST /nowhere HTTP/1.1\r\nhost: a\r\n{codings}{close}\r\n0\r\n\r\n");
        let answer = edge.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{codings}: {answer}");
        assert!(answer.contains(r#""entity":null"#), "{answer}");
    }
}

#[tokio::test]
async fn a_host_is_a_host() {
    let edge = StubEdge::start().await;
    for (host, status) in [
        ("a", "200"),
        ("", "200"),
        ("[::1]:8080", "200"),
        ("a b", "400"),
        ("a/c", "400"),
        ("c@d", "400"),
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nconnection: close\r\n\r\n");
        let answer = edge.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host:?}: {answer}");
    }
}

#[tokio::test]
async fn options_are_those_of_a_route() {
    let origins = vec![HeaderValue::from_static("https://a.example")];
    let cors_allow_origin = CorsAllowOrigin::List(origins);
    let config = Config { cors_allow_origin, ..config(Limits::default()) };
    let edge = StubEdge::with(config).await;
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "GET")];
    let media = "/mediafiles/attachments/2024/06/17/x";
    for path in ["/chat/get-user-threads/", "/chat/messages/x", media] {
        let answer = edge.request(Method::OPTIONS, path, &preflight, "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.headers["access-control-allow-origin"], "https://a.example");
        // No preflight, but a method that there is not.
        for headers in [&[][..], &preflight[..1], &preflight[1..]] {
            let answer = edge.request(Method::OPTIONS, path, headers, "").await;
            answer.assert_refused(405, "Method not allowed");
            assert!(answer.headers.contains_key("allow"), "{path}");
        }
    }
    for headers in [&[][..], &preflight] {
        let answer = edge.request(Method::OPTIONS, "/nowhere", headers, "").await;
        answer.assert_refused(404, "Not found");
    }
    // What a page may not do it can still read of.
    let answer = edge.get("/nowhere", &preflight[..1]).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "https://a.example");
}
