//! Who types.

use super::*;

fn types(reference: Option<&str>, peer: u128, typing: bool) -> Value {
    json!({
        "action": "typing",
        "ref": reference,
        "peer_id": user(peer).to_string(),
        "typing": typing,
    })
}

/// What the core was told.
fn told(world: &World) -> Vec<bool> {
    world.core.state().typing.iter().map(|typing| typing.typing).collect()
}

fn shown(peer: u128, typing: bool) -> Value {
    json!({"action": "typing", "peer_id": user(peer).to_string(), "typing": typing})
}

#[tokio::test(start_paused = true)]
async fn it_is_told_and_answered_by_its_reference_alone() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    alice.send(types(Some("a"), BOB, true)).await;
    assert_eq!(alice.answer().await, json!({"action": "ack", "ref": "a"}));
    let asked = world.core.state().typing[0].clone();
    assert_eq!((asked.user_id, asked.peer_id), (user(ALICE).to_string(), user(BOB).to_string()));
    alice.send(types(None, BOB, false)).await;
    world.core.wait_for("the second word", |state| state.typing.len() == 2).await;
    assert_eq!(alice.rest().await, [] as [Value; 0]);
    assert_eq!(told(&world), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn over_the_rate_the_last_word_of_any_device_waits_and_is_told() {
    let world = world(unlimited());
    let (mut one, mut other) = (world.live(ALICE).await, world.live(ALICE).await);
    let start = Instant::now();
    for number in 0..100 {
        one.send(types(Some(&number.to_string()), BOB, true)).await;
    }
    for number in 0..99 {
        let ack = one.answer().await;
        assert_eq!(ack["action"], "ack", "{number}: {ack}");
        if number == 0 {
            // While the first device types on.
            one.send(types(Some("again"), BOB, true)).await;
            other.send(types(Some("last"), BOB, false)).await;
        }
    }
    assert_eq!(other.answer().await, json!({"action": "ack", "ref": "last"}));
    assert!(start.elapsed() <= seconds(2), "{:?}", start.elapsed());
    let told = told(&world);
    assert!(told.len() <= 3 && told.last() == Some(&false), "{told:?}");
    // To another peer it does not wait.
    let start = Instant::now();
    one.send(types(Some("else"), 3, true)).await;
    while one.answer().await["ref"] != "else" {}
    assert!(start.elapsed() < seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_one_word_a_second_and_holds_nothing_up() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    let start = Instant::now();
    for number in 0..1_000 {
        alice.send(types(None, BOB, number % 2 == 0)).await;
    }
    alice.send(message_to(BOB, 1)).await;
    assert_eq!(alice.answer().await["message_id"], 1);
    assert!(alice.rest().await.iter().all(|frame| frame["action"] != "error"));
    let told = told(&world);
    let allowed = 2 + start.elapsed().as_secs() as usize;
    assert!(told.len() <= allowed && told.last() == Some(&false), "{told:?} in {allowed}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_with_or_without_a_reference() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    let unknown = Failure::new(ErrorReason::UserUnknown, "unknown");
    world.core.change(|state| state.typing_failure = Some(unknown));
    for reference in [Some("a"), None] {
        alice.send(types(reference, BOB, true)).await;
        let error = alice.answer().await;
        assert_eq!((&error["code"], &error["ref"]), (&json!("not_found"), &json!(reference)));
    }
    for (frame, code) in [
        (types(Some("b"), ALICE, true), "not_found"),
        (json!({"action": "typing", "peer_id": "nobody", "typing": true}), "not_found"),
        (json!({"action": "typing", "typing": true}), "invalid_field"),
        (json!({"action": "typing", "peer_id": user(BOB).to_string()}), "invalid_field"),
        (
            json!({"action": "typing", "peer_id": user(BOB).to_string(), "typing": 1}),
            "invalid_field",
        ),
    ] {
        alice.send(&frame).await;
        let error = alice.answer().await;
        assert_eq!(error["code"], code, "{frame}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_core_that_is_away_is_asked_again_and_not_for_long() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    world.core.change(|state| state.typing_failure = Some(unavailable()));
    alice.send(types(Some("a"), BOB, true)).await;
    world.core.wait_for("a word", |state| state.typing.len() > 1).await;
    alice.send(types(Some("b"), BOB, false)).await;
    world.core.wait_for("the last", |state| state.typing.iter().any(|it| !it.typing)).await;
    world.core.change(|state| state.typing_failure = None);
    for _ in 0..2 {
        assert_eq!(alice.answer().await["action"], "ack");
    }
    assert_eq!(told(&world).last(), Some(&false));
    world.core.change(|state| state.typing_failure = Some(unavailable()));
    let start = Instant::now();
    alice.send(types(Some("c"), BOB, true)).await;
    let error = alice.answer().await;
    assert_eq!((&error["code"], &error["ref"]), (&json!("unavailable"), &json!("c")));
    assert!(start.elapsed() <= seconds(6), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_user_is_told_so_by_the_close() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    let deleted = Failure::new(ErrorReason::UserDeleted, "deleted");
    world.core.change(|state| state.typing_failure = Some(deleted));
    alice.send(types(None, BOB, true)).await;
    assert_eq!(u16::from(alice.close_code().await), 4403);
}

#[tokio::test(start_paused = true)]
async fn those_of_the_second_generation_are_shown_it_and_no_others() {
    let world = world(unlimited());
    let mut documented = world.connect(BOB).await;
    let mut bob = world.live(BOB).await;
    for typing in [true, false] {
        world.core.types(user(ALICE), user(BOB), typing);
        assert_eq!(bob.json().await, shown(ALICE, typing));
    }
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    assert_eq!(documented.bodies(1).await, ["a"]);
    // The cursor has not moved with them.
    let frame = bob.action("message").await;
    assert_eq!(frame["message"]["rev"], 1);
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_loses_signals_alone() {
    let world = world(unlimited());
    let stream = world.second_raw(BOB, None, 1_024).await;
    let shed = |world: &World| {
        let signals = &world.edge.shared.metrics.signals;
        signals.shed_at(crate::metrics::ShedSignal::Socket)
    };
    for round in 0..50 {
        for peer in 10..400 {
            world.core.types(user(peer), user(BOB), round % 2 == 0);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(shed(&world) > 0);
    world.core.deliver(user(ALICE), user(BOB), &["a", "b"]);
    let mut bob = Client::new(stream).await;
    let (mut bodies, mut typing) = (Vec::new(), 0);
    while bodies.len() < 2 {
        let frame = bob.json().await;
        match frame["action"].as_str() {
            Some("message") => {
                bodies.push(frame["message"]["message"].as_str().expect("text").to_owned());
            }
            Some("typing") => typing += 1,
            Some("hello" | "live") => {}
            _ => panic!("{frame}"),
        }
    }
    assert_eq!(bodies, ["a", "b"]);
    assert!(typing < 1_000, "{typing}");
    // What is told last of all is what there is.
    world.core.types(user(ALICE), user(BOB), true);
    while bob.json().await != shown(ALICE, true) {}
}

#[tokio::test(start_paused = true)]
async fn who_has_written_meanwhile_types_no_more() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    // From the third on each waits for a second.
    for reference in ["a", "b", "c"] {
        alice.send(types(Some(reference), BOB, true)).await;
        assert_eq!(alice.answer().await, json!({"action": "ack", "ref": reference}));
    }
    alice.send(types(Some("d"), BOB, true)).await;
    alice.send(message_to(BOB, 1)).await;
    let (one, other) = (alice.answer().await, alice.answer().await);
    assert!([&one, &other].iter().any(|answer| answer["ref"] == "d"), "{one} {other}");
    tokio::time::sleep(seconds(7)).await;
    assert_eq!(told(&world).len(), 3);
    alice.send(types(Some("e"), BOB, true)).await;
    assert_eq!(alice.answer().await, json!({"action": "ack", "ref": "e"}));
    assert_eq!(told(&world).len(), 4);
}
