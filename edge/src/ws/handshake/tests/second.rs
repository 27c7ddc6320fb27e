//! Handshakes that ask for the second generation.

use http::{HeaderValue, header};
use serde_json::Value;
use tokio::time::Instant;

use super::*;

mod ticket;
mod token;

const NAME: &str = "netrox.chat.v2";

impl StubEdge {
    /// With the subprotocols that are offered, one line each.
    async fn connect_offering(
        &self,
        query: &str,
        lines: &[&'static str],
    ) -> Result<(Socket, Response), Error> {
        let path = format!("ws://{}/ws/chat/room/{query}", self.address);
        let mut request = path.into_client_request()?;
        for line in lines {
            let line = HeaderValue::from_static(line);
            request.headers_mut().append(header::SEC_WEBSOCKET_PROTOCOL, line);
        }
        // A client that checks what is named, and one that is named nothing.
        client_async(request, TcpStream::connect(self.address).await?).await
    }

    async fn second(&self, query: &str) -> Result<Socket, Error> {
        let query = format!("?protocol=2&{query}");
        self.connect_offering(&query, &[]).await.map(|(socket, _)| socket)
    }
}

async fn json(socket: &mut Socket) -> Value {
    loop {
        match frame(socket).await {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) => {}
            other => panic!("not a text frame: {other:?}"),
        }
    }
}

/// What comes before its close, and the code of that.
async fn until_closed(socket: &mut Socket) -> (Vec<Value>, u16) {
    let mut told = Vec::new();
    loop {
        match frame(socket).await {
            Message::Text(text) => told.push(serde_json::from_str(&text).expect("JSON")),
            Message::Ping(_) => {}
            end => return (told, close_code(end)),
        }
    }
}

#[track_caller]
fn close_code(message: Message) -> u16 {
    match message {
        Message::Close(Some(close)) => close.code.into(),
        other => panic!("not a close: {other:?}"),
    }
}

#[tokio::test]
async fn who_offers_it_by_name_is_named_it_and_gets_hello_first() {
    let edge = StubEdge::start().await;
    let token = format!("?token={}", token(BOB, 60));
    for (query, lines) in [
        (token.clone(), &[NAME][..]),
        (format!("{token}&protocol=1"), &["chat, netrox.chat.v2"]),
        (format!("{token}&protocol=2"), &["netrox.chat.v2", "other"]),
    ] {
        let (mut socket, response) = edge.connect_offering(&query, lines).await.expect("a session");
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], NAME);
        assert_eq!(json(&mut socket).await["action"], "hello");
        assert_eq!(json(&mut socket).await["action"], "live");
    }
}

#[tokio::test]
async fn who_asks_by_the_query_is_named_nothing() {
    let edge = StubEdge::start().await;
    let mut socket = edge.second(&format!("token={}", token(BOB, 60))).await.expect("a session");
    let hello = json(&mut socket).await;
    assert_eq!((&hello["action"], &hello["resumed"]), (&json!("hello"), &json!(false)));
    // One that offers others is named none of them: that is for it to judge.
    let head = head_of_101(&edge, "?protocol=2", &["Sec-WebSocket-Protocol: chat"]).await;
    assert!(!head.contains("protocol:"), "{head}");
}

#[tokio::test]
async fn several_lines_of_offers_are_one_list() {
    let edge = StubEdge::start().await;
    let lines = ["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: other,netrox.chat.v2"];
    let head = head_of_101(&edge, "?", &lines).await;
    assert!(head.contains("sec-websocket-protocol: netrox.chat.v2"), "{head}");
}

/// In lower case, of the answer to a handshake that is written line by line.
async fn head_of_101(edge: &StubEdge, query: &str, lines: &[&str]) -> String {
    let mut stream = TcpStream::connect(edge.address).await.expect("a connection");
    let target = format!("GET /ws/chat/room/{query}&token={} HTTP/1.1", token(BOB, 60));
    let handshake = [
        &target,
        "Host: edge",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let head = [&handshake, lines, &["", ""]].concat().join(LINE_END);
    stream.write_all(head.as_bytes()).await.expect("open");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(answer).expect("text").to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    head
}

#[tokio::test]
async fn anything_else_is_the_first_generation() {
    let edge = StubEdge::start().await;
    for parameter in ["protocol=3", "protocol=", "after=x", "ticket=x"] {
        let path = format!("/ws/chat/room/?token={}&{parameter}", token(BOB, 60));
        let (mut socket, _) = edge.connect_to(&path).await.expect("a session");
        edge.core.deliver(user(1), user(BOB), &["hello"]);
        assert_eq!(json(&mut socket).await["action"], "re_message", "{parameter}");
    }
}

#[tokio::test]
async fn a_connection_goes_on_where_the_one_before_came_to() {
    let edge = StubEdge::start().await;
    let token = format!("token={}", token(BOB, 60));
    let mut socket = edge.second(&token).await.expect("a session");
    let cursor = json(&mut socket).await["cursor"].as_str().expect("a cursor").to_owned();
    drop(socket);
    edge.core.deliver(user(1), user(BOB), &["missed"]);
    let mut socket = edge.second(&format!("{token}&after={cursor}")).await.expect("a session");
    let hello = json(&mut socket).await;
    assert_eq!((&hello["resumed"], &hello["behind"]), (&json!(true), &json!(1)));
    let message = json(&mut socket).await;
    assert_eq!((&message["new"], &message["message"]["message"]), (&json!(true), &json!("missed")));
    assert_eq!(json(&mut socket).await["action"], "live");
}

#[tokio::test]
async fn a_bad_token_is_told_after_the_101_and_at_once_only_the_first_time() {
    let edge = StubEdge::with(config(Limits { max_connections: 0, ..Limits::default() })).await;
    // Of a user, of another, and of nobody who could be read.
    for (query, lines) in [
        (format!("?token={}", token(BOB, -60)), &[NAME][..]),
        (format!("?protocol=2&token={}", token(BOB + 1, -60)), &[]),
        ("?protocol=2&token=x".to_owned(), &[]),
    ] {
        let mut delays = Vec::new();
        for _ in 0..2 {
            let start = Instant::now();
            let (mut socket, response) = edge.connect_offering(&query, lines).await.expect("a 101");
            let named = response.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL);
            assert_eq!(named, !lines.is_empty());
            assert_eq!(close_code(frame(&mut socket).await), 4401, "no hello before");
            delays.push(start.elapsed());
        }
        assert!(delays[1] >= Duration::from_secs(1), "{delays:?}");
    }
    let path = "/ws/chat/room/?token=x";
    assert_refused(edge.connect_to(path).await, 401);
}

#[tokio::test]
async fn who_is_refused_holds_no_place_and_delays_no_good_handshake() {
    let limits = Limits { max_connections: 1, ..Limits::default() };
    let edge = StubEdge::with(config(limits)).await;
    let mut refused = Vec::new();
    for _ in 0..20 {
        refused.push(edge.second(&format!("token={}", token(BOB, -60))).await.expect("a 101"));
    }
    let mut socket = edge.second(&format!("token={}", token(BOB, 60))).await.expect("a session");
    assert_eq!(json(&mut socket).await["action"], "hello");
    // Those that wait are told at once when the edge ends.
    edge.shutdown.cancel();
    for socket in &mut refused {
        assert_eq!(close_code(frame(socket).await), 4401);
    }
    drop((refused, socket));
    edge.served.await.expect("the end of the server");
}

#[tokio::test]
async fn a_deleted_user_is_told_so() {
    let edge = StubEdge::start().await;
    edge.core.change(|state| state.deleted.insert(user(BOB).to_string()));
    let mut socket = edge.second(&format!("token={}", token(BOB, 60))).await.expect("a 101");
    assert_eq!(close_code(frame(&mut socket).await), 4403);
}

#[tokio::test]
async fn what_is_no_websocket_handshake_is_refused_as_ever() {
    let edge = StubEdge::start().await;
    let answer = edge.answer(&["GET /ws/chat/room/?protocol=2&token=x HTTP/1.1"]).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let target = format!("GET /ws/chat/room/?protocol=2&token={} HTTP/1.1", token(BOB, 60));
    let answer = edge.answer(&[&target]).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}

#[tokio::test]
async fn what_is_away_or_full_stays_a_status() {
    let edge = StubEdge::with(config(Limits { max_connections: 1, ..Limits::default() })).await;
    let query = format!("token={}", token(BOB, 60));
    let refused = async || match edge.second(&query).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("not refused: {other:?}"),
    };
    edge.core.change(|state| state.is_down = true);
    assert_eq!(refused().await, 503);
    edge.core.change(|state| (state.is_down, state.is_old) = (false, true));
    assert_eq!(refused().await, 503, "a core of before");
    edge.core.change(|state| state.is_old = false);
    let _first = edge.second(&query).await.expect("a session");
    assert_eq!(refused().await, 503);
}

#[tokio::test]
async fn a_token_that_expires_closes_with_a_code_of_its_own() {
    let config = Config { close_on_token_expiry: true, ..config(Limits::default()) };
    let edge = StubEdge::with(config).await;
    // Good for the rest of the leeway, that a slow machine may need.
    let mut socket = edge.second(&format!("token={}", token(BOB, -6))).await.expect("a session");
    assert_eq!(json(&mut socket).await["action"], "hello");
    let (told, code) = until_closed(&mut socket).await;
    assert!(told.contains(&json!({"action": "token_expiring", "in_s": 0})), "{told:?}");
    assert_eq!(code, 4401);
}

#[tokio::test]
async fn a_user_whom_only_the_edge_still_knows_is_provisioned_anew() {
    let edge = StubEdge::start().await;
    let query = format!("token={}", token(BOB, 60));
    drop(edge.second(&query).await.expect("a session"));
    edge.core.remove_user(user(BOB));
    let mut socket = edge.second(&query).await.expect("a session");
    assert_eq!(json(&mut socket).await["action"], "hello");
}
