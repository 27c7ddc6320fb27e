//! Whom a client watches, and whether its user hides.

use super::*;

fn watch(reference: &str, peers: &[u128]) -> Value {
    let peers: Vec<_> = peers.iter().map(|peer| user(*peer).to_string()).collect();
    json!({"action": "presence_watch", "ref": reference, "peer_ids": peers})
}

fn state(peer: u128, online: bool) -> Value {
    json!({"peer_id": user(peer).to_string(), "online": online, "last_seen": null})
}

fn shown(peer: u128, online: bool) -> Value {
    let mut frame = state(peer, online);
    frame["action"] = json!("presence");
    frame
}

#[tokio::test(start_paused = true)]
async fn peers_are_told_in_the_order_asked_and_then_as_they_change() {
    let world = world(unlimited());
    world.core.change(|state| state.presence.set(user(BOB), true));
    let mut alice = world.live(ALICE).await;
    alice.send(watch("a", &[3, BOB, 3])).await;
    let states = [state(3, false), state(BOB, true), state(3, false)];
    assert_eq!(alice.answer().await, json!({"action": "ack", "ref": "a", "states": states}));
    world.core.change(|state| state.presence.set(user(BOB), false));
    assert_eq!(alice.json().await, shown(BOB, false));
    // What is as it was is no news.
    world.core.change(|state| state.presence.set(user(BOB), false));
    world.core.change(|state| state.presence.set(user(3), true));
    assert_eq!(alice.json().await, shown(3, true));
    // Another list takes the place of the first.
    alice.send(watch("b", &[4])).await;
    assert_eq!(alice.answer().await["states"], json!([state(4, false)]));
    world.core.change(|state| state.presence.set(user(BOB), true));
    world.core.change(|state| state.presence.set(user(4), true));
    assert_eq!(alice.json().await, shown(4, true));
    alice.send(watch("c", &[])).await;
    assert_eq!(alice.answer().await["states"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn lists_that_follow_each_other_are_each_answered_and_the_last_one_counts() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    for number in 0..20 {
        alice.send(watch(&number.to_string(), &[10 + number])).await;
    }
    for number in 0..20 {
        let ack = alice.answer().await;
        assert_eq!((&ack["ref"], &ack["action"]), (&json!(number.to_string()), &json!("ack")));
        assert_eq!(ack["states"][0]["peer_id"], user(10 + number).to_string());
    }
    for peer in 10..30 {
        world.core.change(|state| state.presence.set(user(peer), true));
    }
    assert_eq!(alice.json().await, shown(29, true));
}

#[tokio::test(start_paused = true)]
async fn a_list_is_watched_on_after_a_break() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    alice.send(watch("a", &[BOB, 3])).await;
    assert_eq!(alice.answer().await["action"], "ack");
    world.core.change(|state| {
        state.presence.watches.clear();
        state.presence.online.insert(user(BOB).to_string());
    });
    assert_eq!(alice.json().await, shown(BOB, true));
    world.core.change(|state| state.presence.set(user(3), true));
    assert_eq!(alice.json().await, shown(3, true));
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_or_refused_changes_nothing() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    alice.send(watch("a", &[BOB])).await;
    assert_eq!(alice.answer().await["action"], "ack");
    let many: Vec<_> = (0..101).collect();
    for frame in [
        watch("b", &many),
        json!({"action": "presence_watch"}),
        json!({"action": "presence_watch", "peer_ids": user(BOB).to_string()}),
        json!({"action": "presence_watch", "peer_ids": ["nobody"]}),
        json!({"action": "presence_watch", "peer_ids": [null]}),
        json!({"action": "presence_set", "presence": "all"}),
        json!({"action": "presence_set"}),
    ] {
        alice.send(&frame).await;
        assert_eq!(alice.answer().await["code"], "invalid_field", "{frame}");
    }
    world.core.change(|state| state.presence.failure = Some(unavailable()));
    alice.send(watch("c", &[3])).await;
    let error = alice.answer().await;
    assert_eq!((&error["code"], &error["ref"]), (&json!("unavailable"), &json!("c")));
    world.core.change(|state| state.presence.set(user(BOB), true));
    assert_eq!(alice.json().await, shown(BOB, true));
}

#[tokio::test(start_paused = true)]
async fn a_user_hides_and_no_longer_does() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    for (reference, presence) in [("a", "nobody"), ("b", "peers")] {
        alice.send(json!({"action": "presence_set", "ref": reference, "presence": presence})).await;
        assert_eq!(alice.answer().await, json!({"action": "ack", "ref": reference}));
        let hides = world.core.state().presence.hidden.contains(&user(ALICE).to_string());
        assert_eq!(hides, presence == "nobody");
    }
}

#[tokio::test(start_paused = true)]
async fn a_core_is_told_who_has_a_socket_of_either_generation() {
    let world = world(unlimited());
    let says = |world: &World, number: u128, online: bool| {
        let id = *user(number).0.as_bytes();
        let reports = &world.core.state().presence.reports;
        reports.iter().any(|report| {
            let ids = if online { &report.online } else { &report.offline };
            ids.chunks(16).any(|one| one == id)
        })
    };
    let documented = world.connect(BOB).await;
    let alice = world.live(ALICE).await;
    for number in [ALICE, BOB] {
        world.core.wait_for("a report", |_| true).await;
        while !says(&world, number, true) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(!says(&world, ALICE, false) && !says(&world, BOB, false));
    drop((documented, alice));
    for number in [ALICE, BOB] {
        while !says(&world, number, false) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_has_left_because_another_core_has_not_heard_of_them_yet() {
    let world = world(unlimited());
    world.core.change(|state| {
        state.presence.set(user(BOB), true);
        state.presence.set(user(3), true);
    });
    let mut alice = world.live(ALICE).await;
    alice.send(watch("a", &[BOB, 3])).await;
    assert_eq!(alice.answer().await["action"], "ack");
    let start = Instant::now();
    world.core.change(|state| {
        state.presence.watches.clear();
        state.presence.online.clear();
    });
    world.core.wait_for("another watch", |state| !state.presence.watches.is_empty()).await;
    // One comes back, the other does not.
    world.core.change(|state| state.presence.set(user(3), true));
    assert_eq!(alice.json().await, shown(BOB, false));
    assert!(start.elapsed() >= seconds(10), "{:?}", start.elapsed());
    world.core.change(|state| state.presence.set(user(3), false));
    assert_eq!(alice.json().await, shown(3, false), "it was online all the time");
}
