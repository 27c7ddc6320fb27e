//! Pings, and what happens to whoever does not answer them.

use netrox_harness::{Arrangement, TestChat, each, raw::client_frame};
use tokio_tungstenite::tungstenite::Message;

use super::connection::answering;

each![an_idle_connection_is_pinged_and_lives, a_silent_connection_is_dropped];

async fn an_idle_connection_is_pinged_and_lives(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("ping-interval", "1s").start().await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    // More than two periods, each ping answered.
    for _ in 0..4 {
        let message = ada_socket.next_message().await.expect("a ping");
        assert!(matches!(message, Message::Ping(_)), "{message:?}");
    }
    // The last is answered when the socket is read again.
    let (_, mut bob_socket) = answering(&mut [&mut ada_socket], chat.join("bob")).await;
    bob_socket.say(&ada, "still there").await;
    ada_socket.expect_body("still there").await;
}

async fn a_silent_connection_is_dropped(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("ping-interval", "1s").start().await;
    let ada = chat.stranger("ada");
    let path = format!("/ws/chat/room/?token={}", ada.token);
    let mut silent = chat.edge().raw().await;
    silent.upgrade(&path).await;
    assert_eq!(silent.frame().await.0, 0x9);
    // It comes to an end without a word from here.
    silent.rest().await;

    // Any frame is a sign of life, not only a pong.
    let mut talking = chat.edge().raw().await;
    talking.upgrade(&path).await;
    for _ in 0..4 {
        assert_eq!(talking.frame().await.0, 0x9);
        talking.write(client_frame(0x81, b"{}")).await;
        assert_eq!(talking.frame().await.0, 0x1);
    }
}
