use super::*;
use crate::stub_core::Sends;

#[tokio::test(start_paused = true)]
async fn of_connections_beyond_the_limit_one_that_does_not_answer_is_closed() {
    let world = world(Limits { max_connections_per_user: 3, ..unlimited() });
    let mut healthy = world.connect(BOB).await;
    // A phone that loses its network and comes back, again and again.
    let mut dead = Vec::new();
    for _ in 0..10 {
        dead.push(world.connect_raw(BOB, PIPE_BYTES).await);
        // It reads, and so answers pings.
        let _ = timeout(seconds(5), healthy.socket.next()).await;
        healthy.socket.flush().await.expect("open");
    }
    for closed in &mut dead[..8] {
        let written = read_to_end(closed).await;
        assert!(String::from_utf8_lossy(&written).contains("this one is silent"));
    }
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    assert_eq!(healthy.bodies(1).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn of_connections_that_all_answer_who_was_silent_longest_is_closed() {
    let world = world(Limits { max_connections_per_user: 3, ..unlimited() });
    let mut bobs = Vec::new();
    for _ in 0..3 {
        bobs.push(world.connect(BOB).await);
        tokio::time::sleep(seconds(1)).await;
    }
    // The first is in use.
    bobs[0].send("{}").await;
    assert_eq!(bobs[0].error_code().await, "unknown_action");
    bobs.push(world.connect(BOB).await);
    for answers in &mut bobs {
        let _ = timeout(Duration::from_millis(100), answers.socket.next()).await;
        answers.socket.flush().await.expect("open");
    }
    let mut gone = bobs.remove(1);
    let Message::Close(Some(close)) = gone.next().await else { panic!("not a close") };
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "too many connections of this user")
    );
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    for open in &mut bobs {
        assert_eq!(open.bodies(1).await, ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_holds_no_more_places_than_a_few_times_the_limit() {
    let world = world(Limits { max_connections_per_user: 2, ..unlimited() });
    let sockets = &world.edge.shared.web_sockets.sockets;
    let mut connections = Vec::new();
    for _ in 0..100 {
        connections.push(world.connect_raw(BOB, PIPE_BYTES).await);
        // A handshake has a place while it is under way.
        let places: Vec<_> = (0..10).map_while(|_| sockets.place(user(BOB)).ok()).collect();
        assert!((2..=5).contains(&places.len()), "{}", places.len());
    }
    // All but four are being closed, which takes its time, and hold no place any more.
    assert!(sockets.sessions.len() > 6);
    assert!(sockets.place(user(ALICE)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_after_a_connection() {
    let world = world(Limits { max_connections: 2, ..unlimited() });
    let first = world.connect(ALICE).await;
    let _second = world.connect(BOB).await;
    let sockets = &world.edge.shared.web_sockets.sockets;
    assert!(sockets.place(user(3)).is_err());
    assert!(sockets.place(user(3)).is_err());
    drop(first);
    while world.edge.shared.metrics.sockets.count() > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let place = sockets.place(user(3)).expect("a place");
    assert!(sockets.place(user(3)).is_err());
    drop(place);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_pinged_and_stays() {
    let world = world(unlimited());
    let mut bob = world.connect(BOB).await;
    let start = Instant::now();
    for _ in 0..10 {
        assert!(matches!(bob.next().await, Message::Ping(_)));
        // The answer is written when the client next does something.
        bob.socket.flush().await.expect("open");
    }
    assert_eq!(start.elapsed().as_secs(), 250);
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    assert_eq!(bob.bodies(1).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_dropped_after_two_periods() {
    let world = world(unlimited());
    let mut bob = world.connect_raw(BOB, PIPE_BYTES).await;
    let start = Instant::now();
    // One ping, and then the end without a close frame.
    assert_eq!(read_to_end(&mut bob).await, [0x89, 0]);
    assert_eq!(start.elapsed().as_secs(), 50);
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_is_not_silent() {
    let world = world(unlimited());
    let mut bob = world.connect_raw(BOB, PIPE_BYTES).await;
    // A byte of a frame every now and then, and no answer to pings.
    for byte in frame(0x81, b"{}") {
        tokio::time::sleep(seconds(40)).await;
        bob.write_all(&[byte]).await.expect("open");
    }
    let start = Instant::now();
    let written = read_to_end(&mut bob).await;
    assert!((50..60).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(String::from_utf8_lossy(&written).contains("unknown_action"));
}

/// The frame of 1013 without its reason.
fn ends_with_1013(written: &[u8]) -> bool {
    written.windows(4).any(|frame| frame[0] == 0x88 && frame[2..] == [0x03, 0xf5])
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_process_takes_no_answer_for_none() {
    let world = world(unlimited());
    let mut bob = world.connect_raw(BOB, PIPE_BYTES).await;
    // Longer than two periods, of which nobody was pinged in the first.
    tokio::time::advance(seconds(120)).await;
    let mut ping = [0; 2];
    bob.read_exact(&mut ping).await.expect("a ping");
    assert_eq!(ping, [0x89, 0]);
    bob.write_all(&frame(0x8a, b"")).await.expect("open");
    let start = Instant::now();
    assert_eq!(read_to_end(&mut bob).await, [0x89, 0]);
    assert_eq!(start.elapsed().as_secs(), 50);
}

#[tokio::test(start_paused = true)]
async fn who_takes_what_is_sent_is_not_silent() {
    const MESSAGES: usize = 240;
    let world = world(unlimited());
    let mut bob = world.connect_raw(BOB, 1024).await;
    let body = "x".repeat(200);
    world.core.deliver(user(ALICE), user(BOB), &vec![body.as_str(); MESSAGES]);
    // Slowly, and without an answer to any ping: they wait behind the messages.
    let mut taken = vec![0; 6 * 1024];
    for _ in 0..9 {
        tokio::time::sleep(seconds(9)).await;
        bob.read_exact(&mut taken).await.expect("open after two periods");
    }
    assert_eq!(world.edge.shared.metrics.sockets.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_come_to_the_ping_is_told_why_it_ends() {
    let world = world(unlimited());
    let mut bob = world.connect_raw(BOB, PIPE_BYTES).await;
    world.core.deliver(user(ALICE), user(BOB), &["a", "b"]);
    // All of it is on its way, and nobody reads.
    tokio::time::sleep(seconds(49)).await;
    let start = Instant::now();
    assert_eq!(world.edge.shared.metrics.sockets.count(), 1);
    world.emptied().await;
    assert!(start.elapsed() <= seconds(11), "{:?}", start.elapsed());
    let written = read_to_end(&mut bob).await;
    assert!(ends_with_1013(&written), "{written:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_nothing_is_dropped() {
    let world = world(unlimited());
    let mut bob = world.connect_raw(BOB, 64).await;
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    let start = Instant::now();
    world.emptied().await;
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(read_to_end(&mut bob).await.len(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_client_is_answered() {
    let world = world(unlimited());
    let mut bob = world.connect_raw(BOB, PIPE_BYTES).await;
    bob.write_all(&frame(0x88, &1000_u16.to_be_bytes())).await.expect("open");
    let start = Instant::now();
    assert_eq!(read_to_end(&mut bob).await, [0x88, 2, 0x03, 0xe8]);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_the_close_is_not_awaited_long() {
    let world = world(Limits { max_connections_per_user: 1, ..unlimited() });
    let bob = world.connect_raw(BOB, PIPE_BYTES).await;
    let _newer = world.connect(BOB).await;
    let start = Instant::now();
    while world.edge.shared.web_sockets.sockets.sessions.len() > 1 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // It is probed before, and holds no place from when it is to close.
    assert!(start.elapsed() < seconds(7));
    drop(bob);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_user_is_closed_everywhere() {
    let world = world(unlimited());
    let mut bobs = [world.connect(BOB).await, world.connect(BOB).await];
    world.core.break_subscriptions(&Failure::new(ErrorReason::UserDeleted, "deleted"));
    for bob in &mut bobs {
        assert_eq!(bob.close_code().await, CloseCode::Policy);
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_closes_where_that_is_wanted() {
    let world = world(unlimited());
    let expires_at = Instant::now() + seconds(10);
    let bob = world.connect_until(BOB, PIPE_BYTES, Some(Expiry::closing_at(expires_at))).await;
    assert_eq!(Client::new(bob).await.close_code().await, CloseCode::Policy);
    assert_eq!(Instant::now().duration_since(expires_at).as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_stores_and_answers_what_was_read_and_closes_with_1001() {
    let world = world(unlimited());
    let mut alice = world.connect(ALICE).await;
    let mut bob = world.connect(BOB).await;
    alice.send(text_to(user(BOB), "a")).await;
    assert_eq!(bob.bodies(1).await, ["a"]);
    world.core.change(|state| state.sends = Sends::Ignored);
    alice.send(text_to(user(BOB), "b")).await;
    world.core.wait_for("b", |state| state.received.len() == 2).await;

    let shared = &world.edge.shared;
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    assert_eq!(bob.close_code().await, CloseCode::Away);
    assert!(shared.web_sockets.sockets.place(user(3)).is_err());
    world.core.refuse_unanswered(&Failure::new(ErrorReason::Overloaded, "busy"));
    assert_eq!(alice.error_code().await, "unavailable");
    assert_eq!(alice.close_code().await, CloseCode::Away);
    shared.tasks.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_core_that_hangs() {
    let world = world(unlimited());
    let mut alice = world.connect(ALICE).await;
    world.core.change(|state| state.sends = Sends::Ignored);
    alice.send(text_to(user(BOB), "a")).await;
    world.core.wait_for("a", |state| state.received.len() == 1).await;
    let shared = &world.edge.shared;
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    let start = Instant::now();
    assert_eq!(alice.close_code().await, CloseCode::Away);
    shared.tasks.ended().await;
    let took = start.elapsed();
    assert!(took < shared.config.limits.drain_timeout, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_until_it_reads_the_close_is_stored() {
    let world = world(unlimited());
    let mut alice = world.connect(ALICE).await;
    let mut sent = 0;
    let mut send = async |alice: &mut Client| {
        alice.send(text_to(user(BOB), sent.to_string())).await;
        sent += 1;
        sent
    };
    for _ in 0..10 {
        send(&mut alice).await;
    }
    let shared = &world.edge.shared;
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    // The close frame is on its way, and the client has not read it.
    let mut last = 0;
    for _ in 0..300 {
        tokio::task::yield_now().await;
        last = send(&mut alice).await;
    }
    assert_eq!(alice.close_code().await, CloseCode::Away);
    shared.tasks.ended().await;
    assert_eq!(world.core.state().bodies(), numbers(0..last));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_on_after_the_close_is_not_read_for_ever() {
    let world = world(Limits { max_connections_per_user: 1, ..unlimited() });
    let mut alice = world.connect_raw(ALICE, PIPE_BYTES).await;
    let _newer = world.connect(ALICE).await;
    let text = frame(0x81, text_to(user(BOB), "a").to_string().as_bytes());
    let flood = async {
        while alice.write_all(&text).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(seconds(15), flood).await.expect("the end of the connection");
}

#[tokio::test(start_paused = true)]
async fn a_close_for_a_fault_comes_after_the_answers_and_the_queue() {
    let world = world(unlimited());
    for (fault, code) in [
        (frame(0x83, b"{}"), CloseCode::Protocol),
        (frame(0x81, b"\xff"), CloseCode::Invalid),
        (vec![0x81, 0x80 | 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], CloseCode::Size),
    ] {
        let received = world.core.state().received.len();
        world.core.change(|state| state.sends = Sends::Ignored);
        let mut alice = world.connect_raw(ALICE, PIPE_BYTES).await;
        let text = text_to(user(BOB), "a").to_string();
        let frames = [frame(0x81, text.as_bytes()), fault].concat();
        alice.write_all(&frames).await.expect("open");
        world.core.wait_for("a", |state| state.received.len() > received).await;
        world.core.deliver(user(BOB), user(ALICE), &["b"]);
        tokio::task::yield_now().await;
        world.core.refuse_unanswered(&Failure::new(ErrorReason::Overloaded, "busy"));
        let mut alice = Client::new(alice).await;
        assert_eq!(alice.error_code().await, "unavailable", "{code:?}");
        assert_eq!(alice.close_code().await, code);
        world.core.answer_all();
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_any_size_is_delivered() {
    let world = world(Limits { max_body_bytes: 100, outgoing_queue_bytes: 100, ..unlimited() });
    let mut bob = world.connect(BOB).await;
    let body = "\u{1}".repeat(1024 * 1024);
    world.core.deliver(user(ALICE), user(BOB), &[&body, "b"]);
    assert_eq!(bob.bodies(2).await, [&body, "b"]);
}
