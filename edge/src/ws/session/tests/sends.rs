use super::*;
use crate::stub_core::Sends;

#[tokio::test(start_paused = true)]
async fn errors_come_in_the_order_of_the_frames_and_lose_nothing() {
    let world = world(unlimited());
    let mut alice = world.connect(ALICE).await;
    let mut bob = world.connect(BOB).await;
    alice.send(text_to(user(BOB), "a")).await;
    alice.send(text_to(user(99), "to nobody")).await;
    alice.send("[]").await;
    alice.send(text_to(user(BOB), "b")).await;
    alice.send(text_to(user(ALICE), "to myself")).await;
    alice.socket.send(Message::Binary("{}".into())).await.expect("open");
    alice.send(text_to(user(BOB), "")).await;
    alice.send(text_to(user(BOB), "x".repeat(16_385))).await;
    alice.send(json!({"action": "chat_message_file", "chat_id": 0})).await;
    alice.send(text_to(user(BOB), "c")).await;
    for code in [
        "invalid_receiver",
        "invalid_json",
        "invalid_receiver",
        "invalid_json",
        "invalid_field",
        "message_too_large",
        "not_found",
    ] {
        assert_eq!(alice.error_code().await, code);
    }
    assert_eq!(bob.bodies(3).await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_of_the_user_over_all_connections() {
    let world = world(Limits { send_rate: 1, send_burst: 3, ..Limits::default() });
    let mut alices = [world.connect(ALICE).await, world.connect(ALICE).await];
    for number in 0..3 {
        alices[number % 2].send(text_to(user(BOB), number.to_string())).await;
        let count = number + 1;
        world.core.wait_for("a message", |state| state.stored.len() == count).await;
    }
    for alice in &mut alices {
        alice.send(json!({"action": "chat_message_file", "chat_id": 1})).await;
        assert_eq!(alice.error_code().await, "rate_limited");
    }
    // What is refused anyway does not count and is told as it is.
    alices[0].send("{}").await;
    assert_eq!(alices[0].error_code().await, "unknown_action");
}

#[tokio::test(start_paused = true)]
async fn so_many_commands_are_under_way_and_the_rest_stays_unread_unless_something_is_away() {
    let world = world(unlimited());
    world.core.change(|state| state.sends = Sends::Unanswered);
    let mut alice = world.connect(ALICE).await;
    for number in 0..200 {
        alice.send(text_to(user(BOB), number.to_string())).await;
    }
    world.core.wait_for("64 messages", |state| state.stored.len() == 64).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.core.state().stored.len(), 64);
    // No answer for so long: what is sent from now on is of now.
    world.core.wait_for("the rest", |state| state.stored.len() == 200).await;
    world.core.answer_all();
    world.core.wait_for("200 messages", |state| state.stored.len() == 200).await;
    assert_eq!(world.core.state().bodies(), numbers(0..200));
}

#[tokio::test(start_paused = true)]
async fn what_came_before_the_end_of_the_stream_is_stored() {
    let world = world(unlimited());
    for close_frame in [false, true] {
        let mut alice = world.connect(ALICE).await;
        let before = world.core.state().stored.len();
        for number in 0..300 {
            alice.send(text_to(user(BOB), number.to_string())).await;
        }
        if close_frame {
            alice.socket.send(Message::Close(None)).await.expect("open");
        }
        drop(alice);
        let count = before + 300;
        world.core.wait_for("300 messages", |state| state.stored.len() == count).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_reset_is_stored_though_nothing_can_be_written() {
    let world = world(unlimited());
    let mut alice = world.connect_raw(ALICE, PIPE_BYTES).await;
    let mut frames = frame(0x81, b"not JSON, to be answered");
    for number in 0..100 {
        frames.extend(frame(0x81, text_to(user(BOB), number.to_string()).to_string().as_bytes()));
    }
    alice.write_all(&frames).await.expect("open");
    drop(alice);
    world.core.wait_for("100 messages", |state| state.stored.len() == 100).await;
}

#[tokio::test(start_paused = true)]
async fn a_core_that_is_down_is_unavailable_and_connections_stay() {
    let world = world(unlimited());
    let mut alice = world.connect(ALICE).await;
    let mut bob = world.connect(BOB).await;
    alice.send(text_to(user(BOB), "a")).await;
    assert_eq!(bob.bodies(1).await, ["a"]);
    world.core.change(|state| state.is_down = true);
    world.core.break_streams(&unavailable());
    world.core.break_subscriptions(&unavailable());
    alice.send(text_to(user(BOB), "b")).await;
    assert_eq!(alice.error_code().await, "unavailable");
    world.core.change(|state| state.is_down = false);
    tokio::time::sleep(seconds(3)).await;
    alice.send(text_to(user(BOB), "c")).await;
    assert_eq!(bob.bodies(1).await, ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_sender_whom_the_core_does_not_know_is_provisioned_anew() {
    let world = world(unlimited());
    let mut alice = world.connect(ALICE).await;
    world.core.remove_user(user(ALICE));
    alice.send(text_to(user(BOB), "a")).await;
    assert_eq!(alice.error_code().await, "unavailable");
    alice.send(text_to(user(BOB), "b")).await;
    world.core.wait_for("a message", |state| state.bodies() == ["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_who_was_deleted_is_closed() {
    let world = world(unlimited());
    let mut alice = world.connect(ALICE).await;
    world.core.change(|state| state.deleted.insert(user(ALICE).to_string()));
    alice.send(text_to(user(BOB), "a")).await;
    assert_eq!(alice.close_code().await, CloseCode::Policy);
}
