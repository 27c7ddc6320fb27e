//! Handshakes over loopback, as clients do them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt, future::join_all};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message, client::IntoClientRequest, handshake::client::Response,
        protocol::frame::coding::CloseCode,
    },
};

use crate::{
    config::{AllowedOrigins, Config, Limits},
    logs::Logs,
    stub_core::{SECRET, config, user},
    stub_edge::StubEdge,
    ws::handshake::{MAX_SHOWN_ORIGIN_BYTES, shortened},
};

mod second;

const BOB: u128 = 2;
const LINE_END: &str = "\r\n";

fn token(number: u128, lifetime: i64) -> String {
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time");
    let claims = json!({"user_id": user(number).to_string(), "exp": now + lifetime});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("a token")
}

type Socket = WebSocketStream<TcpStream>;

impl StubEdge {
    async fn connect_to(&self, path: &str) -> Result<(Socket, Response), Error> {
        let request = format!("ws://{}{path}", self.address).into_client_request()?;
        client_async(request, TcpStream::connect(self.address).await?).await
    }

    async fn connect(&self, number: u128) -> Result<Socket, Error> {
        let path = format!("/ws/chat/room/?token={}", token(number, 60));
        self.connect_to(&path).await.map(|(socket, _)| socket)
    }

    /// The answer to a request that is written as it stands, without its body.
    async fn answer(&self, head: &[&str]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let head = head.join(LINE_END);
        let request = format!(
            "{head}{LINE_END}Host: edge{LINE_END}Connection: close, Upgrade{LINE_END}{LINE_END}"
        );
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut answer = Vec::new();
        // Frames, if any, come after the head.
        while stream.read_buf(&mut answer).await.expect("an answer") > 0
            && !(answer.starts_with(b"HTTP/1.1 101") && answer.ends_with(b"\r\n\r\n"))
        {}
        String::from_utf8(answer).expect("text")
    }
}

#[track_caller]
fn assert_refused(result: Result<(Socket, Response), Error>, status: u16) -> http::HeaderMap {
    match result {
        Err(Error::Http(response)) => {
            assert_eq!(response.status(), status);
            response.headers().clone()
        }
        other => panic!("not refused: {other:?}"),
    }
}

async fn frame(socket: &mut Socket) -> Message {
    let next = tokio::time::timeout(Duration::from_secs(30), socket.next());
    next.await.expect("a frame in time").expect("an open connection").expect("a frame")
}

#[tokio::test]
async fn both_spellings_of_the_path_lead_to_a_session_that_misses_nothing() {
    let edge = StubEdge::with(config(Limits::default())).await;
    for (number, path) in [(2, "/ws/chat/room/"), (3, "/ws/chat/room")] {
        let path = format!("{path}?x=1&token={}", token(number, 60));
        let (mut socket, response) = edge.connect_to(&path).await.expect("a session");
        assert_eq!(response.status(), 101);
        edge.core.deliver(user(1), user(number), &["hello"]);
        let Message::Text(text) = frame(&mut socket).await else { panic!("not text") };
        assert!(text.contains("hello"), "{text}");
    }
}

#[tokio::test]
async fn extensions_and_subprotocols_are_not_negotiated() {
    let edge = StubEdge::with(config(Limits::default())).await;
    let answer = edge
        .answer(&[
            &format!("GET /ws/chat/room/?token={} HTTP/1.1", token(BOB, 60)),
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Extensions: permessage-deflate",
            "Sec-WebSocket-Protocol: chat",
            "Origin: https://elsewhere.example",
        ])
        .await;
    let answer = answer.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    assert!(!answer.contains("extensions") && !answer.contains("protocol:"), "{answer}");
}

#[tokio::test]
async fn without_a_good_token_it_is_401_whatever_else_is_wrong() {
    let edge = StubEdge::with(config(Limits { max_connections: 0, ..Limits::default() })).await;
    edge.core.change(|state| state.is_down = true);
    let expired = token(BOB, -60);
    for query in ["", "?token=", "?token=x", &format!("?token={expired}")] {
        let path = format!("/ws/chat/room/{query}");
        let headers = assert_refused(edge.connect_to(&path).await, 401);
        assert_eq!(headers["www-authenticate"], "Bearer");
    }
    let answer = edge.answer(&["GET /ws/chat/room/ HTTP/1.1"]).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains(r#"{"status":"failure","entity":null,"#), "{answer}");
}

#[tokio::test]
async fn what_is_no_handshake_is_told_so() {
    let logs = Logs::capture();
    let edge = StubEdge::with(config(Limits::default())).await;
    let target =
        |method: &str| format!("{method} /ws/chat/room/?token={} HTTP/1.1", token(BOB, 60));
    let version = "Sec-WebSocket-Version: 13";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for (method, headers, status, header) in [
        ("GET", vec![], "426", "upgrade: websocket"),
        ("GET", vec!["Upgrade: h2c", version, key], "426", "upgrade: websocket"),
        ("GET", vec!["Upgrade: websocket", key], "426", "sec-websocket-version: 13"),
        (
            "GET",
            vec!["Upgrade: websocket", "Sec-WebSocket-Version: 8", key],
            "426",
            "sec-websocket-version: 13",
        ),
        ("GET", vec!["Upgrade: websocket", version], "400", "failure"),
        ("GET", vec!["Upgrade: websocket", version, "Sec-WebSocket-Key: x"], "400", "failure"),
        ("POST", vec!["Upgrade: websocket", version, key], "405", "allow: get"),
        ("HEAD", vec!["Upgrade: websocket", version, key], "405", "allow: get"),
    ] {
        let target = target(method);
        let head: Vec<_> = std::iter::once(target.as_str()).chain(headers).collect();
        let answer = edge.answer(&head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}: {answer}");
        assert!(answer.to_ascii_lowercase().contains(header), "{head:?}: {answer}");
    }
    // Two of them came without it.
    assert_eq!(logs.take().matches("came without Upgrade").count(), 1);
}

#[tokio::test]
async fn over_the_limit_and_with_the_core_away_it_is_503_with_retry_after() {
    let edge = StubEdge::with(config(Limits { max_connections: 1, ..Limits::default() })).await;
    let path = format!("/ws/chat/room/?token={}", token(BOB, 60));
    edge.core.change(|state| state.is_down = true);
    let headers = assert_refused(edge.connect_to(&path).await, 503);
    assert_eq!(headers["retry-after"], "1");

    edge.core.change(|state| state.is_down = false);
    let first = edge.connect(BOB).await.expect("a session");
    let headers = assert_refused(edge.connect_to(&path).await, 503);
    assert_eq!(headers["retry-after"], "1");
    drop(first);
    while edge.connect(BOB).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_deleted_user_is_not_let_in() {
    let edge = StubEdge::with(config(Limits::default())).await;
    edge.core.change(|state| state.deleted.insert(user(BOB).to_string()));
    let path = format!("/ws/chat/room/?token={}", token(BOB, 60));
    assert_refused(edge.connect_to(&path).await, 401);
}

#[tokio::test]
async fn a_user_whom_only_the_edge_still_knows_is_provisioned_anew() {
    let edge = StubEdge::with(config(Limits::default())).await;
    drop(edge.connect(BOB).await.expect("a session"));
    let gone = |state: &crate::stub_core::State| state.subscribers() == 0;
    edge.core.wait_for("end of the subscription", gone).await;
    edge.core.remove_user(user(BOB));
    edge.connect(BOB).await.expect("a session");
}

#[tokio::test]
async fn many_handshakes_at_once_share_one_subscription() {
    let edge = StubEdge::with(config(Limits::default())).await;
    let mut sockets = Vec::new();
    for socket in join_all((0..16).map(|_| edge.connect(BOB))).await {
        sockets.push(socket.expect("a session"));
    }
    assert_eq!(edge.core.state().subscriptions, 1);
    edge.core.deliver(user(1), user(BOB), &["hello"]);
    for socket in &mut sockets {
        assert!(matches!(frame(socket).await, Message::Text(_)));
    }
}

#[tokio::test]
async fn a_user_who_opens_one_connection_after_another_is_told_to_wait() {
    let limits = Limits { max_connections_per_user: 3, ..Limits::default() };
    let edge = StubEdge::with(config(limits)).await;
    for _ in 0..24 {
        drop(edge.connect(BOB).await.expect("a session"));
    }
    let path = format!("/ws/chat/room/?token={}", token(BOB, 60));
    // Another may come in meanwhile.
    let mut answer = edge.connect_to(&path).await;
    for _ in 0..12 {
        if answer.is_err() {
            break;
        }
        answer = edge.connect_to(&path).await;
    }
    let headers = assert_refused(answer, 429);
    let seconds: u64 = headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    // Twelve in a minute.
    assert!((1..=5).contains(&seconds), "{seconds}");
    edge.connect(BOB + 1).await.expect("a session of somebody else");
}

#[tokio::test]
async fn a_shutdown_closes_sessions_with_1001_and_ends_the_server() {
    let edge = StubEdge::with(config(Limits::default())).await;
    let mut socket = edge.connect(BOB).await.expect("a session");
    edge.shutdown.cancel();
    let Message::Close(Some(close)) = frame(&mut socket).await else { panic!("not a close") };
    assert_eq!(close.code, CloseCode::Away);
    socket.flush().await.expect("open");
    drop(socket);
    edge.served.await.expect("the end of the server");
}

#[tokio::test]
async fn a_token_that_expires_closes_where_that_is_wanted() {
    let config = Config { close_on_token_expiry: true, ..config(Limits::default()) };
    let edge = StubEdge::with(config).await;
    // Good for the rest of the leeway, that a slow machine may need.
    let path = format!("/ws/chat/room/?token={}", token(BOB, -6));
    let (mut socket, _) = edge.connect_to(&path).await.expect("a session");
    let Message::Close(Some(close)) = frame(&mut socket).await else { panic!("not a close") };
    assert_eq!(close.code, CloseCode::Policy);
}

#[tokio::test]
async fn a_core_that_hangs_is_not_awaited_beyond_the_handshake_timeout() {
    let limits = Limits { handshake_timeout: Duration::from_millis(100), ..Limits::default() };
    let edge = StubEdge::with(config(limits)).await;
    edge.core.change(|state| state.hangs = true);
    let path = format!("/ws/chat/room/?token={}", token(BOB, 60));
    let headers = assert_refused(edge.connect_to(&path).await, 503);
    assert!(headers.contains_key("retry-after"));
    edge.core.change(|state| state.hangs = false);
    edge.connect(BOB).await.expect("a session");
}

#[tokio::test]
async fn websocket_may_be_one_of_several_offers() {
    let edge = StubEdge::with(config(Limits::default())).await;
    let get = format!("GET /ws/chat/room/?token={} HTTP/1.1", token(BOB, 60));
    let (version, key) =
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
    for (upgrade, status) in [
        (&["Upgrade: websocket, h2c"][..], "101"),
        (&["Upgrade: h2c,WebSocket"], "101"),
        (&["Upgrade: h2c", "Upgrade: websocket"], "101"),
        (&["Upgrade: h2c"], "426"),
        (&["Upgrade: websocket/1"], "426"),
    ] {
        let answer = edge.answer(&[&[get.as_str(), version, key], upgrade].concat()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{upgrade:?}: {answer}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_where_origins_are_named() {
    let allowed = ["https://app.example.com", "http://localhost:3000"];
    let allowed = allowed.map(http::HeaderValue::from_static).to_vec();
    let allowed_origins = AllowedOrigins::List(allowed);
    let logs = Logs::capture();
    let edge = StubEdge::with(Config { allowed_origins, ..config(Limits::default()) }).await;
    let get = format!("GET /ws/chat/room/?token={} HTTP/1.1", token(BOB, 60));
    let handshake = [
        get.as_str(),
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    for (origin, status) in [
        (&[][..], "101"),
        (&["Origin: https://app.example.com"], "101"),
        (&["Origin: http://localhost:3000"], "101"),
        (&["Origin: https://app.example.com:8443"], "403"),
        (&["Origin: https://app.example.com.evil.example"], "403"),
        (&["Origin: null"], "403"),
        (&["Origin: https://app.example.com", "Origin: https://evil.example"], "403"),
    ] {
        let answer = edge.answer(&[&handshake[..], origin].concat()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{origin:?}: {answer}");
    }
    let lines = logs.take();
    let told: Vec<_> = lines.lines().filter(|line| line.contains("--allowed-origins")).collect();
    assert!(told.len() == 1 && told[0].contains("https://app.example.com:8443"), "{lines}");
}

#[test]
fn an_origin_in_the_log_is_short_and_printable() {
    assert_eq!(shortened(b"https://app.example.com"), "https://app.example.com");
    assert_eq!(shortened(b"a\xff\x1b"), "a\\xff\\x1b");
    let long = [b'a'; MAX_SHOWN_ORIGIN_BYTES + 1];
    assert_eq!(shortened(&long), format!("{}…", "a".repeat(MAX_SHOWN_ORIGIN_BYTES)));
}
