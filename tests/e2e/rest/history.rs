//! A conversation of 2,000 messages, whole and in order.

use netrox_harness::{Arrangement, TestChat, each};

each![two_thousand_messages_come_back_in_order];

const COUNT: usize = 2_000;

async fn two_thousand_messages_come_back_in_order(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let receiver = bob.clone();
    let sending = tokio::spawn(async move {
        for number in 0..COUNT {
            let body = number.to_string();
            ada_socket.feed(&netrox_harness::socket::chat_message(&receiver.id, &body)).await;
        }
        ada_socket.flush().await;
        ada_socket
    });
    for number in 0..COUNT {
        bob_socket.expect_body(&number.to_string()).await;
    }
    // Nothing was refused on the way.
    sending.await.expect("send").expect_no_answer().await;

    let history = chat.history(&ada, &bob).await;
    assert_eq!(history.len(), COUNT);
    for (number, message) in history.iter().enumerate() {
        assert_eq!(message["message"], number.to_string());
    }
    let mut ids = history.iter().map(|message| message["id"].as_i64().expect("an id"));
    assert!(ids.by_ref().is_sorted_by(|earlier, later| earlier < later));
    assert_eq!(chat.history(&bob, &ada).await, history);
}
