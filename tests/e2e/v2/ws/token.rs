//! The token that a socket goes on under.

use netrox_harness::{
    Arrangement, Socket, TestChat, User, each,
    settings::JWT_SECRET,
    socket::End,
    token::{Claims, now},
};
use netrox_proto::v1::{
    ListSessionsRequest, RevokeTokensRequest, TokenName, revoke_tokens_request::Tokens,
};
use serde_json::json;

use crate::v2::client::Client;

each![
    a_socket_lives_on_under_another_token_and_ends_with_that,
    a_token_of_another_user_changes_nothing,
    a_client_is_told_before_its_token_ends_the_socket,
];

fn named(user: &User, name: &str, lifetime: i64) -> User {
    let claims = Claims::access(&user.id)
        .claim("iat", now() as i64 - 5)
        .claim("exp", now() as i64 + lifetime)
        .claim("jti", name);
    user.with_token(claims.sign(JWT_SECRET))
}

async fn revoke(chat: &TestChat, name: &str) {
    let token = TokenName { token_id: name.into(), issuer: None };
    let request = RevokeTokensRequest { tokens: Some(Tokens::Token(token)), ..Default::default() };
    chat.session_service().revoke_tokens(request).await.expect("revoked");
}

async fn a_socket_lives_on_under_another_token_and_ends_with_that(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let (first, second) = (named(&ada, "first", 600), named(&ada, "second", 9_000));
    let edge = chat.edge_of(&ada);
    let mut client = Client::live(edge, &first).await;
    // One that nothing is refreshed of.
    let mut other = Client::live(edge, &first).await;
    client.say(&bob, "canary under the first").await;
    let ack = client.ask(json!({"action": "token_refresh", "token": second.token})).await;
    assert_eq!(ack["expires"].as_str().map(str::len), Some(27), "{ack}");
    let request = ListSessionsRequest { user_id: ada.id.clone() };
    let listed = chat.session_service().list_sessions(request).await.expect("a list").into_inner();
    let session = listed.sessions.iter().find(|it| client.hello["session_id"] == it.session_id);
    let expires = session.and_then(|it| it.token_expires_at).expect("a time").seconds;
    assert!(expires - now() as i64 > 8_000, "{expires}");
    revoke(&chat, "first").await;
    assert_eq!(other.socket.end().await, End::Closed(4401));
    let mut at_bob = chat.connect(&bob).await;
    client.say(&bob, "canary under the second").await;
    at_bob.expect_body("canary under the second").await;
    revoke(&chat, "second").await;
    assert_eq!(client.socket.end().await, End::Closed(4401));
}

async fn a_token_of_another_user_changes_nothing(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let (mine, of_bob) = (named(&ada, "mine", 600), named(&bob, "of bob", 600));
    let mut client = Client::live(chat.edge_of(&ada), &mine).await;
    let refresh = |token: &str| json!({"action": "token_refresh", "ref": "r", "token": token});
    let expired = named(&ada, "expired", -60);
    let kind = Claims::access(&ada.id).claim("token_type", "refresh").sign(JWT_SECRET);
    for token in [&of_bob.token, &expired.token, &kind, "garbage"] {
        client.refused(refresh(token), "invalid_token").await;
    }
    revoke(&chat, "of bob").await;
    client.ask(json!({"action": "ping"})).await;
    revoke(&chat, "mine").await;
    assert_eq!(client.socket.end().await, End::Closed(4401));
}

async fn a_client_is_told_before_its_token_ends_the_socket(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("close-on-token-expiry", "true").start().await;
    let ada = chat.user("ada").await;
    let short = named(&ada, "short", -4);
    let path = format!("/ws/chat/room/?protocol=2&token={}", short.token);
    let mut socket = Socket::open(chat.edge_of(&ada).address, &path, &[]).await;
    assert_eq!(socket.next().await["action"], "hello");
    let mut told = socket.next().await;
    if told["action"] == "live" {
        told = socket.next().await;
    }
    assert_eq!(told, json!({"action": "token_expiring", "in_s": 0}));
    assert_eq!(socket.end().await, End::Closed(4401));
}
