//! What a token must say.

use netrox_harness::{
    Arrangement, TestChat, each,
    settings::JWT_SECRET,
    token::{Claims, now},
};
use serde_json::{Value, json};

use super::{assert_accepted, assert_refused};

each![
    exp_is_required_and_honoured,
    nbf_is_honoured,
    a_refresh_token_is_refused,
    the_user_id_is_a_hyphenated_uuid_in_either_case,
    sub_stands_in_for_a_missing_user_id,
    the_user_claim_has_the_configured_name,
    issuer_and_audience_are_free_unless_configured,
    a_configured_issuer_is_required,
    a_configured_audience_is_required,
    a_token_over_8_kib_is_refused,
];

const ID: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";

fn access() -> Claims {
    Claims::access(ID)
}

async fn exp_is_required_and_honoured(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    // Leeway is 10 s; the margins leave room for a slow machine.
    assert_accepted(&chat, "just expired", &access().claim("exp", now() - 2).sign(JWT_SECRET))
        .await;
    let bad: [(&str, Option<Value>); 8] = [
        ("expired", Some(json!(now() - 11))),
        ("expired long ago", Some(json!(0))),
        ("negative", Some(json!(-1))),
        ("a string", Some(json!((now() + 3600).to_string()))),
        ("null", Some(Value::Null)),
        ("a list", Some(json!([now() + 3600]))),
        ("true", Some(json!(true))),
        ("missing", None),
    ];
    for (what, exp) in bad {
        let claims = match exp {
            Some(exp) => access().claim("exp", exp),
            None => access().without("exp"),
        };
        assert_refused(&chat, what, &claims.sign(JWT_SECRET)).await;
    }
}

async fn nbf_is_honoured(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let good = [("past", json!(now() - 60)), ("within the leeway", json!(now() + 5))];
    for (what, nbf) in good {
        assert_accepted(&chat, what, &access().claim("nbf", nbf).sign(JWT_SECRET)).await;
    }
    let bad = [("future", json!(now() + 3600)), ("a string", json!((now() + 3600).to_string()))];
    for (what, nbf) in bad {
        assert_refused(&chat, what, &access().claim("nbf", nbf).sign(JWT_SECRET)).await;
    }
}

async fn a_refresh_token_is_refused(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    assert_accepted(&chat, "no type", &access().without("token_type").sign(JWT_SECRET)).await;
    for token_type in [json!("refresh"), json!("sliding"), json!("Access"), json!(""), json!(1)] {
        let token = access().claim("token_type", token_type.clone()).sign(JWT_SECRET);
        assert_refused(&chat, &token_type.to_string(), &token).await;
    }
}

async fn the_user_id_is_a_hyphenated_uuid_in_either_case(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let upper = access().claim("user_id", ID.to_uppercase()).sign(JWT_SECRET);
    assert_accepted(&chat, "upper case", &upper).await;

    // It is the same user, printed in lower case.
    let (bob, mut bob_socket) = chat.join("bob").await;
    let shouting = bob.with_token(upper);
    let mut socket = chat.connect(&shouting).await;
    socket.say(&bob, "hello").await;
    assert_eq!(bob_socket.expect_body("hello").await["sender_id"], ID);

    for user_id in [
        json!("96bf0d3f720d46208dee0f59f997cb51"),
        json!("{96bf0d3f-720d-4620-8dee-0f59f997cb51}"),
        json!("urn:uuid:96bf0d3f-720d-4620-8dee-0f59f997cb51"),
        json!(" 96bf0d3f-720d-4620-8dee-0f59f997cb51"),
        json!(""),
        json!(17),
        json!([ID]),
        json!({ "id": ID }),
    ] {
        let token = access().claim("user_id", user_id.clone()).sign(JWT_SECRET);
        assert_refused(&chat, &user_id.to_string(), &token).await;
    }
}

/// The id of the user that a token stands for, as another user sees it.
async fn identified(chat: &TestChat, token: String) -> String {
    let (bob, mut bob_socket) = chat.join("bob").await;
    let mut socket = chat.connect(&bob.with_token(token)).await;
    socket.say(&bob, "who am I").await;
    let frame = bob_socket.expect_body("who am I").await;
    frame["sender_id"].as_str().expect("an id").to_owned()
}

async fn sub_stands_in_for_a_missing_user_id(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let other = chat.stranger("other").id;
    let by_sub = access().without("user_id").claim("sub", ID).sign(JWT_SECRET);
    assert_eq!(identified(&chat, by_sub).await, ID);
    let both = access().claim("sub", other).sign(JWT_SECRET);
    assert_eq!(identified(&chat, both).await, ID);
    let neither = access().without("user_id").sign(JWT_SECRET);
    assert_refused(&chat, "neither", &neither).await;
}

async fn the_user_claim_has_the_configured_name(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("jwt-user-claim", "uid").start().await;
    let other = chat.stranger("other").id;
    let by_uid = Claims::access(&other).claim("uid", ID).claim("sub", other.as_str());
    assert_eq!(identified_by_uid(&chat, by_uid.sign(JWT_SECRET)).await, ID);
    let by_sub = Claims::access(&other).claim("sub", ID);
    assert_eq!(identified_by_uid(&chat, by_sub.sign(JWT_SECRET)).await, ID);
    assert_refused(&chat, "user_id alone", &access().sign(JWT_SECRET)).await;
}

/// As [`identified`], where the default name of the claim means nothing.
async fn identified_by_uid(chat: &TestChat, token: String) -> String {
    let bob = chat.stranger("bob");
    let bob = bob.with_token(Claims::access(&bob.id).claim("uid", &*bob.id).sign(JWT_SECRET));
    let mut bob_socket = chat.connect(&bob).await;
    let mut socket = chat.connect(&bob.with_token(token)).await;
    socket.say(&bob, "who am I").await;
    let frame = bob_socket.expect_body("who am I").await;
    frame["sender_id"].as_str().expect("an id").to_owned()
}

async fn issuer_and_audience_are_free_unless_configured(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for (name, value) in [
        ("aud", json!("somebody")),
        ("aud", json!(["somebody", "else"])),
        ("iss", json!("https://issuer.example")),
    ] {
        let token = access().claim(name, value.clone()).sign(JWT_SECRET);
        assert_accepted(&chat, &format!("{name} {value}"), &token).await;
    }
}

async fn a_configured_issuer_is_required(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("jwt-issuer", "https://good.example");
    let chat = chat.start().await;
    let issued_by = |issuer: &str| access().claim("iss", issuer).sign(JWT_SECRET);
    assert_accepted(&chat, "configured", &issued_by("https://good.example")).await;
    assert_refused(&chat, "another", &issued_by("https://bad.example")).await;
    assert_refused(&chat, "longer", &issued_by("https://good.example/")).await;
    assert_refused(&chat, "none", &access().sign(JWT_SECRET)).await;
}

async fn a_configured_audience_is_required(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("jwt-audience", "chat").start().await;
    let meant_for = |audience: Value| access().claim("aud", audience).sign(JWT_SECRET);
    assert_accepted(&chat, "configured", &meant_for(json!("chat"))).await;
    assert_accepted(&chat, "one of several", &meant_for(json!(["shop", "chat"]))).await;
    assert_refused(&chat, "another", &meant_for(json!("shop"))).await;
    assert_refused(&chat, "others", &meant_for(json!(["shop", "chats"]))).await;
    assert_refused(&chat, "nobody", &meant_for(json!([]))).await;
    assert_refused(&chat, "none", &access().sign(JWT_SECRET)).await;
}

async fn a_token_over_8_kib_is_refused(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let padded = |bytes: usize| access().claim("padding", "x".repeat(bytes)).sign(JWT_SECRET);
    let bare = padded(0).len();
    // Three bytes of a claim are four of the token.
    let most = (5_000..7_000).rev().find(|bytes| bare + bytes * 4 / 3 <= 8_190).expect("a size");
    let longest = (most..most + 8).map(padded).rfind(|token| token.len() <= 8_192);
    let longest = longest.expect("a token of 8 KiB");
    assert!(longest.len() > 8_185, "{}", longest.len());
    assert_accepted(&chat, "8 KiB", &longest).await;
    let longer = (most..most + 16).map(padded).find(|token| token.len() > 8_192);
    let longer = longer.expect("a longer token");
    assert!(longer.len() < 8_200, "{}", longer.len());
    assert_refused(&chat, "over 8 KiB", &longer).await;
    let query = format!("/ws/chat/room/?token={longer}");
    chat.get(&query).websocket().send().await.assert_failure(401);
}
