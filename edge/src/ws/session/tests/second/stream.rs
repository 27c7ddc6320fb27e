//! What comes by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn body(frame: &Value) -> &str {
    frame["message"]["message"].as_str().expect("a body")
}

/// The bodies of messages that are new to the client, before `live` and after.
async fn new_bodies(client: &mut Client, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let frame = client.json().await;
        match frame["action"].as_str() {
            Some("message") => {
                assert_eq!(frame["new"], true, "{frame}");
                bodies.push(body(&frame).to_owned());
            }
            Some("live" | "thread") => {}
            _ => panic!("{frame}"),
        }
    }
    bodies
}

#[tokio::test(start_paused = true)]
async fn a_connection_begins_with_hello_and_is_live_once() {
    let world = world(unlimited());
    world.core.deliver(user(ALICE), user(BOB), &["before"]);
    world.core.change(|state| state.unread_total = 7);
    let mut bob = world.second(BOB, None).await;
    let hello = bob.action("hello").await;
    assert_eq!(hello["user_id"], user(BOB).to_string());
    assert_eq!(
        (&hello["resumed"], &hello["reset"], &hello["behind"]),
        (&json!(false), &Value::Null, &json!(0))
    );
    assert_eq!(hello["limits"]["max_server_frame_bytes"], 131_072);
    let live = bob.action("live").await;
    assert_eq!((live["unread_total"].as_i64(), cursor(&live)), (Some(7), cursor(&hello)));
    world.core.deliver(user(ALICE), user(BOB), &["a", "b"]);
    assert_eq!(new_bodies(&mut bob, 2).await, ["a", "b"]);
    assert_eq!(bob.rest().await, [] as [Value; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_device_sees_ones_own_messages_and_every_change() {
    let world = world(unlimited());
    let mut alices = [world.live(ALICE).await, world.live(ALICE).await];
    let mut bob = world.live(BOB).await;
    alices[0].send(message_to(BOB, 1)).await;
    for alice in &mut alices {
        let frame = loop {
            let frame = alice.json().await;
            if frame["action"] == "message" {
                break frame;
            }
        };
        assert_eq!(frame["new"], true);
        assert_eq!(frame["message"]["client_ref"], client_ref(1));
    }
    let frame = bob.action("message").await;
    assert_eq!((body(&frame), &frame["message"]["client_ref"]), ("1", &Value::Null));
    assert_eq!(frame["message"]["rev"], 1);

    alices[1]
        .send(json!({"action": "message_edit", "message_id": 1, "message_body": "edited"}))
        .await;
    for client in alices.iter_mut().chain([&mut bob]) {
        let frame = loop {
            let frame = client.json().await;
            if frame["action"] == "message" {
                break frame;
            }
        };
        assert_eq!((&frame["new"], body(&frame)), (&json!(false), "edited"));
    }
    bob.send(mark("seen", None, ALICE, 1)).await;
    for client in alices.iter_mut().chain([&mut bob]) {
        let frame = client.action("thread").await;
        let thread = &frame["thread"];
        let (own, peers) = (&thread["seen_id"], &thread["peer_seen_id"]);
        assert_eq!(own.as_i64().max(peers.as_i64()), Some(1), "{frame}");
    }
    bob.send(json!({"action": "message_delete", "message_id": 1, "for": "me"})).await;
    let frame = bob.action("message").await;
    assert_eq!((&frame["message"]["hidden"], body(&frame)), (&json!(true), ""));
    for alice in &mut alices {
        assert_eq!(alice.rest().await, [] as [Value; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_documented_connection_beside_it_is_shown_what_it_always_was() {
    let world = world(unlimited());
    let mut documented = world.connect(BOB).await;
    let mut second = world.live(BOB).await;
    let mut alice = world.live(ALICE).await;
    alice.send(message_to(BOB, 1)).await;
    second.send(message_to(ALICE, 2)).await;
    second.send(mark("seen", None, ALICE, 1)).await;
    alice.send(json!({"action": "message_edit", "message_id": 1, "message_body": "x"})).await;
    alice.send(message_to(BOB, 3)).await;
    assert_eq!(documented.bodies(2).await, ["1", "3"]);
    assert_eq!(documented.rest().await, [] as [Value; 0]);
    assert!(second.rest().await.len() >= 5);
    // One for both is not enough: each stream of the second generation is paced by its socket.
    assert_eq!(world.core.state().subscriptions, 3);
}

/// What a client holds: of each message its text, and whether it has rung.
#[derive(Default)]
struct Held {
    cursor: Option<String>,
    texts: BTreeMap<i64, String>,
    rung: BTreeSet<i64>,
}

impl Held {
    fn take(&mut self, frame: &Value) {
        if frame["action"] == "message" {
            let message = &frame["message"];
            let id = message["id"].as_i64().expect("an id");
            let is_held = self.texts.insert(id, body(frame).to_owned()).is_some();
            if frame["new"] == true && !is_held {
                self.rung.insert(id);
            }
        }
        self.cursor = Some(cursor(frame).to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_cut_off_after_each_frame_misses_nothing_and_rings_once() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    let mut bob = world.live(BOB).await;
    let mut sent = 0;
    let mut held = Held::default();
    alice.send(message_to(BOB, 0)).await;
    held.take(&bob.action("message").await);
    drop(bob);
    for round in 0..40 {
        // Some are edited while they are missed, and while they are read.
        for _ in 0..3 {
            if sent < 60 {
                sent += 1;
                alice.send(message_to(BOB, sent)).await;
            }
        }
        let edited = (sent * 7 + round) % sent + 1;
        let body = format!("edited {round}");
        let edit = json!({"action": "message_edit", "message_id": edited, "message_body": body});
        alice.send(edit).await;
        alice.rest().await;
        let mut bob = world.second(BOB, held.cursor.as_deref()).await;
        let hello = bob.action("hello").await;
        assert_eq!((&hello["resumed"], &hello["reset"]), (&json!(true), &Value::Null));
        held.take(&hello);
        for _ in 0..round % 4 {
            let frame = bob.json().await;
            held.take(&frame);
            if frame["action"] == "live" {
                break;
            }
        }
    }
    let mut bob = world.second(BOB, held.cursor.as_deref()).await;
    let frames = bob.rest().await;
    assert_eq!(frames.iter().filter(|frame| frame["action"] == "live").count(), 1);
    frames.iter().for_each(|frame| held.take(frame));
    let ids: BTreeSet<i64> = (1..=61).collect();
    assert_eq!(held.texts.keys().copied().collect::<BTreeSet<_>>(), ids);
    assert_eq!(held.rung, ids);
    // Its texts are those of one who sees all at once.
    assert_eq!(held.texts, world.core.messages(user(BOB)).into_iter().collect());
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_no_good_is_told_and_the_connection_is_live() {
    let world = world(unlimited());
    world.core.deliver(user(ALICE), user(BOB), &["before"]);
    let mut alice = world.second(ALICE, None).await;
    let of_alice = cursor(&alice.action("hello").await).to_owned();
    let mut bob = world.second(BOB, None).await;
    let of_bob = cursor(&bob.action("hello").await).to_owned();
    let reset = async |after: &str| {
        let mut bob = world.second(BOB, Some(after)).await;
        let hello = bob.action("hello").await;
        bob.action("live").await;
        assert_eq!((&hello["resumed"], &hello["behind"]), (&json!(false), &json!(0)));
        world.core.deliver(user(ALICE), user(BOB), &["now"]);
        assert_eq!(new_bodies(&mut bob, 1).await, ["now"]);
        hello["reset"].as_str().map(str::to_owned)
    };
    let longest = "x".repeat(5_000);
    for unknown in ["", "x", &of_alice, &longest, &of_bob[1..]] {
        assert_eq!(reset(unknown).await.as_deref(), Some("unknown"), "{unknown}");
    }
    // The database has gone back.
    world.core.change(|state| state.epoch = Some("0140004d.0000000002400001"));
    assert_eq!(reset(&of_bob).await.as_deref(), Some("epoch"));
    // It is another one.
    world.core.change(|state| state.epoch = Some("0140004e.0000000002400000"));
    assert_eq!(reset(&of_bob).await.as_deref(), Some("unknown"));
}

#[tokio::test(start_paused = true)]
async fn a_break_of_the_core_leaves_no_hole_and_no_double() {
    let world = world(unlimited());
    let mut bob = world.live(BOB).await;
    let mut sent = 0;
    for _ in 0..10 {
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
    assert_eq!(new_bodies(&mut bob, sent).await, numbers(0..sent));
    assert_eq!(bob.rest().await, [] as [Value; 0], "and is not live again");
}

#[tokio::test(start_paused = true)]
async fn a_catch_up_goes_on_where_the_core_broke_it() {
    let world = world(unlimited());
    let mut bob = world.second(BOB, None).await;
    let begin = cursor(&bob.action("hello").await).to_owned();
    drop(bob);
    let bodies = numbers(0..3_000);
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.core.deliver(user(ALICE), user(BOB), &bodies);
    let mut bob = world.second(BOB, Some(&begin)).await;
    let hello = bob.action("hello").await;
    assert_eq!((&hello["resumed"], &hello["behind"]), (&json!(true), &json!(3_000)));
    let mut received = Vec::new();
    for _ in 0..3 {
        received.extend(new_bodies(&mut bob, 100).await);
        world.core.break_subscriptions(&unavailable());
    }
    received.extend(new_bodies(&mut bob, 2_700).await);
    assert_eq!(received, numbers(0..3_000));
    assert_eq!(bob.rest().await.len(), 1, "live");
}

#[tokio::test(start_paused = true)]
async fn who_catches_up_is_paced_and_never_too_slow_while_something_is_taken() {
    let world = world(Limits { outgoing_queue_frames: 16, ..unlimited() });
    let mut bob = world.second(BOB, None).await;
    let begin = cursor(&bob.action("hello").await).to_owned();
    drop(bob);
    let bodies = numbers(0..500);
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.core.deliver(user(ALICE), user(BOB), &bodies);
    let mut stream = world.second_raw(BOB, Some(&begin), 256).await;
    let mut taken = Vec::new();
    let mut bytes = [0; 512];
    let start = Instant::now();
    // What happens now waits behind it.
    world.core.deliver(user(ALICE), user(BOB), &bodies[..100]);
    // A little at a time: for minutes.
    while String::from_utf8_lossy(&taken).matches(r#""action":"message""#).count() < 600 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let read = stream.read(&mut bytes).await.expect("open");
        assert_ne!(read, 0, "closed after {} bytes", taken.len());
        taken.extend_from_slice(&bytes[..read]);
    }
    assert!(start.elapsed() > seconds(60), "{:?}", start.elapsed());
    let text = String::from_utf8_lossy(&taken);
    assert_eq!(text.matches(r#""action":"live""#).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_a_catch_up_is_dropped() {
    let world = world(unlimited());
    let mut bob = world.second(BOB, None).await;
    let begin = cursor(&bob.action("hello").await).to_owned();
    drop(bob);
    let bodies = numbers(0..1_000);
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.core.deliver(user(ALICE), user(BOB), &bodies);
    let _stuck = world.second_raw(BOB, Some(&begin), 256).await;
    let start = Instant::now();
    world.emptied().await;
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_that_is_live_is_closed_and_delays_nobody_else() {
    let world = world(unlimited());
    let slow = world.second_raw(BOB, None, 1024).await;
    let mut fast = world.live(BOB).await;
    let mut documented = world.connect(BOB).await;
    for number in 0..1_000 {
        world.core.deliver(user(ALICE), user(BOB), &[&number.to_string()]);
    }
    let start = Instant::now();
    assert_eq!(new_bodies(&mut fast, 1_000).await, numbers(0..1_000));
    assert_eq!(documented.bodies(1_000).await, numbers(0..1_000));
    assert!(start.elapsed() < seconds(1), "{:?}", start.elapsed());
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(Client::new(slow).await.close_code().await, CloseCode::Again);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_by_a_code_of_its_own() {
    let world = world(Limits { max_connections_per_user: 1, ..unlimited() });
    // The database has gone back.
    let mut bob = world.live(BOB).await;
    world.core.change(|state| state.epoch = Some("0140004d.0000000002400001"));
    world.core.break_subscriptions(&unavailable());
    assert_eq!(bob.close_code().await, CloseCode::Away);
    // Too many of them.
    let mut first = world.live(BOB).await;
    let _second = world.live(BOB).await;
    assert_eq!(first.close_code().await, CloseCode::Library(4409));
    // The user is deleted.
    let mut alice = world.live(ALICE).await;
    world.core.change(|state| state.deleted.insert(user(ALICE).to_string()));
    world.core.break_subscriptions(&Failure::new(ErrorReason::UserDeleted, "deleted"));
    assert_eq!(alice.close_code().await, CloseCode::Library(4403));
}

#[tokio::test(start_paused = true)]
async fn both_generations_count_together() {
    let world = world(Limits { max_connections_per_user: 2, ..unlimited() });
    let mut documented = world.connect(BOB).await;
    tokio::time::sleep(seconds(1)).await;
    let mut second = world.live(BOB).await;
    tokio::time::sleep(seconds(1)).await;
    let mut newest = world.live(BOB).await;
    // All but the documented one answer the ping.
    for client in [&mut second, &mut newest] {
        let _ = timeout(Duration::from_millis(100), client.socket.next()).await;
        client.socket.flush().await.expect("open");
    }
    assert_eq!(documented.close_code().await, CloseCode::Policy);
    world.core.deliver(user(ALICE), user(BOB), &["a"]);
    for client in [&mut second, &mut newest] {
        assert_eq!(new_bodies(client, 1).await, ["a"]);
    }
    drop((second, newest, documented));
    world.emptied().await;
    world.core.wait_for("no subscription", |state| state.subscribers() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_catch_up() {
    let world = world(unlimited());
    let mut bob = world.second(BOB, None).await;
    let begin = cursor(&bob.action("hello").await).to_owned();
    drop(bob);
    let bodies = numbers(0..5_000);
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.core.deliver(user(ALICE), user(BOB), &bodies);
    let mut bob = world.second(BOB, Some(&begin)).await;
    new_bodies_behind_hello(&mut bob, 10).await;
    let shared = &world.edge.shared;
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    assert_eq!(bob.close_code().await, CloseCode::Away);
    shared.tasks.ended().await;
}

async fn new_bodies_behind_hello(client: &mut Client, count: usize) {
    client.action("hello").await;
    new_bodies(client, count).await;
}

#[tokio::test(start_paused = true)]
async fn a_core_of_before_is_not_taken_for_one_that_knows_it() {
    let world = world(unlimited());
    let mut bob = world.live(BOB).await;
    for with_messages in [false, true] {
        if with_messages {
            world.core.deliver(user(ALICE), user(BOB), &["a"]);
        }
        world.core.change(|state| state.is_old = true);
        let refused = world.begin(BOB, None).await.err().expect("a refusal");
        assert_eq!(refused.reason(), ErrorReason::StoreUnavailable);
        world.core.change(|state| state.is_old = false);
    }
    // A connection that is there waits for another core.
    assert_eq!(new_bodies(&mut bob, 1).await, ["a"]);
    world.core.change(|state| state.is_old = true);
    world.core.break_subscriptions(&unavailable());
    world.core.deliver(user(ALICE), user(BOB), &["b"]);
    tokio::time::sleep(seconds(10)).await;
    world.core.change(|state| state.is_old = false);
    assert_eq!(new_bodies(&mut bob, 1).await, ["b"]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_close_of_a_client_holds_nothing() {
    let world = world(unlimited());
    let mut bob = world.live(BOB).await;
    bob.socket.send(Message::Close(None)).await.expect("open");
    world.emptied().await;
    world.core.wait_for("no subscription", |state| state.subscribers() == 0).await;
}
