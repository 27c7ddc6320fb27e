//! Issuers that do not do as they should.

use std::fs;

use netrox_harness::{
    Arrangement, TestChat,
    alarms::Before,
    each, eventually,
    issuer::{Conduct, Issuer},
    token::Claims,
};
use serde_json::json;

use super::{ID, Key, set};
use crate::identity::{assert_accepted, assert_refused, with_token};

each![;
    serve:
        without_any_keys_it_waits_for_them_and_says_so,
        an_issuer_that_is_away_keeps_no_others_out,
        whatever_an_issuer_answers_the_last_keys_stay,
        an_issuer_that_hangs_holds_nobody_up_who_is_known,
];

async fn without_any_keys_it_waits_for_them_and_says_so(arrangement: Arrangement) {
    let key = Key::new("key");
    let issuer = Issuer::start(set(&[&key])).await;
    let mut chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwks-url", issuer.url())
        .set("jwks-refresh-interval", "3s")
        .start()
        .await;
    issuer.behave(Conduct::Away);
    let role = chat.edge_role();
    chat.kill(role);
    chat.spawn(role).await;
    eventually("an error", async || chat.log(role).contains("none are known").then_some(())).await;
    let ready = chat.get("/readyz").send().await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("no_keys"), "{ready:?}");
    // Nobody is told that their token is bad.
    for token in [key.token(), Key::new("other").token()] {
        let answer = with_token(&chat, &token).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        for path in ["/ws/chat/room/", "/v2/threads"] {
            let path = format!("{path}?token={token}");
            let answer = chat.get(&path).websocket().bearer(&token).send().await;
            assert_eq!(answer.status, 503, "{answer:?}");
        }
    }
    // What is no token, or has expired, is none with any keys.
    assert_refused(&chat, "no token", "token").await;
    let expired = key.sign(&Claims::access(ID).claim("exp", 7));
    assert_refused(&chat, "an expired one", &expired).await;
    issuer.behave(Conduct::Well);
    chat.ready().await;
    assert_accepted(&chat, "a key at last", &key.token()).await;
}

async fn an_issuer_that_is_away_keeps_no_others_out(arrangement: Arrangement) {
    let (here, away) = (Key::new("here"), Key::new("away"));
    let (one, two) = (Issuer::start(set(&[&here])).await, Issuer::start(set(&[&away])).await);
    two.behave(Conduct::Away);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("issuers.json");
    let issuers = json!([
        {"issuer": "one", "jwks_url": one.url()},
        {"issuer": "two", "jwks_url": two.url(), "same_users_as": "one"},
    ]);
    fs::write(&file, issuers.to_string()).expect("written");
    // Returns when it is ready.
    let chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwt-issuers-file", &file)
        .start()
        .await;
    let claims = |issuer: &str| Claims::access(ID).claim("iss", issuer);
    assert_accepted(&chat, "the one that is here", &here.sign(&claims("one"))).await;
    let log = chat.log(chat.edge_role());
    eventually("the lines", async || {
        let lines = ["none are known", &two.url()];
        lines.into_iter().all(|line| log.contains(line)).then_some(())
    })
    .await;
    let token = away.sign(&claims("two"));
    let answer = with_token(&chat, &token).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    two.behave(Conduct::Well);
    eventually("the other", async || (with_token(&chat, &token).await.status == 200).then_some(()))
        .await;
}

async fn whatever_an_issuer_answers_the_last_keys_stay(arrangement: Arrangement) {
    let key = Key::new("key");
    let issuer = Issuer::start(set(&[&key])).await;
    let other = Issuer::start(set(&[&Key::new("key")])).await;
    let chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwks-url", issuer.url())
        .set("jwks-refresh-interval", "100ms")
        .start()
        .await;
    for conduct in [
        Conduct::Status(500),
        Conduct::Status(404),
        Conduct::Status(204),
        Conduct::Text(String::new()),
        Conduct::Text("<html>".to_owned()),
        Conduct::Text("{\"keys\":[]}".to_owned()),
        Conduct::Text(json!({"keys": [{"kty": "oct", "k": "AAAA"}]}).to_string()),
        Conduct::Text(" ".repeat(1024 * 1024)),
        Conduct::Redirect(issuer.url()),
        Conduct::Redirect("ftp://127.0.0.1/keys".to_owned()),
        Conduct::Redirect("http://192.0.2.1/keys".to_owned()),
        Conduct::Away,
    ] {
        issuer.behave(conduct.clone());
        issuer.is_asked(2).await;
        assert_accepted(&chat, &format!("{conduct:?}"), &key.token()).await;
    }
    assert_eq!(other.asked(), 0);
    let before = Before::of(&chat).await;
    before.alarms(&chat, &[], &["IssuerIsAway"]).await;
    let log = chat.log(chat.edge_role());
    assert!(log.contains("no keys of access tokens from"), "nobody is told");
    // One bad key spoils no other.
    let mut keys = set(&[&key]);
    let list = keys["keys"].as_array_mut().expect("an array");
    list.insert(0, json!({"kty": "RSA", "kid": 7}));
    issuer.set_keys(keys);
    issuer.behave(Conduct::Well);
    eventually("a warning", async || log.contains("are left out").then_some(())).await;
    issuer.is_asked(3).await;
    assert_eq!(log.count_of("are left out"), 1);
    assert_accepted(&chat, "a good key beside it", &key.token()).await;
    let metrics = chat.admin(chat.edge_role()).get("/metrics").send().await;
    let source = format!("source=\"{}\"", issuer.url());
    for line in [
        format!("netrox_chat_key_fetches_total{{{source},result=\"failed\"}}"),
        format!("netrox_chat_key_fetches_total{{{source},result=\"unusable\"}}"),
        format!("netrox_chat_keys_fetched_timestamp_seconds{{{source}}}"),
    ] {
        assert!(metrics.text().contains(&line), "{line}");
    }
    // It may move.
    issuer.behave(Conduct::Redirect(other.url()));
    other.is_asked(2).await;
    eventually("the keys of the other", async || {
        (with_token(&chat, &key.token()).await.status == 401).then_some(())
    })
    .await;
}

async fn an_issuer_that_hangs_holds_nobody_up_who_is_known(arrangement: Arrangement) {
    let key = Key::new("key");
    let issuer = Issuer::start(set(&[&key])).await;
    let chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwks-url", issuer.url())
        .set("jwks-refresh-interval", "100ms")
        .start()
        .await;
    issuer.behave(Conduct::Hanging);
    issuer.is_asked(1).await;
    assert_accepted(&chat, "a known key", &key.token()).await;
    // Whether there is another nobody can tell.
    let answer = with_token(&chat, &Key::new("other").token()).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let forged = Key::new("key").token();
    assert_refused(&chat, "a forged token of a known key", &forged).await;
}
