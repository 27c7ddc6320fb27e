//! Who types, and who is told.

use std::time::{Duration, Instant};

use netrox_harness::{Arrangement, TestChat, User, each, eventually};
use serde_json::{Value, json};

use crate::v2::client::Client;

each![
    a_peer_that_was_written_to_is_shown_who_types,
    a_strangers_first_message_buys_nothing_and_a_reply_opens_it,
    a_block_stops_it_both_ways,
    over_the_rate_the_last_word_of_any_device_is_told,
    a_peer_that_reads_nothing_loses_no_message,
];

fn types(peer: &User, typing: bool) -> Value {
    json!({"action": "typing", "peer_id": peer.id, "typing": typing})
}

/// Types until it is seen: a bus that is just being listened to loses what came before.
async fn seen_typing(from: &mut Client, user: &User, to: &mut Client, peer: &User) {
    eventually("who types", async || {
        from.ask(types(peer, true)).await;
        let next = tokio::time::timeout(Duration::from_millis(300), to.next_of("typing")).await;
        next.ok().filter(|frame| {
            *frame == json!({"action": "typing", "peer_id": user.id, "typing": true})
        })
    })
    .await;
}

/// Shows that nothing of the user comes: a third one, who may, does as the user did after them.
async fn shown_nothing_of(user: &User, third: &mut Client, to: &mut Client, peer: &User) {
    eventually("what comes after it", async || {
        third.ask(types(peer, true)).await;
        let next = tokio::time::timeout(Duration::from_millis(300), to.next_of("typing")).await;
        let frame = next.ok()?;
        assert_ne!(frame["peer_id"], user.id, "{frame}");
        Some(())
    })
    .await;
}

async fn a_peer_that_was_written_to_is_shown_who_types(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let mut documented = chat.edge_of(&bob).connect(&bob).await;
    let mut other = Client::live(chat.edge_at(1), &bob).await;
    at_ada.say(&bob, "hello").await;
    documented.expect_body("hello").await;
    for device in [&mut at_bob, &mut other] {
        seen_typing(&mut at_ada, &ada, device, &bob).await;
    }
    at_ada.ask(types(&bob, false)).await;
    for device in [&mut at_bob, &mut other] {
        while device.next_of("typing").await["typing"] == true {}
    }
    // Neither a documented client nor a device of one's own is shown anything of it.
    at_ada.say(&bob, "after").await;
    documented.expect_body("after").await;
    at_ada.refused(types(&chat.stranger("nobody"), true), "not_found").await;
    at_ada.refused(types(&ada, true), "not_found").await;
}

async fn a_strangers_first_message_buys_nothing_and_a_reply_opens_it(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let (_, mut at_carol) = Client::join(&chat, "carol").await;
    at_carol.say(&ada, "fence").await;
    at_ada.say(&bob, "hello").await;
    at_bob.ask(types(&ada, true)).await;
    shown_nothing_of(&bob, &mut at_carol, &mut at_ada, &ada).await;
    at_bob.say(&ada, "hello").await;
    seen_typing(&mut at_bob, &bob, &mut at_ada, &ada).await;
}

async fn a_block_stops_it_both_ways(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let (_, mut at_carol) = Client::join(&chat, "carol").await;
    for peer in [&ada, &bob] {
        at_carol.say(peer, "fence").await;
    }
    at_ada.say(&bob, "hello").await;
    at_bob.say(&ada, "hello").await;
    seen_typing(&mut at_ada, &ada, &mut at_bob, &bob).await;
    seen_typing(&mut at_bob, &bob, &mut at_ada, &ada).await;
    at_ada.ask(json!({"action": "block", "peer_id": bob.id})).await;
    // By which all cores know it.
    let known = Instant::now() + Duration::from_secs(1);
    tokio::time::sleep_until(known.into()).await;
    for client in [&mut at_ada, &mut at_bob] {
        client.ask(json!({"action": "ping"})).await;
    }
    for _ in 0..3 {
        at_bob.ask(types(&ada, false)).await;
        at_ada.ask(types(&bob, false)).await;
    }
    shown_nothing_of(&bob, &mut at_carol, &mut at_ada, &ada).await;
    shown_nothing_of(&ada, &mut at_carol, &mut at_bob, &bob).await;
    at_ada.ask(json!({"action": "unblock", "peer_id": bob.id})).await;
    seen_typing(&mut at_bob, &bob, &mut at_ada, &ada).await;
}

async fn over_the_rate_the_last_word_of_any_device_is_told(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let mut other = Client::live(chat.edge_of(&ada), &ada).await;
    at_ada.say(&bob, "hello").await;
    seen_typing(&mut at_ada, &ada, &mut at_bob, &bob).await;
    let begun = Instant::now();
    for number in 0..200 {
        let mut frame = types(&bob, true);
        frame["ref"] = json!(number.to_string());
        at_ada.send(frame).await;
    }
    other.ask(types(&bob, false)).await;
    for _ in 0..200 {
        let ack = at_ada.answer().await;
        assert_eq!(ack["action"], "ack", "{ack}");
    }
    other.ask(types(&bob, false)).await;
    let mut frames = 1;
    while at_bob.next_of("typing").await["typing"] == true {
        frames += 1;
    }
    let allowed = 3 + begun.elapsed().as_secs();
    assert!(frames <= allowed, "{frames} frames, {allowed} at one a second");
}

async fn a_peer_that_reads_nothing_loses_no_message(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("typing-rate", "0").start().await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    at_ada.say(&bob, "hello").await;
    seen_typing(&mut at_ada, &ada, &mut at_bob, &bob).await;
    for number in 0..20 {
        at_ada.ask(types(&bob, number % 2 == 0)).await;
    }
    for number in 0..10 {
        at_ada.say(&bob, &format!("canary {number}")).await;
    }
    for number in 0..10 {
        let frame = loop {
            let frame = at_bob.next_of("message").await;
            if frame["message"]["message"] != "hello" {
                break frame;
            }
        };
        assert_eq!(frame["message"]["message"], format!("canary {number}"));
    }
}
