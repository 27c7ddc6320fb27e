//! Connections that are lost, and go on where they were.

use std::collections::BTreeSet;

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::json;

use crate::v2::client::{Client, Held, message};

each![
    who_is_cut_off_after_each_frame_misses_nothing_and_rings_once,
    a_cursor_is_good_on_every_edge_and_after_kills,
    a_cursor_of_somebody_else_is_told,
    an_outbox_is_sent_once_over_a_link_that_breaks,
    all_who_come_back_at_once_are_served,
];

async fn who_is_cut_off_after_each_frame_misses_nothing_and_rings_once(arrangement: Arrangement) {
    const ROUNDS: usize = 30;
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (_, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let mut held = Held::default();
    let mut ids = vec![at_ada.say(&bob, "canary 0").await];
    held.take(&bob, &at_bob.next_of("message").await);
    drop(at_bob);
    for round in 0..ROUNDS {
        for _ in 0..3 {
            let number = ids.len();
            ids.push(at_ada.say(&bob, &format!("canary {number}")).await);
        }
        let edited = ids[(round * 7) % ids.len()];
        let body = format!("canary edited {round}");
        at_ada
            .ask(json!({"action": "message_edit", "message_id": edited, "message_body": body}))
            .await;
        let mut at_bob = Client::open(chat.edge_at(round), &bob, held.cursor.as_deref()).await;
        assert_eq!(at_bob.hello["resumed"], true, "{}", at_bob.hello);
        held.take(&bob, &at_bob.hello);
        for _ in 0..round % 4 {
            let frame = at_bob.socket.next().await;
            held.take(&bob, &frame);
            if frame["action"] == "live" {
                break;
            }
        }
    }
    let mut at_bob = Client::open(chat.edge_at(0), &bob, held.cursor.as_deref()).await;
    at_bob.catch_up(&bob, &mut held).await;
    // What changed while it was read comes behind.
    let last = at_ada.say(&bob, "canary last").await;
    while !held.messages.contains_key(&last) {
        let frame = at_bob.socket.next().await;
        held.take(&bob, &frame);
    }
    ids.push(last);
    let ids: BTreeSet<i64> = ids.into_iter().collect();
    assert_eq!(held.messages.keys().copied().collect::<BTreeSet<_>>(), ids);
    assert_eq!(held.rung, ids);
}

async fn a_cursor_is_good_on_every_edge_and_after_kills(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    at_ada.say(&bob, "canary before").await;
    let mut held = Held::default();
    held.take(&bob, &at_bob.next_of("message").await);
    drop(at_bob);
    at_ada.say(&bob, "canary missed").await;
    drop(at_ada);
    for role in chat.roles() {
        chat.restart(role).await;
    }
    for index in 0..2 {
        let mut held = Held { cursor: held.cursor.clone(), ..Held::default() };
        let mut at_bob = Client::open(chat.edge_at(index), &bob, held.cursor.as_deref()).await;
        let told = [&at_bob.hello["resumed"], &at_bob.hello["reset"], &at_bob.hello["behind"]];
        assert_eq!(told, [&json!(true), &json!(null), &json!(1)]);
        at_bob.catch_up(&bob, &mut held).await;
        assert_eq!(held.texts(), ["canary missed"]);
        assert_eq!(held.rung.len(), 1);
    }
    drop(ada);
}

async fn a_cursor_of_somebody_else_is_told(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, at_ada) = Client::join(&chat, "ada").await;
    let (bob, at_bob) = Client::join(&chat, "bob").await;
    let of_bob = at_bob.hello["cursor"].as_str().expect("a cursor");
    let of_ada = at_ada.hello["cursor"].as_str().expect("a cursor");
    for after in [of_ada, "", "garbage", &of_bob[1..], &"x".repeat(64)] {
        let mut client = Client::open(chat.edge_of(&bob), &bob, Some(after)).await;
        let told = [&client.hello["resumed"], &client.hello["reset"], &client.hello["behind"]];
        assert_eq!(told, [&json!(false), &json!("unknown"), &json!(0)], "{after}");
        client.next_of("live").await;
    }
}

async fn an_outbox_is_sent_once_over_a_link_that_breaks(arrangement: Arrangement) {
    const MESSAGES: usize = 50;
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut held = Held::default();
    for number in 0..MESSAGES {
        let client_ref = uuid::Uuid::new_v4().to_string();
        let frame = message(&bob, &format!("canary {number:02}"), &client_ref);
        // Cut off without an answer, and sent again on another connection until it is known to be stored.
        for attempt in 0.. {
            let edge = chat.edge_at(number + attempt);
            let mut client = Client::open(edge, &ada, held.cursor.as_deref()).await;
            held.take(&ada, &client.hello);
            client.send(frame.clone()).await;
            if attempt < number % 3 {
                continue;
            }
            loop {
                let came = client.socket.next().await;
                held.take(&ada, &came);
                let is_own = came["message"]["client_ref"] == client_ref.as_str();
                if is_own || came["action"] == "ack" {
                    break;
                }
            }
            break;
        }
    }
    let history = chat.history(&bob, &ada).await;
    let bodies: Vec<_> = history.iter().map(|message| message["message"].clone()).collect();
    let expected: Vec<_> =
        (0..MESSAGES).map(|number| json!(format!("canary {number:02}"))).collect();
    assert_eq!(bodies, expected);
}

/// Each reads its feed and asks what is unread, on connections to the database that all share.
async fn all_who_come_back_at_once_are_served(arrangement: Arrangement) {
    const DEVICES: usize = 12;
    const MISSED: usize = 400;
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (_, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, at_bob) = Client::join(&chat, "bob").await;
    let cursor = at_bob.hello["cursor"].as_str().expect("a cursor").to_owned();
    drop(at_bob);
    for number in 0..MISSED {
        let client_ref = uuid::Uuid::new_v4().to_string();
        at_ada.send(message(&bob, &format!("canary {number}"), &client_ref)).await;
    }
    for _ in 0..MISSED {
        assert_eq!(at_ada.answer().await["action"], "ack");
    }
    for _ in 0..3 {
        let devices = (0..DEVICES).map(|number| {
            let (bob, edge, cursor) = (&bob, chat.edge_at(number), &cursor);
            async move {
                let mut device = Client::open(edge, bob, Some(cursor)).await;
                let mut held = Held::default();
                device.catch_up(bob, &mut held).await;
                assert_eq!(held.messages.len(), MISSED);
            }
        });
        futures_util::future::join_all(devices).await;
    }
}
