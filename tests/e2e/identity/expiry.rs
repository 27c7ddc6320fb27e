//! A token that expires on an open socket.

use netrox_harness::{
    Arrangement, TestChat, User, each, eventually,
    settings::JWT_SECRET,
    socket::End,
    token::{Claims, now},
};

each![an_expired_token_leaves_the_socket_open, close_on_token_expiry_closes_it_with_1008];

/// A token that is good for few seconds more, by the leeway alone.
fn short_lived(user: &User) -> User {
    user.with_token(Claims::access(&user.id).claim("exp", now() - 5).sign(JWT_SECRET))
}

async fn an_expired_token_leaves_the_socket_open(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let ada = short_lived(&chat.stranger("ada"));
    let mut ada_socket = chat.connect(&ada).await;
    eventually("the end of the token", || async {
        let answer = chat.get("/chat/get-user-threads/").bearer(&ada.token).send().await;
        (answer.status == 401).then_some(())
    })
    .await;
    ada_socket.say(&bob, "still here").await;
    bob_socket.expect_body("still here").await;
    bob_socket.say(&ada, "good").await;
    ada_socket.expect_body("good").await;
}

async fn close_on_token_expiry_closes_it_with_1008(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("close-on-token-expiry", "true");
    let chat = chat.start().await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let ada = short_lived(&chat.stranger("ada"));
    let mut ada_socket = chat.connect(&ada).await;
    assert_eq!(ada_socket.end().await, End::Closed(1008));

    // A socket of a good token stays.
    let mut carol_socket = chat.join("carol").await.1;
    carol_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
}
