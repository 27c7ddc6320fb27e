//! Tickets in the place of tokens.

use netrox_proto::v1::{ErrorReason, Failure};
use tonic::Status;

use super::*;

impl StubEdge {
    /// A ticket that is bought by a token of the user.
    async fn buy(&self, number: u128, lifetime: i64) -> String {
        let bearer = format!("Bearer {}", token(number, lifetime));
        let headers = [("authorization", bearer.as_str())];
        let answer = self.request(http::Method::POST, "/v2/ticket", &headers, "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["expires_in_s"], 30);
        answer["ticket"].as_str().expect("a ticket").to_owned()
    }

    /// The head of the answer to a handshake, after which frames may come.
    async fn head(&self, query: &str, lines: &[&str]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let target = format!("GET /ws/chat/room/?protocol=2&{query} HTTP/1.1");
        let handshake = [
            &*target,
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
        String::from_utf8(answer).expect("text")
    }

    async fn by_ticket(&self, ticket: &str) -> Result<Socket, Error> {
        self.second(&format!("ticket={ticket}")).await
    }
}

#[tokio::test]
async fn a_ticket_opens_one_connection_and_a_second_one_is_told_so_after_the_101() {
    let edge = StubEdge::start().await;
    let ticket = edge.buy(BOB, 60).await;
    let mut socket = edge.by_ticket(&ticket).await.expect("a session");
    let hello = json(&mut socket).await;
    assert_eq!(hello["user_id"], user(BOB).to_string());
    assert_eq!(json(&mut socket).await["action"], "live");
    let mut second = edge.by_ticket(&ticket).await.expect("a 101");
    assert_eq!(close_code(frame(&mut second).await), 4401);
    let other = edge.buy(BOB, 60).await;
    let path = format!("/ws/chat/room/?ticket={other}");
    assert_refused(edge.connect_to(&path).await, 401);
    // That spent nothing, and neither does what is no handshake, nor what shows a header.
    let get = format!("GET /ws/chat/room/?protocol=2&ticket={other} HTTP/1.1");
    assert!(edge.answer(&[&get]).await.starts_with("HTTP/1.1 426 "));
    let header = format!("Authorization: Bearer {}", token(BOB, 60));
    let head = edge.head(&format!("ticket={other}"), &[&header]).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // Before the token.
    let query = format!("token=x&ticket={other}");
    assert_eq!(json(&mut edge.second(&query).await.expect("a session")).await["action"], "hello");
}

#[tokio::test]
async fn a_ticket_of_a_token_that_has_expired_is_none() {
    let edge = StubEdge::start().await;
    let ticket = edge.buy(BOB, 60).await;
    let made = edge.core.state().tickets.made[0].clone();
    assert_eq!(made.user_id, user(BOB).to_string());
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time");
    let expires = made.token_expires.expect("a time").seconds;
    assert!((now..=now + 60).contains(&expires), "{expires}");
    // As if it were shown later, when the leeway is over, too.
    edge.core.change(|state| {
        let bought = state.tickets.unused.get_mut(&ticket).expect("unused");
        bought.token_expires.as_mut().expect("a time").seconds = now - 60;
    });
    let mut socket = edge.by_ticket(&ticket).await.expect("a 101");
    assert_eq!(close_code(frame(&mut socket).await), 4401);
}

#[tokio::test]
async fn a_connection_ends_with_the_token_that_bought_its_ticket() {
    let config = Config { close_on_token_expiry: true, ..config(Limits::default()) };
    let edge = StubEdge::with(config).await;
    let ticket = edge.buy(BOB, 60).await;
    // As if it were shown later, within the leeway.
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time");
    edge.core.change(|state| {
        let bought = state.tickets.unused.get_mut(&ticket).expect("unused");
        bought.token_expires.as_mut().expect("a time").seconds = now - 2;
    });
    let mut socket = edge.by_ticket(&ticket).await.expect("a session");
    assert_eq!(json(&mut socket).await["action"], "hello");
    let (told, code) = until_closed(&mut socket).await;
    assert!(told.iter().any(|frame| frame["action"] == "token_expiring"), "{told:?}");
    assert_eq!(code, 4401);
}

#[tokio::test]
async fn only_what_a_core_says_of_a_ticket_is_told_as_a_wrong_one() {
    let edge = StubEdge::start().await;
    let ticket = edge.buy(BOB, 60).await;
    let refuse = |failure: Status| {
        edge.core.change(|state| state.tickets.failure = Some(failure));
    };
    for failure in [
        Failure::new(ErrorReason::StoreUnavailable, "away").into(),
        Failure::new(ErrorReason::OutcomeUnknown, "who knows").into(),
        Failure::new(ErrorReason::Internal, "a bug").into(),
        Status::unimplemented("older"),
        Status::deadline_exceeded("late"),
    ] {
        refuse(failure);
        match edge.by_ticket(&ticket).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 503),
            other => panic!("not refused: {other:?}"),
        }
    }
    refuse(Failure::new(ErrorReason::TicketExpired, "over").into());
    let mut socket = edge.by_ticket(&ticket).await.expect("a 101");
    assert_eq!(close_code(frame(&mut socket).await), 4401);
    let mut socket = edge.by_ticket("none").await.expect("a 101");
    assert_eq!(close_code(frame(&mut socket).await), 4401);
    edge.by_ticket(&ticket).await.expect("a session");
}

#[tokio::test]
async fn a_ticket_of_a_deleted_user_is_told_so() {
    let edge = StubEdge::start().await;
    let ticket = edge.buy(BOB, 60).await;
    edge.core.change(|state| state.deleted.insert(user(BOB).to_string()));
    let mut socket = edge.by_ticket(&ticket).await.expect("a 101");
    assert_eq!(close_code(frame(&mut socket).await), 4403);
}

#[tokio::test]
async fn who_fails_with_many_tickets_is_told_to_wait_as_with_tokens() {
    let once = crate::config::AddressRate { count: 1, period: Duration::from_secs(3_600) };
    let limits = Limits { failed_tokens_per_address: Some(once), ..Limits::default() };
    // Addresses of proxies are none of clients.
    let proxies = crate::config::Proxies {
        trusted: "127.0.0.0/8".parse().expect("a network"),
        protocol: false,
    };
    let edge = StubEdge::with(Config { proxies, ..config(limits) }).await;
    let answer = async |ticket: &str| {
        let lines = ["X-Forwarded-For: 198.51.100.7"];
        edge.head(&format!("ticket={ticket}"), &lines).await
    };
    let good = edge.buy(BOB, 60).await;
    assert!(answer("x").await.starts_with("HTTP/1.1 101 "));
    assert!(answer("y").await.starts_with("HTTP/1.1 429 "));
    assert!(answer(&good).await.starts_with("HTTP/1.1 101 "), "a good one is let in");
}

#[tokio::test]
async fn neither_an_outage_nor_a_ticket_that_is_over_is_a_guess() {
    let once = crate::config::AddressRate { count: 1, period: Duration::from_secs(3_600) };
    let limits = Limits { failed_tokens_per_address: Some(once), ..Limits::default() };
    let proxies = crate::config::Proxies {
        trusted: "127.0.0.0/8".parse().expect("a network"),
        protocol: false,
    };
    let edge = StubEdge::with(Config { proxies, ..config(limits) }).await;
    let answer = async |failure: Status| {
        edge.core.change(|state| state.tickets.failure = Some(failure));
        edge.head("ticket=x", &["X-Forwarded-For: 198.51.100.7"]).await
    };
    for _ in 0..3 {
        let expired = answer(Failure::new(ErrorReason::TicketExpired, "over").into()).await;
        assert!(expired.starts_with("HTTP/1.1 101 "), "{expired}");
        let away = answer(Status::unavailable("the connection broke")).await;
        assert!(away.starts_with("HTTP/1.1 503 "), "{away}");
    }
}
