//! Several issuers, and those that are found by their name.

use std::{fs, net::IpAddr};

use netrox_harness::{
    Arrangement, TestChat, certificate::Authority, each, issuer::Issuer, tls::TlsServer,
    token::Claims,
};
use serde_json::json;

use super::{ID, Key, set};
use crate::identity::{assert_accepted, assert_refused};

each![
    each_of_several_issuers_is_held_against_its_own_keys;
    serve: an_issuer_is_found_by_its_name_over_tls
];

const SECRET: &str = "a-secret-of-the-third-issuer-0123456789";

async fn each_of_several_issuers_is_held_against_its_own_keys(arrangement: Arrangement) {
    // They call their keys alike.
    let (first, second) = (Key::new("key"), Key::new("key"));
    let (one, two) = (Issuer::start(set(&[&first])).await, Issuer::start(set(&[&second])).await);
    let directory = tempfile::tempdir().expect("a directory");
    let secret = directory.path().join("secret");
    fs::write(&secret, SECRET).expect("written");
    let two_name = format!("http://{}", two.address());
    let file = directory.path().join("issuers.json");
    let issuers = json!([
        {"issuer": "one", "jwks_url": one.url(), "audience": ["chat", "web"]},
        {"issuer": two_name, "algorithms": ["ES256"], "user_claim": "uid", "type_claim": "kind",
         "same_users_as": "one"},
        {"issuer": "three", "secret_file": "secret", "same_users_as": "one"},
    ]);
    fs::write(&file, issuers.to_string()).expect("written");
    let chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwt-issuers-file", &file)
        .start()
        .await;
    let claims = |issuer: &str| Claims::access(ID).claim("iss", issuer).claim("aud", "chat");
    let of_two = Claims::access("x").claim("iss", two_name.as_str()).claim("uid", ID);
    for (what, token) in [
        ("the first", first.sign(&claims("one"))),
        ("the second", second.sign(&of_two)),
        ("the third", claims("three").sign(SECRET)),
    ] {
        assert_accepted(&chat, what, &token).await;
    }
    for (what, token) in [
        ("the first as the second", first.sign(&of_two)),
        ("the second as the first", second.sign(&claims("one"))),
        ("the first as the third", first.sign(&claims("three"))),
        ("the third as the first", claims("one").sign(SECRET)),
        ("another audience", first.sign(&claims("one").claim("aud", "mail"))),
        ("no audience", first.sign(&claims("one").without("aud"))),
        ("a type of the second", second.sign(&of_two.clone().claim("kind", "refresh"))),
        ("the user's claim of the first", second.sign(&of_two.clone().without("uid"))),
        ("nobody", first.sign(&claims("nobody"))),
        ("no issuer", first.sign(&claims("one").without("iss"))),
    ] {
        assert_refused(&chat, what, &token).await;
    }
}

async fn an_issuer_is_found_by_its_name_over_tls(arrangement: Arrangement) {
    let key = Key::new("key");
    let issuer = Issuer::start(set(&[&key])).await;
    let authority = Authority::new();
    let IpAddr::V4(address) = issuer.address().ip() else { panic!("an IPv4 address") };
    let door = TlsServer::start(&authority.issue("issuer", address.into()), issuer.address()).await;
    let name = format!("https://{}", door.address());
    issuer.set_name(&name);
    let builder = TestChat::builder(arrangement).unset("jwt-secret").set("jwt-issuer", &name);
    let chat = builder.set("jwks-ca-file", authority.certificate()).start().await;
    let named = Claims::access(ID).claim("iss", name.as_str());
    assert_accepted(&chat, "its token", &key.sign(&named)).await;
    assert_refused(&chat, "another issuer", &key.sign(&named.clone().claim("iss", "other"))).await;
    assert_refused(&chat, "another key", &Key::new("key").sign(&named)).await;
    // No secret was made.
    assert!(!chat.data_dir().join("jwt-secret").exists());
}
