//! How many connections a user may have.

use netrox_harness::{Arrangement, TestChat, each, socket::End};

each![the_17th_connection_closes_the_oldest, a_configured_number_of_connections_holds];

async fn the_17th_connection_closes_the_oldest(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut bob_socket) = chat.join("bob").await;
    let (ada, mut oldest) = chat.join("ada").await;
    let mut others = Vec::new();
    for _ in 0..16 {
        others.push(chat.connect(&ada).await);
    }
    assert_eq!(oldest.end().await, End::Closed(1008));
    bob_socket.say(&ada, "to the sixteen").await;
    for socket in &mut others {
        socket.expect_body("to the sixteen").await;
    }
    others[15].say(&ada, "to myself").await;
    others[15].expect_error("invalid_receiver").await;
}

async fn a_configured_number_of_connections_holds(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-connections-per-user", "2").start().await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (ada, mut first) = chat.join("ada").await;
    let mut second = chat.connect(&ada).await;
    let mut third = chat.connect(&ada).await;
    assert_eq!(first.end().await, End::Closed(1008));
    let mut fourth = chat.connect(&ada).await;
    assert_eq!(second.end().await, End::Closed(1008));
    // It is a limit of each user.
    bob_socket.say(&ada, "hello").await;
    third.expect_body("hello").await;
    fourth.expect_body("hello").await;
    // One that has gone makes room.
    fourth.close().await;
    third.say(&bob, "room").await;
    bob_socket.expect_body("room").await;
}
