//! `--send-rate` and `--send-burst`.

use netrox_harness::{Arrangement, TestChat, each};

each![
    what_is_over_the_rate_is_refused_and_the_rest_delivered,
    the_rate_is_the_users_over_all_connections,
    rate_0_is_no_limit,
];

async fn what_is_over_the_rate_is_refused_and_the_rest_delivered(arrangement: Arrangement) {
    const SENT: usize = 200;
    let chat = TestChat::builder(arrangement).set("send-rate", "1").set("send-burst", "5");
    let chat = chat.start().await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for number in 0..SENT {
        ada_socket.say(&bob, &format!("{number:03}")).await;
    }
    // Each message is either refused or delivered.
    let mut refused = 0;
    let mut delivered = Vec::new();
    while refused + delivered.len() < SENT {
        tokio::select! {
            _ = ada_socket.expect_error("rate_limited") => refused += 1,
            frame = bob_socket.next() => delivered.push(frame["message_body"].to_string()),
        }
    }
    assert!(delivered.len() >= 10, "{} is less than the burst and what waits", delivered.len());
    assert!(refused > 0, "nothing was refused");
    assert!(delivered.is_sorted_by(|earlier, later| earlier < later), "{delivered:?}");
    assert_eq!(chat.history(&ada, &bob).await.len(), delivered.len());
}

async fn the_rate_is_the_users_over_all_connections(arrangement: Arrangement) {
    const SENT: usize = 100;
    let chat = TestChat::builder(arrangement).set("send-rate", "20").set("send-burst", "100");
    let chat = chat.start().await;
    let (ada, mut first) = chat.join("ada").await;
    let (mut second, mut third) = (chat.connect(&ada).await, chat.connect(&ada).await);
    let (bob, mut bob_socket) = chat.join("bob").await;
    for socket in [&mut first, &mut second, &mut third] {
        for _ in 0..SENT {
            socket.say(&bob, "hello").await;
        }
    }
    let (mut refused, mut delivered) = (0, 0);
    while refused + delivered < 3 * SENT {
        tokio::select! {
            _ = first.expect_error("rate_limited") => refused += 1,
            _ = second.expect_error("rate_limited") => refused += 1,
            _ = third.expect_error("rate_limited") => refused += 1,
            _ = bob_socket.expect_body("hello") => delivered += 1,
        }
    }
    // Each connection would have had a burst of 100 of its own. As many wait, and some are earned meanwhile.
    assert!((200..300).contains(&delivered), "{delivered}");
    // Somebody else has a rate of their own.
    bob_socket.say(&ada, "good day").await;
    first.expect_body("good day").await;
}

async fn rate_0_is_no_limit(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").set("send-burst", "1");
    let chat = chat.start().await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for number in 0..300 {
        ada_socket.say(&bob, &number.to_string()).await;
    }
    for number in 0..300 {
        bob_socket.expect_body(&number.to_string()).await;
    }
    ada_socket.expect_no_answer().await;
}
