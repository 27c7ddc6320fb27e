//! Order, and each message once to each connection.

use std::collections::HashMap;

use netrox_harness::{Arrangement, Socket, TestChat, User, each, socket::chat_message};
use serde_json::Value;

each![
    ten_senders_reach_every_device_once_and_in_order,
    pipelined_messages_to_several_receivers_keep_their_order,
    two_who_write_at_once_agree_on_one_order,
];

const SENDERS: usize = 10;
const MESSAGES: usize = 60;
const DEVICES: usize = 3;

async fn ten_senders_reach_every_device_once_and_in_order(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (receiver, first) = chat.join("receiver").await;
    let mut devices = vec![first];
    while devices.len() < DEVICES {
        devices.push(chat.connect(&receiver).await);
    }
    let mut senders = Vec::new();
    let mut sending = Vec::new();
    for number in 0..SENDERS {
        let (sender, mut socket) = chat.join(&format!("sender-{number}")).await;
        senders.push(sender);
        let to = receiver.id.clone();
        sending.push(tokio::spawn(async move {
            for number in 0..MESSAGES {
                socket.feed(&chat_message(&to, &number.to_string())).await;
            }
            socket.flush().await;
            socket
        }));
    }
    let reading = devices.into_iter().map(|mut device| {
        tokio::spawn(async move {
            let mut frames = Vec::new();
            for _ in 0..SENDERS * MESSAGES {
                frames.push(device.next().await);
            }
            // Not one more.
            device.expect_no_answer().await;
            frames
        })
    });
    let mut seen: Vec<Vec<Value>> = Vec::new();
    for device in reading.collect::<Vec<_>>() {
        seen.push(device.await.expect("read"));
    }
    for socket in sending {
        socket.await.expect("send").expect_no_answer().await;
    }

    for frames in &seen {
        assert_eq!(frames, &seen[0]);
    }
    let mut next: HashMap<&str, usize> = HashMap::new();
    for frame in &seen[0] {
        let sender = frame["sender_id"].as_str().expect("a sender");
        let expected = next.entry(sender).or_default();
        assert_eq!(frame["message_body"], expected.to_string(), "of {sender}");
        *expected += 1;
    }
    for sender in &senders {
        let history = chat.history(&receiver, sender).await;
        let delivered = seen[0].iter().filter(|frame| frame["sender_id"] == *sender.id);
        let delivered: Vec<&Value> = delivered.map(|frame| &frame["created_msg_id"]).collect();
        let stored: Vec<&Value> = history.iter().map(|message| &message["id"]).collect();
        assert_eq!(stored, delivered);
    }
}

async fn pipelined_messages_to_several_receivers_keep_their_order(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (_, mut sender) = chat.join("sender").await;
    let mut receivers = Vec::new();
    for number in 0..5 {
        receivers.push(chat.join(&format!("receiver-{number}")).await);
    }
    for number in 0..200 {
        let (receiver, _) = &receivers[number % receivers.len()];
        sender.feed(&chat_message(&receiver.id, &number.to_string())).await;
    }
    sender.flush().await;
    for (at, (_, socket)) in receivers.iter_mut().enumerate() {
        for number in (at..200).step_by(5) {
            socket.expect_body(&number.to_string()).await;
        }
    }
}

async fn two_who_write_at_once_agree_on_one_order(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (ada, ada_socket) = chat.join("ada").await;
    let (bob, bob_socket) = chat.join("bob").await;
    let by_ada = tokio::spawn(exchange(ada_socket, bob.clone()));
    let by_bob = tokio::spawn(exchange(bob_socket, ada.clone()));
    let (seen_by_ada, seen_by_bob) = (by_ada.await.expect("ada"), by_bob.await.expect("bob"));
    let history = chat.history(&ada, &bob).await;
    assert_eq!(history.len(), 200);
    let of = |sender: &User| -> Vec<i64> {
        let of = history.iter().filter(|message| message["sender"]["id"] == *sender.id);
        of.map(|message| message["id"].as_i64().expect("an id")).collect()
    };
    assert_eq!(seen_by_ada, of(&bob));
    assert_eq!(seen_by_bob, of(&ada));
}

/// Sends 100 messages to `peer` while reading 100; returns the ids of those read.
async fn exchange(mut socket: Socket, peer: User) -> Vec<i64> {
    let mut ids = Vec::new();
    for number in 0..100 {
        socket.say(&peer, &number.to_string()).await;
        if number % 3 == 0 {
            let frame = socket.expect_body(&ids.len().to_string()).await;
            ids.push(frame["created_msg_id"].as_i64().expect("an id"));
        }
    }
    while ids.len() < 100 {
        let frame = socket.expect_body(&ids.len().to_string()).await;
        ids.push(frame["created_msg_id"].as_i64().expect("an id"));
    }
    ids
}
