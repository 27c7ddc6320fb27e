//! A drain that has clients connect anew before it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use netrox_harness::{
    Arrangement, Edge, TestChat, User, crowding::crowded, each, process::Signal, run_test,
    socket::End, within,
};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::v2::client::{Client, Held, message};

each![clients_are_told_when_to_reconnect_and_served_until_then];

async fn clients_are_told_when_to_reconnect_and_served_until_then(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).set("drain-spread", "2s").start().await;
    let bob = chat.user("bob").await;
    let edge = chat.edge_at(0);
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::live(edge, &chat.user("ada").await).await);
    }
    let mut documented = edge.connect(&bob).await;
    let role = chat.edge_roles()[0];
    chat.process(role).signal(Signal::TERM);
    let begun = Instant::now();
    assert_eq!(documented.end().await, End::Closed(1001));
    let mut after = Vec::new();
    for client in &mut clients {
        let told = client.next_of("reconnect").await;
        after.push(told["after_ms"].as_u64().expect("a time"));
    }
    // What is sent until then is stored.
    let (last, latest) = after.iter().enumerate().max_by_key(|(_, after)| **after).expect("some");
    assert_eq!(*latest, 1_500);
    if begun.elapsed() < Duration::from_secs(1) {
        clients[last].say(&bob, "canary on the old socket").await;
    }
    after.sort_unstable();
    assert_eq!(after, [0, 500, 1_000, 1_500]);
    for client in &mut clients {
        assert_eq!(client.socket.end().await, End::Closed(1001));
    }
    let most = Duration::from_secs(3) + crowded(Duration::from_secs(2));
    assert!(begun.elapsed() < most, "{:?}", begun.elapsed());
    assert_eq!(chat.ended(role).await.code(), Some(0));
}

/// Fewer than may be unanswered.
const CLIENTS: usize = 240;
const ROUNDS: usize = 12;
const SPREAD: Duration = Duration::from_secs(4);

/// What became of one who followed.
struct Followed {
    held: Held,
    user: User,
    after: Duration,
}

/// A correct client, whose edge goes away: it reads until its time, and goes on elsewhere.
/// `live` has a permit more when it is.
async fn follow(user: User, from: Edge, to: Edge, live: &Semaphore) -> Followed {
    let mut held = Held::default();
    let mut client = Client::open(from, &user, None).await;
    client.catch_up(&user, &mut held).await;
    live.add_permits(1);
    let after = loop {
        let frame = client.socket.next().await;
        if frame["action"] == "reconnect" {
            break Duration::from_millis(frame["after_ms"].as_u64().expect("a time"));
        }
        held.take(&user, &frame);
    };
    let until = tokio::time::Instant::now() + after;
    // On a machine that stands still the close may come first.
    let mut is_open = true;
    while is_open {
        match tokio::time::timeout_at(until, client.socket.next_message()).await {
            Ok(Ok(Message::Text(text))) => {
                let frame = serde_json::from_str(&text).expect("JSON");
                held.take(&user, &frame);
            }
            Ok(Ok(Message::Close(_)) | Err(_)) => is_open = false,
            Ok(Ok(_)) => {}
            Err(_) => break,
        }
    }
    let mut next = Client::open(to, &user, held.cursor.as_deref()).await;
    assert_eq!(next.hello["resumed"], true, "{}", next.hello);
    next.catch_up(&user, &mut held).await;
    drop(client);
    while held.messages.len() < ROUNDS {
        let frame = next.socket.next().await;
        held.take(&user, &frame);
    }
    Followed { held, user, after }
}

#[tokio::test(flavor = "multi_thread")]
async fn some_hundreds_reconnect_evenly_and_none_misses_anything_or_rings_twice() {
    run_test(async {
        let spread = format!("{}s", SPREAD.as_secs());
        let mut chat = TestChat::builder(Arrangement::Cluster)
            .edges(2)
            .set("drain-spread", &*spread)
            .set("drain-timeout", "20s")
            .set("send-rate", "0")
            .start()
            .await;
        let (from, to) = (chat.edge_at(0), chat.edge_at(1));
        let sender = chat.user("bob").await;
        let mut at_sender = Client::live(to, &sender).await;
        let users: Vec<_> = (0..CLIENTS).map(|_| chat.stranger("ada")).collect();
        // Who is not live yet would miss the first message, and take `reconnect` for a part of the past.
        let live = Semaphore::new(0);
        let following = users.iter().map(|user| follow(user.clone(), from, to, &live));
        let role = chat.edge_roles()[0];
        let driving = async {
            let all = u32::try_from(CLIENTS).expect("a number");
            within("all clients", live.acquire_many(all)).await.expect("open").forget();
            for round in 0..ROUNDS {
                if round == 2 {
                    chat.process(role).signal(Signal::TERM);
                }
                for user in &users {
                    let client_ref = Uuid::new_v4().to_string();
                    at_sender.send(message(user, &format!("canary {round}"), &client_ref)).await;
                }
                for _ in &users {
                    assert_eq!(at_sender.answer().await["action"], "ack");
                }
            }
        };
        let (followed, ()) = tokio::join!(join_all(following), driving);
        let mut told = Vec::new();
        for Followed { held, user, after } in followed {
            assert_eq!(held.messages.len(), ROUNDS, "{}", user.id);
            assert_eq!(held.rung.len(), ROUNDS, "each rings once");
            told.push(after);
        }
        told.sort_unstable();
        let step = SPREAD / u32::try_from(CLIENTS).expect("a number");
        for (index, after) in told.iter().enumerate() {
            let expected = step * u32::try_from(index).expect("a number");
            assert!(after.abs_diff(expected) < Duration::from_millis(2), "{index}: {after:?}");
        }
        assert_eq!(chat.ended(role).await.code(), Some(0));
        at_sender.ask(json!({"action": "ping"})).await;
    })
    .await;
}
