//! What was seen and delivered.

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::json;

use crate::v2::client::{Client, mark};

each![
    a_mark_is_shown_to_both_and_puts_the_count_right,
    a_mark_never_goes_back_nor_too_far,
    a_storm_of_marks_is_never_refused,
];

async fn a_mark_is_shown_to_both_and_puts_the_count_right(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let mut other = Client::live(chat.edge_at(1), &bob).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(at_ada.say(&bob, &format!("canary {number}")).await);
    }
    let ack = at_bob.ask(mark("delivered", &ada, ids[2])).await;
    assert_eq!((&ack["peer_id"], &ack["delivered_id"]), (&json!(ada.id), &json!(ids[2])));
    let frame = at_ada.next_of("thread").await;
    assert_eq!(frame["thread"]["peer_delivered_id"], ids[2]);
    let ack = at_bob.ask(mark("seen", &ada, ids[1])).await;
    let told = [&ack["seen_id"], &ack["unread"], &ack["last_id"]];
    assert_eq!(told, [&json!(ids[1]), &json!(1), &json!(ids[2])]);
    let frame = at_ada.next_of("thread").await;
    assert_eq!(frame["thread"]["peer_seen_id"], ids[1]);
    let frame = other.next_of("thread").await;
    assert_eq!(
        (&frame["thread"]["seen_id"], &frame["thread"]["unread"]),
        (&json!(ids[1]), &json!(1))
    );
    // A new connection is told the same.
    let mut fresh = Client::open(chat.edge_at(0), &bob, None).await;
    assert_eq!(fresh.next_of("live").await["unread_total"], 1);
    // Documented histories show it.
    let seen: Vec<_> =
        chat.history(&ada, &bob).await.iter().map(|message| message["seen"].clone()).collect();
    assert_eq!(seen, [json!(true), json!(true), json!(false)]);
}

async fn a_mark_never_goes_back_nor_too_far(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    at_bob.refused(mark("seen", &ada, 1), "not_found").await;
    let first = at_ada.say(&bob, "canary one").await;
    let last = at_ada.say(&bob, "canary two").await;
    at_bob.refused(mark("seen", &ada, last + 1), "invalid_field").await;
    assert_eq!(at_bob.ask(mark("seen", &ada, last)).await["seen_id"], last);
    assert_eq!(at_bob.ask(mark("seen", &ada, first)).await["seen_id"], last);
    assert_eq!(at_bob.ask(mark("delivered", &ada, first)).await["delivered_id"], last);
    at_bob.refused(mark("seen", &chat.stranger("nobody"), 1), "not_found").await;
}

async fn a_storm_of_marks_is_never_refused(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("send-rate", "0")
        .set("receipt-rate", "5")
        .set("receipt-burst", "5")
        .start()
        .await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let mut ids = Vec::new();
    for number in 0..100 {
        ids.push(at_ada.say(&bob, &format!("canary {number}")).await);
    }
    for id in &ids {
        let mut frame = mark("seen", &ada, *id);
        frame["ref"] = json!(id.to_string());
        at_bob.send(frame).await;
    }
    for _ in &ids {
        let ack = at_bob.answer().await;
        assert_eq!(ack["action"], "ack", "{ack}");
    }
    let last = ids[99];
    loop {
        let frame = at_ada.next_of("thread").await;
        if frame["thread"]["peer_seen_id"] == last {
            break;
        }
    }
}
