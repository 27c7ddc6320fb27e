//! What a client's own frames lead to.

use super::*;
use crate::stub_core::Sends;

#[tokio::test(start_paused = true)]
async fn each_verb_is_answered_once() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    let _bob = world.live(BOB).await;
    alice.send(message_to(BOB, 1)).await;
    let ack = alice.answer().await;
    assert_eq!(
        ack.to_string(),
        json!({
            "action": "ack", "ref": null, "client_ref": client_ref(1), "message_id": 1, "thread": 1,
            "created": "2024-06-17T12:48:28.228343Z", "repeated": false,
        })
        .to_string()
    );
    // Whatever else it says.
    let mut again = message_to(BOB, 1);
    again["message_body"] = json!("other");
    again["ref"] = json!("again");
    alice.send(again).await;
    let ack = alice.answer().await;
    assert_eq!((&ack["ref"], &ack["repeated"]), (&json!("again"), &json!(true)));
    assert_eq!(ack["message_id"], 1);
    let edit = |reference| json!({"action": "message_edit", "ref": reference, "message_id": 1, "message_body": "x"});
    let delete = |reference, whom| json!({"action": "message_delete", "ref": reference, "message_id": 1, "for": whom});
    for (frame, key) in [
        (edit("b"), "updated"),
        (json!({"action": "chat_message_file", "ref": "c", "chat_id": 1}), "dispatched"),
        (mark("delivered", Some("d"), BOB, 1), "delivered_id"),
        (mark("seen", Some("e"), BOB, 1), "seen_id"),
        (delete("f", "everyone"), "message_id"),
        (delete("g", "me"), "message_id"),
        (json!({"action": "ping", "ref": "h"}), "time"),
        (json!({"action": "ping"}), "time"),
    ] {
        alice.send(&frame).await;
        let ack = alice.answer().await;
        assert_eq!((&ack["action"], &ack["ref"]), (&json!("ack"), &frame["ref"]), "{ack}");
        assert!(!ack[key].is_null(), "{ack}");
    }
    for action in ["block", "unblock"] {
        alice
            .send(json!({"action": action, "ref": action, "peer_id": user(BOB).to_string()}))
            .await;
        assert_eq!(alice.answer().await, json!({"action": "ack", "ref": action}));
        let blocks = !world.core.state().second.blocks.is_empty();
        assert_eq!(blocks, action == "block");
    }
    // Nobody wants to hear of these.
    for frame in [mark("seen", None, BOB, 1), mark("delivered", None, BOB, 1), delete_of_mine()] {
        alice.send(&frame).await;
    }
    alice.send(json!({"action": "ping", "ref": "last"})).await;
    assert_eq!(alice.answer().await["ref"], "last");
}

fn delete_of_mine() -> Value {
    json!({"action": "message_delete", "message_id": 1, "for": "me"})
}

#[tokio::test(start_paused = true)]
async fn a_refusal_repeats_what_names_its_frame() {
    let world = world(unlimited());
    world.core.deliver(user(BOB), user(ALICE), &["of bob"]);
    let mut alice = world.live(ALICE).await;
    let mut reply = message_to(BOB, 3);
    reply["reply_to"] = json!(99);
    let edit = |reference, id| json!({"action": "message_edit", "ref": reference, "message_id": id, "message_body": "x"});
    for (frame, client_ref, code) in [
        (message_to(99, 2), json!(client_ref(2)), "invalid_receiver"),
        (reply, json!(client_ref(3)), "not_found"),
        (edit("a", 99), Value::Null, "not_found"),
        (edit("b", 1), Value::Null, "not_allowed"),
        (mark("seen", Some("c"), BOB, 99), Value::Null, "invalid_field"),
        (mark("seen", None, BOB, 99), Value::Null, "invalid_field"),
        (mark("delivered", Some("d"), 99, 1), Value::Null, "not_found"),
        (json!({"action": "dance", "ref": "e"}), Value::Null, "unknown_action"),
        (json!({"action": "ping", "ref": 1}), Value::Null, "invalid_field"),
        (json!([]), Value::Null, "invalid_json"),
    ] {
        alice.send(&frame).await;
        let error = alice.answer().await;
        assert_eq!((&error["action"], &error["code"]), (&json!("error"), &json!(code)), "{frame}");
        let reference = if frame["ref"].is_string() { &frame["ref"] } else { &Value::Null };
        assert_eq!((&error["ref"], &error["client_ref"]), (reference, &client_ref), "{frame}");
    }
    alice.socket.send(Message::Binary("{}".into())).await.expect("open");
    let error = alice.answer().await;
    assert_eq!((&error["code"], &error["ref"]), (&json!("invalid_json"), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_message_is_too_late_to_edit() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    alice.send(message_to(BOB, 1)).await;
    let delete = json!({"action": "message_delete", "message_id": 1, "for": "everyone"});
    alice.send(delete).await;
    alice.send(json!({"action": "message_edit", "message_id": 1, "message_body": "x"})).await;
    assert_eq!(alice.answer().await["action"], "ack");
    assert_eq!(alice.answer().await["code"], "too_late");
}

#[tokio::test(start_paused = true)]
async fn over_the_rate_it_is_told_when_to_come_again() {
    let world = world(Limits { send_rate: 1, send_burst: 2, ..Limits::default() });
    let mut alice = world.live(ALICE).await;
    for number in 0..5 {
        alice.send(message_to(BOB, number)).await;
    }
    let mut refused = Vec::new();
    for _ in 0..5 {
        let answer = alice.answer().await;
        if answer["action"] == "error" {
            assert_eq!(answer["code"], "rate_limited");
            let wait = answer["retry_after_ms"].as_u64().expect("a wait");
            assert!((1..=3_000).contains(&wait), "{wait}");
            refused.push(answer["client_ref"].as_str().expect("a reference").to_owned());
        }
    }
    assert_eq!(refused, [client_ref(4)]);
    // Edits count as sends.
    alice.send(json!({"action": "message_edit", "message_id": 1, "message_body": "x"})).await;
    for _ in 0..3 {
        alice.send(json!({"action": "message_delete", "message_id": 1, "for": "me"})).await;
    }
    assert_eq!(alice.answer().await["code"], "rate_limited");
}

#[tokio::test(start_paused = true)]
async fn with_as_many_frames_unanswered_as_may_be_no_more_is_read() {
    let world = world(unlimited());
    world.core.change(|state| state.sends = Sends::Ignored);
    let mut alice = world.live(ALICE).await;
    for number in 0..300 {
        let frame = match number % 3 {
            0 => message_to(BOB, number),
            1 => json!({"action": "message_delete", "message_id": 1, "for": "me"}),
            _ => mark("seen", Some("r"), number as u128 + 10, 1),
        };
        alice.send(frame).await;
    }
    world.core.wait_for("256 frames", |state| state.received.len() == 256).await;
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(world.core.state().received.len(), 256);
    // A frame that is answered makes room for another.
    let failure = Failure::new(ErrorReason::MessageNotFound, "gone");
    world.core.refuse_unanswered(&failure);
    world.core.wait_for("the rest", |state| state.received.len() == 300).await;
}

/// Liveness is asked for by it.
#[tokio::test(start_paused = true)]
async fn a_ping_waits_for_nothing_before_it() {
    let world = world(unlimited());
    world.core.change(|state| state.sends = Sends::Ignored);
    let mut alice = world.live(ALICE).await;
    alice.send(message_to(BOB, 1)).await;
    alice.send(json!({"action": "ping", "ref": "a"})).await;
    assert_eq!(alice.action("ack").await["ref"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_core_that_is_away_leaves_the_client_to_repeat() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    world.core.change(|state| state.is_down = true);
    world.core.break_streams(&unavailable());
    alice.send(message_to(BOB, 1)).await;
    let error = alice.answer().await;
    assert_eq!(
        (&error["code"], &error["client_ref"]),
        (&json!("unavailable"), &json!(client_ref(1)))
    );
    world.core.change(|state| state.is_down = false);
    tokio::time::sleep(seconds(3)).await;
    alice.send(message_to(BOB, 1)).await;
    assert_eq!(alice.answer().await["action"], "ack");
}

#[tokio::test(start_paused = true)]
async fn a_sender_whom_the_core_does_not_know_is_provisioned_anew() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    world.core.remove_user(user(ALICE));
    alice.send(message_to(BOB, 1)).await;
    assert_eq!(alice.answer().await["code"], "unavailable");
    alice.send(message_to(BOB, 1)).await;
    assert_eq!(alice.answer().await["repeated"], false);
}

#[tokio::test(start_paused = true)]
async fn a_sender_who_was_deleted_is_closed() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    world.core.change(|state| state.deleted.insert(user(ALICE).to_string()));
    alice.send(message_to(BOB, 1)).await;
    assert_eq!(alice.close_code().await, CloseCode::Library(4403));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_a_drain_is_answered_before_its_close() {
    let world = world(unlimited());
    let mut alice = world.live(ALICE).await;
    for number in 0..50 {
        alice.send(message_to(BOB, number)).await;
        alice.send(mark("seen", Some("r"), BOB, number as i64 + 1)).await;
    }
    world.core.wait_for("all", |state| state.stored.len() == 50).await;
    let shared = &world.edge.shared;
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    let mut answers = 0;
    let code = loop {
        match alice.next().await {
            Message::Close(frame) => break frame.expect("a code").code,
            Message::Text(text) => {
                answers += usize::from(text.contains(r#""action":"ack""#));
            }
            _ => {}
        }
    };
    assert_eq!((code, answers), (CloseCode::Away, 100));
}

#[tokio::test(start_paused = true)]
async fn a_drain_tells_each_when_to_reconnect_and_serves_it_until_then() {
    let world = world(unlimited());
    let mut documented = world.connect(BOB).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(world.live(ALICE).await);
    }
    let shared = &world.edge.shared;
    shared.tasks.spawn(Arc::clone(&shared.web_sockets).drain());
    shared.tasks.begin_drain();
    let began = Instant::now();
    assert_eq!(documented.close_code().await, CloseCode::Away);
    assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
    let mut told = Vec::new();
    for client in &mut clients {
        told.push(client.action("reconnect").await["after_ms"].as_u64().expect("a time"));
    }
    told.sort_unstable();
    assert_eq!(told, [0, 1_000, 2_000, 3_000, 4_000]);
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(message_to(BOB, number)).await;
        assert_eq!(client.answer().await["action"], "ack");
    }
    let mut closed = Vec::new();
    for mut client in clients {
        closed.push(tokio::spawn(async move {
            let code = client.close_code().await;
            (code, began.elapsed().as_secs())
        }));
    }
    let mut ends = Vec::new();
    for closed in closed {
        let (code, end) = closed.await.expect("no panic");
        assert_eq!(code, CloseCode::Away);
        ends.push(end);
    }
    ends.sort_unstable();
    assert_eq!(ends, [1, 2, 3, 4, 5], "a second after its time");
    shared.tasks.ended().await;
}
