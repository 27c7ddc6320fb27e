//! A consumer that does not keep up.

use netrox_harness::{Arrangement, TestChat, both, raw::Raw};

both![a_slow_consumer_is_1013_and_delays_nobody];

async fn a_slow_consumer_is_1013_and_delays_nobody(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("send-rate", "0")
        .set("outgoing-queue-bytes", "65536")
        .start()
        .await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let mut stalled = Raw::connect_narrow(chat.edge().address).await;
    stalled.upgrade(&format!("/ws/chat/room/?token={}", bob.token)).await;

    // More than the kernel takes in for a reader that stalls.
    let body = "x".repeat(16_000);
    for _ in 0..640 {
        ada_socket.say(&bob, &body).await;
        bob_socket.expect_body(&body).await;
    }
    assert_eq!(stalled.close_code().await, 1013);
    // Nothing is lost but the connection.
    assert_eq!(chat.history(&bob, &ada).await.len(), 640);
    let mut again = chat.connect(&bob).await;
    ada_socket.say(&bob, "live again").await;
    again.expect_body("live again").await;
}
