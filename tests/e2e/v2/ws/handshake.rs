//! How a socket of the second generation is opened, and refused.

use netrox_harness::{
    Arrangement, Socket, TestChat, each, settings::JWT_SECRET, socket::End, token::Claims,
};
use serde_json::json;

use crate::v2::client::Client;

each![
    hello_comes_first_and_live_once,
    who_offers_it_by_name_is_named_it,
    a_bad_token_is_told_after_the_101,
    anything_else_is_the_first_generation,
];

async fn hello_comes_first_and_live_once(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let user = chat.stranger("ada");
    let mut client = Client::open(chat.edge_of(&user), &user, None).await;
    let hello = client.hello.clone();
    assert_eq!((&hello["resumed"], &hello["behind"]), (&json!(false), &json!(0)));
    assert!(hello["reset"].is_null());
    let cursor = hello["cursor"].as_str().expect("a cursor");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    assert!(cursor.len() < 64 && cursor.bytes().all(is_plain), "{cursor}");
    assert_eq!(hello["limits"]["max_server_frame_bytes"], 131_072);
    let live = client.socket.next().await;
    assert_eq!((&live["action"], &live["unread_total"]), (&json!("live"), &json!(0)));
    let pong = client.ask(json!({"action": "ping"})).await;
    assert_eq!(pong["time"].as_str().map(str::len), Some(27));
}

async fn who_offers_it_by_name_is_named_it(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.stranger("ada");
    for (query, offer, named) in [
        ("", "Sec-WebSocket-Protocol: netrox.chat.v2\r\n", true),
        ("", "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: a, netrox.chat.v2\r\n", true),
        ("&protocol=2", "Sec-WebSocket-Protocol: chat\r\n", false),
        ("&protocol=2", "", false),
        ("", "Sec-WebSocket-Protocol: chat\r\n", false),
    ] {
        let mut connection = chat.edge().raw().await;
        connection
            .write(format!(
                "GET /ws/chat/room/?token={}{query} HTTP/1.1\r\nHost: localhost\r\n\
                 Connection: Upgrade\r\nUpgrade: websocket\r\n{offer}\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                ada.token
            ))
            .await;
        let head = connection.head().await.to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert_eq!(head.contains("sec-websocket-protocol: netrox.chat.v2\r\n"), named, "{head}");
        assert_eq!(head.contains("sec-websocket-protocol"), named, "{head}");
    }
}

async fn a_bad_token_is_told_after_the_101(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.stranger("ada");
    let expired = Claims::access(&ada.id).claim("exp", 1_000).sign(JWT_SECRET);
    let refresh = Claims::access(&ada.id).claim("token_type", "refresh").sign(JWT_SECRET);
    for token in [expired.as_str(), refresh.as_str(), "", "garbage"] {
        let path = format!("/ws/chat/room/?protocol=2&token={token}");
        let mut socket = Socket::open(chat.edge().address, &path, &[]).await;
        assert_eq!(socket.end().await, End::Closed(4401));
        let path = format!("/ws/chat/room/?token={token}");
        assert_eq!(chat.get(&path).websocket().send().await.status, 401);
    }
    // Good handshakes are not delayed.
    Client::live(chat.edge(), &ada).await;
}

async fn anything_else_is_the_first_generation(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut bob) = chat.join("bob").await;
    for query in ["&protocol=3", "&protocol=", "&after=x"] {
        let ada = chat.stranger("ada");
        let path = format!("/ws/chat/room/?token={}{query}", ada.token);
        let mut socket = Socket::open(chat.edge_of(&ada).address, &path, &[]).await;
        bob.say(&ada, "canary first").await;
        socket.expect_body("canary first").await;
    }
}
