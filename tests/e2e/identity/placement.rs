//! Where a token is looked for.

use netrox_harness::{Arrangement, Edge, Response, Socket, TestChat, each, token::Claims};

each![
    rest_takes_the_header_alone,
    a_socket_takes_the_query_or_the_header,
    the_header_counts_where_both_are_present,
    every_refusal_looks_alike,
];

async fn rest_takes_the_header_alone(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let user = chat.stranger("ada");
    let path = "/chat/get-user-threads/";
    assert_eq!(chat.get(path).bearer(&user.token).send().await.status, 200);
    // The scheme's name has no case (RFC 9110 section 11.1).
    let lower = chat.get(path).header("authorization", &format!("bearer {}", user.token));
    assert_eq!(lower.send().await.status, 200);
    let query = format!("{path}?token={}", user.token);
    chat.get(&query).send().await.assert_failure(401);
}

async fn a_socket_takes_the_query_or_the_header(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.stranger("ada"), chat.stranger("bob"));
    let mut by_query = chat.connect(&ada).await;
    let header = format!("Bearer {}", bob.token);
    let address = chat.edge().address;
    let mut by_header =
        Socket::open(address, "/ws/chat/room/", &[("authorization", &header)]).await;
    by_query.say(&bob, "hello").await;
    by_header.expect_body("hello").await;
    by_header.say(&ada, "good day").await;
    by_query.expect_body("good day").await;
}

async fn the_header_counts_where_both_are_present(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.stranger("ada"), chat.stranger("bob"));
    let (mut carol_socket, edge) = (chat.join("carol").await.1, chat.edge());

    let path = format!("/ws/chat/room/?token={}", ada.token);
    let header = format!("Bearer {}", bob.token);
    let mut bob_socket = Socket::open(edge.address, &path, &[("authorization", &header)]).await;
    carol_socket.say(&bob, "for bob").await;
    bob_socket.expect_body("for bob").await;

    let garbage = "/ws/chat/room/?token=garbage";
    let socket = Socket::open(edge.address, garbage, &[("authorization", &header)]).await;
    socket.close().await;

    let refused = edge.get(&path).websocket().header("authorization", "Bearer garbage");
    refused.send().await.assert_failure(401);
}

async fn every_refusal_looks_alike(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let user = chat.stranger("ada");
    let good = Claims::access(&user.id);
    let secret = netrox_harness::settings::JWT_SECRET;
    let (head, signature) = user.token.rsplit_once('.').expect("a signature");
    let other_payload = Claims::access(&user.id).claim("more", 1).sign(secret);
    let (other_head, _) = other_payload.rsplit_once('.').expect("a signature");
    let bad_tokens = [
        String::new(),
        "garbage".to_owned(),
        "a.b.c".to_owned(),
        good.sign("another secret, also long enough to be one"),
        good.clone().claim("exp", 1_000).sign(secret),
        good.clone().claim("token_type", "refresh").sign(secret),
        good.clone().without("user_id").sign(secret),
        good.clone().claim("user_id", "not a uuid").sign(secret),
        head.to_owned(),
        format!("{head}."),
        format!("{other_head}.{signature}"),
        format!("{} {}", user.token, user.token),
    ];

    let mut answers = vec![chat.get("/chat/get-user-threads/").send().await];
    for token in &bad_tokens {
        answers.push(chat.get("/chat/get-user-threads/").bearer(token).send().await);
    }
    let basic = chat.get("/chat/get-user-threads/").header("authorization", "Basic YTpi");
    answers.push(basic.send().await);
    let bare = chat.get("/chat/get-user-threads/").header("authorization", &user.token);
    answers.push(bare.send().await);
    answers.push(handshake(chat.edge(), "").await);
    for token in bad_tokens.iter().filter(|token| !token.contains(' ')) {
        answers.push(handshake(chat.edge(), &format!("?token={token}")).await);
    }

    let first = answers[0].clone();
    first.assert_failure(401);
    let described = |answer: &Response| {
        let mut headers = answer.headers.clone();
        headers.remove("date");
        (answer.status, headers, answer.body.clone())
    };
    for answer in &answers {
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{answer:?}");
        assert_eq!(answer.text(), first.text());
    }
    // Within a route not even a header tells the reasons apart.
    let (rest, handshakes): (Vec<_>, Vec<_>) = {
        let handshakes = answers.split_off(bad_tokens.len() + 3);
        (answers, handshakes)
    };
    for group in [rest, handshakes] {
        let first = described(&group[0]);
        for answer in &group {
            assert_eq!(described(answer), first);
        }
    }
}

async fn handshake(edge: Edge, query: &str) -> Response {
    edge.get(&format!("/ws/chat/room/{query}")).websocket().send().await
}
