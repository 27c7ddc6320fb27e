//! A consumer that does not keep up.

use std::time::Duration;

use netrox_harness::{Arrangement, Socket, TestChat, User, each, raw::Raw, socket::chat_message};
use tokio::time::interval;

each![a_consumer_that_stalls_is_cut_off_and_delays_nobody, a_consumer_that_is_slow_is_waited_for,];

/// Together more than the kernel takes in for a reader that stalls.
const MESSAGES: usize = 640;
const BODY_BYTES: usize = 16_000;

async fn start(arrangement: Arrangement) -> TestChat {
    let builder = TestChat::builder(arrangement);
    builder.set("send-rate", "0").set("outgoing-queue-bytes", "65536").start().await
}

/// A device of the user that takes in little at a time.
async fn narrow_device(chat: &TestChat, user: &User) -> Raw {
    let mut device = Raw::connect_narrow(chat.edge().address).await;
    device.upgrade(&format!("/ws/chat/room/?token={}", user.token)).await;
    device
}

/// Sends every message to the receiver, whose healthy device gets each of them.
async fn send_all(sender: &mut Socket, receiver: &User, device: &mut Socket) {
    let body = "x".repeat(BODY_BYTES);
    let frame = chat_message(&receiver.id, &body);
    for _ in 0..MESSAGES {
        sender.send(&frame).await;
        device.expect_body(&body).await;
    }
}

async fn a_consumer_that_stalls_is_cut_off_and_delays_nobody(arrangement: Arrangement) {
    let chat = start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let mut stalled = narrow_device(&chat, &bob).await;
    send_all(&mut ada_socket, &bob, &mut bob_socket).await;
    // Part of it, and then the end.
    let taken = stalled.rest().await.len();
    assert!(taken < MESSAGES * BODY_BYTES, "{taken} bytes");
    // Nothing is lost but the connection.
    assert_eq!(chat.history(&bob, &ada).await.len(), MESSAGES);
    let mut again = chat.connect(&bob).await;
    ada_socket.say(&bob, "live again").await;
    again.expect_body("live again").await;
}

async fn a_consumer_that_is_slow_is_waited_for(arrangement: Arrangement) {
    let chat = start(arrangement).await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let mut slow = narrow_device(&chat, &bob).await;
    // It takes several times as long as the others would, yet it never stops to read.
    let reading = tokio::spawn(async move {
        let mut pace = interval(Duration::from_millis(5));
        while slow.some(2_048).await > 0 {
            pace.tick().await;
        }
    });
    send_all(&mut ada_socket, &bob, &mut bob_socket).await;
    assert!(!reading.is_finished(), "it was cut off");
    reading.abort();
}
