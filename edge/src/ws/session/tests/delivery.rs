use super::*;

#[tokio::test(start_paused = true)]
async fn every_connection_of_the_receiver_sees_each_message_once_in_order() {
    let world = world(unlimited());
    let mut alice = world.connect(ALICE).await;
    let mut bobs = [world.connect(BOB).await, world.connect(BOB).await];
    for number in 0..500 {
        alice.send(text_to(user(BOB), number.to_string())).await;
    }
    for bob in &mut bobs {
        assert_eq!(bob.bodies(500).await, numbers(0..500));
    }
    // The sender sees nothing of it: the first frame is the answer to the next.
    alice.send("{}").await;
    assert_eq!(alice.error_code().await, "unknown_action");
    assert_eq!(world.core.state().subscriptions, 2, "one for each user");
}

#[tokio::test(start_paused = true)]
async fn a_frame_is_the_documented_one() {
    let world = world(unlimited());
    let mut bob = world.connect(BOB).await;
    world.core.deliver(user(ALICE), user(BOB), &["hello"]);
    let Message::Text(text) = bob.next().await else { panic!("not text") };
    assert_eq!(
        text.as_str(),
        concat!(
            r#"{"message_body":"hello","sender_id":"00000000-0000-0000-0000-000000000001","#,
            r#""receiver_id":"00000000-0000-0000-0000-000000000002","#,
            r#""timestamp":"2024-06-17T12:48:28.228343+00:00","created_msg_id":1,"#,
            r#""action":"re_message"}"#
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_break_of_the_core_leaves_no_hole_and_no_double() {
    let world = world(unlimited());
    let mut bobs = [world.connect(BOB).await, world.connect(BOB).await];
    let mut sent = 0;
    for _ in 0..20 {
        for deliver_while_broken in [false, true] {
            if deliver_while_broken {
                world.core.change(|state| state.is_down = true);
                world.core.break_subscriptions(&unavailable());
            }
            let bodies = numbers(sent..sent + 5);
            let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
            world.core.deliver(user(ALICE), user(BOB), &bodies);
            sent += 5;
            tokio::time::sleep(seconds(1)).await;
            world.core.change(|state| state.is_down = false);
        }
    }
    for bob in &mut bobs {
        assert_eq!(bob.bodies(sent).await, numbers(0..sent));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_core_delivers_again_is_shown_once() {
    let world = world(unlimited());
    let mut bob = world.connect(BOB).await;
    world.core.deliver(user(ALICE), user(BOB), &["a", "b"]);
    world.core.deliver_again(user(BOB));
    world.core.deliver(user(ALICE), user(BOB), &["c"]);
    assert_eq!(bob.bodies(3).await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_closed_and_delays_nobody_else() {
    let world = world(unlimited());
    let slow = world.connect_raw(BOB, 1024).await;
    let mut fast = world.connect(BOB).await;
    for number in 0..1_000 {
        world.core.deliver(user(ALICE), user(BOB), &[&number.to_string()]);
    }
    let start = Instant::now();
    assert_eq!(fast.bodies(1_000).await, numbers(0..1_000));
    assert!(start.elapsed() < seconds(2), "{:?}", start.elapsed());
    assert_eq!(Client::new(slow).await.close_code().await, CloseCode::Again);
}

#[tokio::test(start_paused = true)]
async fn slow_consumers_that_take_a_little_at_times_delay_nobody_for_long() {
    let world = world(unlimited());
    let mut slow = Vec::new();
    for _ in 0..5 {
        slow.push(world.connect_raw(BOB, 1024).await);
    }
    let mut fast = world.connect(BOB).await;
    let bodies = numbers(0..1_000);
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.core.deliver(user(ALICE), user(BOB), &bodies);
    let start = Instant::now();
    let trickle = async {
        let mut bytes = [0; 512];
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            for stream in &mut slow {
                let _ = stream.read(&mut bytes).await;
            }
        }
    };
    tokio::select! {
        received = fast.bodies(1_000) => assert_eq!(received, bodies),
        () = trickle => unreachable!("it goes on for ever"),
    }
    assert!(start.elapsed() < seconds(3), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn handshakes_without_end_do_not_ask_the_core_without_end() {
    let world = world(unlimited());
    let mut bob = world.connect(BOB).await;
    world.core.change(|state| state.is_down = true);
    world.core.break_subscriptions(&unavailable());
    world.core.wait_for("an attempt", |state| state.refused > 0).await;
    let before = world.core.state().refused;
    for _ in 0..1_000 {
        let place = world.edge.shared.web_sockets.sockets.place(user(BOB)).expect("a place");
        let connection = world
            .edge
            .shared
            .web_sockets
            .sockets
            .join(place, Generation::V1, Default::default())
            .expect("no drain");
        let _ = timeout(Duration::from_millis(1), connection.live()).await;
    }
    let refused = world.core.state().refused - before;
    assert!((5..=12).contains(&refused), "{refused} attempts in a second");
    world.core.change(|state| state.is_down = false);
    let start = Instant::now();
    world.connect(BOB).await;
    assert!(start.elapsed() <= Duration::from_millis(100), "{:?}", start.elapsed());
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    assert_eq!(bob.bodies(1).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_bounded_in_bytes_too() {
    let world = world(Limits { outgoing_queue_bytes: 32 * 1024, ..unlimited() });
    let slow = world.connect_raw(BOB, 1024).await;
    let body = "x".repeat(8 * 1024);
    let bodies = [body.as_str(); 10];
    world.core.deliver(user(ALICE), user(BOB), &bodies);
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(Client::new(slow).await.close_code().await, CloseCode::Again);
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_no_slow_consumer() {
    let world = world(unlimited());
    let mut bob = world.connect(BOB).await;
    let bodies = numbers(0..5_000);
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.core.deliver(user(ALICE), user(BOB), &bodies);
    assert_eq!(bob.bodies(5_000).await, bodies);
}

#[tokio::test(start_paused = true)]
async fn a_user_is_subscribed_while_connected() {
    let world = world(unlimited());
    let first = world.connect(BOB).await;
    let second = world.connect(BOB).await;
    assert_eq!(world.core.state().subscribers(), 1);
    drop(first);
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(world.core.state().subscribers(), 1);
    drop(second);
    world.core.wait_for("end of the subscription", |state| state.subscribers() == 0).await;
    let mut third = world.connect(BOB).await;
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    assert_eq!(third.bodies(1).await, ["a"]);
    assert_eq!(world.core.state().subscriptions, 2);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_in_a_moment_finds_the_subscription_and_nothing_of_before() {
    let world = world(unlimited());
    for body in ["a", "b", "c"] {
        let mut bob = world.connect(BOB).await;
        world.core.deliver(user(ALICE), user(BOB), &[body]);
        assert_eq!(bob.bodies(1).await, [body]);
        drop(bob);
        // Longer in all than each time, with something that nobody is there for.
        tokio::time::sleep(seconds(6)).await;
        world.core.deliver(user(ALICE), user(BOB), &["missed"]);
        tokio::time::sleep(seconds(1)).await;
    }
    assert_eq!(world.core.state().subscriptions, 1);
    world.core.wait_for("end of the subscription", |state| state.subscribers() == 0).await;
}

/// It would be shown what was sent before it came.
#[tokio::test(start_paused = true)]
async fn a_subscription_that_breaks_while_nobody_is_there_is_not_opened_again() {
    let world = world(unlimited());
    drop(world.connect(BOB).await);
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(world.core.state().subscribers(), 1);
    world.core.break_subscriptions(&unavailable());
    world.core.deliver(user(ALICE), user(BOB), &["missed"]);
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(world.core.state().subscriptions, 1);
    let mut bob = world.connect(BOB).await;
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    assert_eq!(bob.bodies(1).await, ["a"]);
    assert_eq!(world.core.state().subscriptions, 2);
}

/// As when it was the subscription's last one.
#[tokio::test(start_paused = true)]
async fn a_deleted_user_does_not_come_back_to_a_subscription() {
    let world = world(unlimited());
    drop(world.connect(BOB).await);
    tokio::time::sleep(seconds(1)).await;
    world.core.change(|state| state.deleted.insert(user(BOB).to_string()));
    world.core.break_subscriptions(&Failure::new(ErrorReason::UserDeleted, "deleted"));
    tokio::time::sleep(seconds(1)).await;
    let sockets = &world.edge.shared.web_sockets.sockets;
    let place = sockets.place(user(BOB)).expect("a place");
    let connection = sockets.join(place, Generation::V1, Default::default()).expect("no drain");
    let refused = connection.live().await.expect_err("a refusal");
    assert_eq!(refused.reason(), ErrorReason::UserDeleted);
}

#[tokio::test(start_paused = true)]
async fn handshakes_at_once_share_a_subscription_and_miss_nothing() {
    let world = world(unlimited());
    let mut bobs = futures_util::future::join_all((0..10).map(|_| world.connect(BOB))).await;
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    for bob in &mut bobs {
        assert_eq!(bob.bodies(1).await, ["a"]);
    }
    assert_eq!(world.core.state().subscriptions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_does_not_wait_for_the_next_attempt_of_a_broken_subscription() {
    let world = world(unlimited());
    let mut first = world.connect(BOB).await;
    world.core.change(|state| state.is_down = true);
    world.core.break_subscriptions(&unavailable());
    tokio::time::sleep(seconds(20)).await;
    world.core.change(|state| state.is_down = false);
    let start = Instant::now();
    let mut second = world.connect(BOB).await;
    assert!(start.elapsed() <= Duration::from_millis(100), "{:?}", start.elapsed());
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    for bob in [&mut first, &mut second] {
        assert_eq!(bob.bodies(1).await, ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_another_one_makes_clients_come_anew() {
    let world = world(unlimited());
    let mut bob = world.connect(BOB).await;
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    assert_eq!(bob.bodies(1).await, ["a"]);
    world.core.break_subscriptions(&Failure::invalid_field("after_seq", "beyond the last"));
    assert_eq!(bob.close_code().await, CloseCode::Away);
    // A new connection gets a new subscription.
    let mut bob = world.connect(BOB).await;
    world.core.deliver(user(ALICE), user(BOB), &["b"]);
    assert_eq!(bob.bodies(1).await, ["b"]);
}
