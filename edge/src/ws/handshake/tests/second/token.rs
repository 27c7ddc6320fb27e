//! The token that a connection goes on under.

use super::*;

async fn expiring_edge() -> StubEdge {
    StubEdge::with(Config { close_on_token_expiry: true, ..config(Limits::default()) }).await
}

async fn live(edge: &StubEdge, lifetime: i64) -> Socket {
    let query = format!("token={}", token(BOB, lifetime));
    let mut socket = edge.second(&query).await.expect("a session");
    for action in ["hello", "live"] {
        assert_eq!(json(&mut socket).await["action"], action);
    }
    socket
}

async fn refresh(socket: &mut Socket, token: &str) -> Value {
    let frame = json!({"action": "token_refresh", "ref": "r", "token": token});
    socket.send(Message::text(frame.to_string())).await.expect("open");
    json(socket).await
}

fn told(expiring: &Value) -> u64 {
    assert_eq!(expiring["action"], "token_expiring", "{expiring}");
    expiring["in_s"].as_u64().expect("a time")
}

#[tokio::test]
async fn a_connection_goes_on_under_another_token_of_its_user() {
    let edge = expiring_edge().await;
    let mut socket = live(&edge, 40).await;
    assert!((21..=40).contains(&told(&json(&mut socket).await)));
    let now = jsonwebtoken::get_current_timestamp();
    let ack = refresh(&mut socket, &token(BOB, 20)).await;
    assert_eq!((&ack["action"], &ack["ref"]), (&json!("ack"), &json!("r")));
    let expires: jiff::Timestamp =
        ack["expires"].as_str().expect("a time").parse().expect("a time");
    assert!((20..=40).contains(&(expires.as_second() - now as i64)), "{ack}");
    assert_eq!(ack["expires"].as_str().expect("a time").len(), 27);
    assert!(told(&json(&mut socket).await) <= 20, "it is told of the new one");
    // Of that there is time.
    assert_eq!(refresh(&mut socket, &token(BOB, 3_600)).await["action"], "ack");
    for (wrong, code) in [
        (token(BOB + 1, 60), "invalid_token"),
        (token(BOB, -60), "invalid_token"),
        ("x".to_owned(), "invalid_token"),
        (String::new(), "invalid_token"),
        ("x".repeat(9 * 1024), "invalid_token"),
    ] {
        let error = refresh(&mut socket, &wrong).await;
        assert_eq!((&error["action"], &error["code"]), (&json!("error"), &json!(code)), "{wrong}");
    }
    let frame = json!({"action": "token_refresh", "ref": "r", "token": 1});
    socket.send(Message::text(frame.to_string())).await.expect("open");
    assert_eq!(json(&mut socket).await["code"], "invalid_field");
    // Without a reference nothing is answered.
    let frame = json!({"action": "token_refresh", "token": token(BOB, 3_600)});
    socket.send(Message::text(frame.to_string())).await.expect("open");
    socket.send(Message::text(r#"{"action":"ping","ref":"last"}"#)).await.expect("open");
    assert_eq!(json(&mut socket).await["ref"], "last");
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let edge = expiring_edge().await;
    let mut socket = live(&edge, -2).await;
    assert_eq!(told(&json(&mut socket).await), 0);
    assert_eq!(refresh(&mut socket, &token(BOB + 1, 3_600)).await["code"], "invalid_token");
    assert_eq!(close_code(frame(&mut socket).await), 4401);
}

#[tokio::test]
async fn a_refresh_puts_the_end_off() {
    let edge = expiring_edge().await;
    let mut socket = live(&edge, -2).await;
    assert_eq!(told(&json(&mut socket).await), 0);
    // Of a token that ends later than that.
    let mut other = live(&edge, -1).await;
    assert_eq!(told(&json(&mut other).await), 0);
    assert_eq!(refresh(&mut socket, &token(BOB, 3_600)).await["action"], "ack");
    assert_eq!(close_code(frame(&mut other).await), 4401);
    socket.send(Message::text(r#"{"action":"ping","ref":"alive"}"#)).await.expect("open");
    assert_eq!(json(&mut socket).await["ref"], "alive");
}

#[tokio::test]
async fn where_tokens_close_nothing_none_is_told_of() {
    let edge = StubEdge::start().await;
    let mut socket = live(&edge, 5).await;
    socket.send(Message::text(r#"{"action":"ping","ref":"next"}"#)).await.expect("open");
    assert_eq!(json(&mut socket).await["ref"], "next");
}

#[tokio::test]
async fn the_token_of_a_deleted_user_is_told_so() {
    let edge = StubEdge::start().await;
    let mut socket = live(&edge, 60).await;
    edge.core.change(|state| state.deleted.insert(user(BOB).to_string()));
    let claims = json!({
        "user_id": user(BOB).to_string(),
        "exp": jsonwebtoken::get_current_timestamp() + 60,
        "email": "bob@example.com",
    });
    let key = EncodingKey::from_secret(SECRET);
    let newer = encode(&Header::default(), &claims, &key).expect("a token");
    assert_eq!(refresh(&mut socket, &newer).await["code"], "user_deleted");
}
