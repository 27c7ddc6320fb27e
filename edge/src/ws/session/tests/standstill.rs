use std::sync::Arc;

use super::*;
use crate::ws::{
    close::CloseReason,
    queue::{Outgoing, Push},
};

/// What waits in the socket of a client that has gone, when this edge goes on after a standstill.
#[tokio::test(start_paused = true)]
async fn what_waited_while_this_edge_stood_still_counts_only_of_a_client_that_is_still_there() {
    for (end, is_stored) in [("none", true), ("a close", false), ("the end", false)] {
        let world = world(unlimited());
        let mut alice = world.connect(ALICE).await;
        alice.send(text_to(user(BOB), "before")).await;
        world.core.wait_for("a message", |state| state.stored.len() == 1).await;
        for number in 0..100 {
            alice.send(text_to(user(BOB), number.to_string())).await;
        }
        if end == "a close" {
            alice.socket.send(Message::Close(None)).await.expect("open");
        }
        // Nothing of the edge runs before the time has passed.
        let client = if end == "the end" {
            drop(alice);
            None
        } else {
            Some(alice)
        };
        tokio::time::advance(seconds(5)).await;
        if is_stored {
            world.core.wait_for("all", |state| state.stored.len() == 101).await;
            assert_eq!(world.core.state().bodies()[1..], numbers(0..100));
        } else {
            world.emptied().await;
            assert_eq!(world.core.state().bodies(), ["before"], "{end}");
        }
        drop(client);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_after_a_standstill_comes_after_what_was_sent_before_it() {
    let world = world(unlimited());
    let mut alice = world.connect_raw(ALICE, PIPE_BYTES).await;
    let text = text_to(user(BOB), "a").to_string();
    let frames = [frame(0x81, text.as_bytes()), frame(0x83, b"{}")].concat();
    alice.write_all(&frames).await.expect("open");
    tokio::time::advance(seconds(5)).await;
    assert_eq!(Client::new(alice).await.close_code().await, CloseCode::Protocol);
    assert_eq!(world.core.state().bodies(), ["a"]);
}

/// A client whose session has not run since something was sent, whose queue is at hand.
async fn client_with_queue(world: &World) -> (Client, Arc<Outgoing>) {
    let connection = world.join(ALICE).await;
    let outgoing = Arc::clone(&connection.outgoing);
    let mut alice = Client::new(world.serve(connection, PIPE_BYTES, None)).await;
    alice.send(text_to(user(BOB), "before")).await;
    world.core.wait_for("a message", |state| state.stored.len() == 1).await;
    (alice, outgoing)
}

/// What would hide that a client has gone, before its session runs again.
#[tokio::test(start_paused = true)]
async fn a_client_that_has_gone_is_seen_before_a_close_and_before_a_write() {
    type Change = fn(&Outgoing);
    let changes: [(&str, Change); 4] = [
        ("a drain", |outgoing| outgoing.close(CloseReason::Draining)),
        ("a lost position", |outgoing| outgoing.close(CloseReason::PositionLost)),
        ("a newer connection", |outgoing| outgoing.close(CloseReason::Replaced)),
        ("a write", |outgoing| assert_eq!(outgoing.push("{}".into()), Push::Done)),
    ];
    for (name, change) in changes {
        for has_closed in [true, false] {
            let world = world(unlimited());
            let (mut alice, outgoing) = client_with_queue(&world).await;
            for number in 0..10 {
                alice.send(text_to(user(BOB), number.to_string())).await;
            }
            if has_closed {
                alice.socket.send(Message::Close(None)).await.expect("open");
            }
            drop(alice);
            change(&outgoing);
            tokio::time::advance(seconds(5)).await;
            world.emptied().await;
            // Behind whatever the session has sent.
            world.connect(ALICE).await.send(text_to(user(BOB), "after")).await;
            let after = |state: &crate::stub_core::State| state.bodies().contains(&"after");
            world.core.wait_for("a later message", after).await;
            assert_eq!(world.core.state().bodies(), ["before", "after"], "{name} {has_closed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_there_is_closed_once_that_is_known_and_loses_nothing() {
    let world = world(unlimited());
    let (mut alice, outgoing) = client_with_queue(&world).await;
    alice.send(text_to(user(BOB), "waited")).await;
    outgoing.close(CloseReason::Draining);
    tokio::time::advance(seconds(5)).await;
    let start = Instant::now();
    world.core.wait_for("what waited", |state| state.stored.len() == 2).await;
    // It is not closed yet.
    alice.send(text_to(user(BOB), "later")).await;
    world.core.wait_for("a later one", |state| state.stored.len() == 3).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    let Message::Close(Some(frame)) = alice.next().await else { panic!("no close") };
    assert_eq!((frame.code, start.elapsed()), (CloseCode::Away, seconds(1)));
    assert_eq!(world.core.state().bodies(), ["before", "waited", "later"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_the_answer_to_a_close_counts_after_a_standstill() {
    let world = world(unlimited());
    let connection = world.join(ALICE).await;
    let outgoing = Arc::clone(&connection.outgoing);
    let mut alice = world.serve(connection, PIPE_BYTES, None);
    outgoing.close(CloseReason::Draining);
    let mut close = [0; 4];
    alice.read_exact(&mut close).await.expect("a close");
    assert_eq!((close[0], &close[2..]), (0x88, &1001_u16.to_be_bytes()[..]));
    let text = frame(0x81, text_to(user(BOB), "a").to_string().as_bytes());
    let answer = frame(0x88, &1001_u16.to_be_bytes());
    alice.write_all(&[text, answer].concat()).await.expect("open");
    tokio::time::advance(seconds(2) + Duration::from_millis(900)).await;
    world.core.wait_for("a message", |state| state.bodies() == ["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_read_ahead_is_not_of_one_message() {
    const MAX_FRAME_BYTES: usize = 16 * 1024;
    let world = world(Limits { max_frame_bytes: MAX_FRAME_BYTES, ..unlimited() });
    let mut alice = world.connect_raw(ALICE, PIPE_BYTES).await;
    world.connect(ALICE).await.send(text_to(user(BOB), "before")).await;
    world.core.wait_for("a message", |state| state.stored.len() == 1).await;
    // Little less than what is held, and a message more, of which the headers count as well.
    let long = frame(0x81, &[b'x'; MAX_FRAME_BYTES - 200]);
    let fragments = MAX_FRAME_BYTES / 100;
    let mut longest = frame(0x01, &[b'x'; 100]);
    longest.extend(frame(0x00, &[b'x'; 100]).repeat(fragments - 2));
    longest.extend(frame(0x80, &[b'x'; 100]));
    let texts = frame(0x81, text_to(user(BOB), "after").to_string().as_bytes()).repeat(10);
    let frames = [frame(0x8a, b""), long, longest, texts].concat();
    alice.write_all(&frames).await.expect("open");
    tokio::time::advance(seconds(5)).await;
    world.core.wait_for("all", |state| state.stored.len() == 11).await;
}
