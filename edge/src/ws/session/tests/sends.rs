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
    // As many as a burst wait.
    let start = Instant::now();
    for number in 3..6 {
        alices[number % 2].send(text_to(user(BOB), number.to_string())).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for alice in &mut alices {
        alice.send(json!({"action": "chat_message_file", "chat_id": 1})).await;
    }
    // What is refused anyway does not count and is told as it is, in its turn.
    alices[0].send("{}").await;
    for alice in &mut alices {
        assert_eq!(alice.error_code().await, "rate_limited");
    }
    assert_eq!(alices[0].error_code().await, "unknown_action");
    world.core.wait_for("the rest", |state| state.stored.len() == 6).await;
    assert_eq!(start.elapsed().as_millis() / 100, 30);
    assert_eq!(world.core.state().bodies(), numbers(0..6));
}

#[tokio::test(start_paused = true)]
async fn what_is_over_the_rate_waits_in_order_and_is_bounded_in_memory() {
    let world = world(Limits { send_rate: 10, send_burst: 100, ..Limits::default() });
    let mut alice = world.connect(ALICE).await;
    let mut bob = world.connect(BOB).await;
    let body = |number: usize| format!("{number} {}", "x".repeat(16_000));
    let start = Instant::now();
    let send = async {
        for number in 0..200 {
            alice.send(text_to(user(BOB), body(number))).await;
        }
    };
    let receive = async {
        for number in 0..200 {
            assert_eq!(bob.bodies(1).await, [body(number)]);
            let held = world.edge.shared.limiter.held_bytes();
            assert!(held <= 128 * 1024 + 17_000, "{held} bytes");
        }
    };
    tokio::join!(send, receive);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(world.edge.shared.limiter.held_bytes(), 0);
    alice.send("{}").await;
    assert_eq!(alice.error_code().await, "unknown_action");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_rate_is_stored_though_the_client_goes() {
    for close_frame in [false, true] {
        let world = world(Limits { send_rate: 1, send_burst: 50, ..Limits::default() });
        let mut alice = world.connect(ALICE).await;
        for number in 0..100 {
            alice.send(text_to(user(BOB), number.to_string())).await;
        }
        if close_frame {
            alice.socket.send(Message::Close(None)).await.expect("open");
        }
        drop(alice);
        world.core.wait_for("100 messages", |state| state.stored.len() == 100).await;
        assert_eq!(world.core.state().bodies(), numbers(0..100));
        assert_eq!(world.edge.shared.limiter.held_bytes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_rate_is_stored_before_a_drain_ends_the_connection() {
    let world = world(Limits { send_rate: 1, send_burst: 50, ..Limits::default() });
    let mut alice = world.connect(ALICE).await;
    for number in 0..100 {
        alice.send(text_to(user(BOB), number.to_string())).await;
    }
    world.core.wait_for("the burst", |state| state.stored.len() == 50).await;
    let shared = &world.edge.shared;
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    assert_eq!(alice.close_code().await, CloseCode::Away);
    shared.tasks.ended().await;
    assert_eq!(world.core.state().bodies(), numbers(0..100));
}

#[tokio::test(start_paused = true)]
async fn what_a_stall_held_back_counts_from_when_it_could_have_been_taken() {
    let world = world(Limits { send_rate: 10, send_burst: 64, ..Limits::default() });
    let mut alice = world.connect(ALICE).await;
    let mut bob = world.connect(BOB).await;
    world.core.change(|state| state.sends = Sends::Unanswered);
    for number in 0..64 {
        alice.send(text_to(user(BOB), number.to_string())).await;
    }
    assert_eq!(bob.bodies(64).await, numbers(0..64));
    // Nothing of this is read for as long as nothing is answered.
    for number in 64..200 {
        alice.send(text_to(user(BOB), number.to_string())).await;
    }
    world.core.wait_for("the next", |state| state.stored.len() > 64).await;
    world.core.change(|state| state.sends = Sends::Answered);
    world.core.answer_all();
    alice.send("{}").await;
    // 64 at once, 64 wait, and some came while it was not read.
    let mut refused = 0;
    while alice.error_code().await != "unknown_action" {
        refused += 1;
    }
    assert!(refused < 200 - 128, "{refused}");
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
