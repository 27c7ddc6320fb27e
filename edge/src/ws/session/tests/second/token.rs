//! Another token, and the end of the one before.

use jsonwebtoken::{EncodingKey, Header, encode};

use super::*;
use crate::{
    stub_core::{SECRET, Sends},
    ws::queue::Push,
};

fn refresh(reference: &str, email: Option<&str>) -> Value {
    let expires = jsonwebtoken::get_current_timestamp() + 3_600;
    let claims = json!({"user_id": user(ALICE).to_string(), "exp": expires, "email": email});
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET));
    json!({"action": "token_refresh", "ref": reference, "token": token.expect("a token")})
}

/// One whose token ends.
async fn ending(world: &World, ends_at: Instant) -> Client {
    let connection = world.begin(ALICE, None).await.expect("a stream");
    let expiry = Some(Expiry::closing_at(ends_at));
    let mut client = Client::new(world.serve(connection, PIPE_BYTES, expiry)).await;
    client.action("hello").await;
    client.action("live").await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_token_waits_for_no_send_before_it() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    world.core.change(|state| state.sends = Sends::Ignored);
    alice.send(message_to(BOB, 1)).await;
    world.core.wait_for("the send", |state| state.received.len() == 1).await;
    alice.send(refresh("r", None)).await;
    assert_eq!(alice.action("ack").await["ref"], "r");
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_until_it_is_known_whether_another_is_good_but_not_for_ever() {
    let world = world(unlimited());
    let ends_at = Instant::now() + seconds(2);
    let mut alice = ending(&world, ends_at).await;
    // The directory is asked, and says nothing until the call is given up.
    world.core.change(|state| state.hangs = true);
    alice.send(refresh("r", Some("alice@example.com"))).await;
    assert_eq!(alice.close_code().await, CloseCode::Library(4401));
    let late = Instant::now() - ends_at;
    assert!((seconds(1)..=seconds(16)).contains(&late), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_a_token_where_the_connection_closes() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    world.core.change(|state| state.hangs = true);
    alice.send(refresh("r", Some("alice@example.com"))).await;
    alice.send(json!({"action": "ping", "ref": "p"})).await;
    assert_eq!(alice.action("ack").await["ref"], "p");
    world.edge.hurry();
    let shared = &world.edge.shared;
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    loop {
        match alice.next().await {
            Message::Close(frame) => {
                break assert_eq!(frame.expect("a code").code, CloseCode::Away);
            }
            Message::Text(text) => panic!("told: {text}"),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn how_much_time_there_is_is_told_before_what_waits() {
    let world = world(unlimited());
    let connection = world.begin(ALICE, None).await.expect("a stream");
    let outgoing = Arc::clone(&connection.outgoing);
    // It is not read before it is as full as it gets.
    let frame = json!({"action": "x", "pad": "x".repeat(3_900)}).to_string();
    while outgoing.push(frame.as_str().into()) == Push::Done {}
    outgoing.ask_to_reconnect(seconds(3));
    let mut alice = Client::new(world.serve(connection, PIPE_BYTES, None)).await;
    alice.action("hello").await;
    let mut before = 0;
    loop {
        let frame = alice.json().await;
        if frame["action"] == "reconnect" {
            assert_eq!(frame["after_ms"], 3_000);
            break;
        }
        before += 1;
    }
    // Some were written by then.
    assert!(before < Limits::default().outgoing_queue_frames / 2, "{before}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_session_has_yet_to_begin_is_closed_by_a_drain() {
    let world = world(unlimited());
    let connection = world.begin(ALICE, None).await.expect("a stream");
    let shared = &world.edge.shared;
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    // The drain finds no session.
    tokio::time::sleep(seconds(1)).await;
    let mut alice = Client::new(world.serve(connection, PIPE_BYTES, None)).await;
    assert_eq!(alice.close_code().await, CloseCode::Away);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_hurries_spreads_nothing() {
    let world = world(unlimited());
    let mut clients = vec![world.live(ALICE).await, world.live(ALICE).await];
    world.edge.hurry();
    let shared = &world.edge.shared;
    let began = Instant::now();
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    for client in &mut clients {
        assert_eq!(client.close_code().await, CloseCode::Away);
    }
    assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
}
