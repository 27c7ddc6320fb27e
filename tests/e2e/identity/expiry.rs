//! A token that expires on an open socket.

use netrox_harness::{
    Arrangement, Socket, TestChat, User, each, eventually,
    settings::JWT_SECRET,
    socket::End,
    token::{Claims, now},
};
use tokio_tungstenite::tungstenite::Error;

each![an_expired_token_leaves_the_socket_open, close_on_token_expiry_closes_it_with_1008];

/// A user in the directory with a token that is good for few seconds more, by the leeway alone, and the socket that it has
/// opened meanwhile.
async fn short_lived(chat: &TestChat, name: &str) -> (User, Socket) {
    let user = chat.user(name).await;
    let edge = chat.edge_of(&user);
    eventually("a socket before its token expires", async || {
        let claims = Claims::access(&user.id).claim("exp", now() - 5);
        let user = user.with_token(claims.sign(JWT_SECRET));
        let path = format!("/ws/chat/room/?token={}", user.token);
        match Socket::try_open(edge.address, &path, &[]).await {
            Ok(socket) => Some((user, socket)),
            // Too late, or a core that is slow.
            Err(Error::Http(answer)) if [401, 503].contains(&answer.status().as_u16()) => None,
            Err(error) => panic!("open a socket: {error:?}"),
        }
    })
    .await
}

async fn an_expired_token_leaves_the_socket_open(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (ada, mut ada_socket) = short_lived(&chat, "ada").await;
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
    let (_, mut ada_socket) = short_lived(&chat, "ada").await;
    assert_eq!(ada_socket.end().await, End::Closed(1008));

    // A socket of a good token stays.
    let mut carol_socket = chat.join("carol").await.1;
    carol_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
}
