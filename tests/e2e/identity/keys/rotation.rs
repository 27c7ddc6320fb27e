//! Keys that come and go.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use netrox_harness::{
    Arrangement, Edge, TestChat, User, each, eventually,
    issuer::{Conduct, Issuer},
    token::Claims,
};

use super::{ID, Key, set};
use crate::identity::{assert_accepted, assert_refused, with_token};

each![
    a_rotation_refuses_nobody,
    an_outage_and_a_restart_in_it_refuse_nobody;
    serve:
        a_key_that_is_gone_is_refused_with_all_tokens_that_were_verified,
        a_storm_of_unknown_keys_asks_the_issuer_once,
        an_issuer_may_ask_for_shorter_intervals,
];

/// Of a deployment whose edges ask this issuer.
async fn asking(arrangement: Arrangement, issuer: &Issuer, interval: &str) -> TestChat {
    TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwks-url", issuer.url())
        .set("jwks-refresh-interval", interval)
        .start()
        .await
}

/// Past a 503, which refuses nobody: a busy machine is one reason for it.
async fn accepts(edge: &Edge, token: &str) -> bool {
    eventually("an answer about the token", async || {
        let answer = edge.get("/chat/get-user-threads/").bearer(token).send().await;
        assert!([200, 401, 503].contains(&answer.status), "{answer:?}");
        (answer.status != 503).then_some(answer.status == 200)
    })
    .await
}

/// Until it is known whether there is a key, the answer may be 503.
async fn eventually_answers(edge: &Edge, token: &str, status: u16) {
    eventually("another answer", async || {
        let answer = edge.get("/chat/get-user-threads/").bearer(token).send().await;
        assert!([200, 401, 503].contains(&answer.status), "{answer:?}");
        (answer.status == status).then_some(())
    })
    .await;
}

async fn a_rotation_refuses_nobody(arrangement: Arrangement) {
    let mut old = Key::new("key-0");
    let issuer = Issuer::start(set(&[&old])).await;
    // Then an unknown key is asked for once per 30th of it.
    let interval = Duration::from_secs(3);
    let chat = asking(arrangement, &issuer, "3s").await;
    for number in 1..=4 {
        let new = Key::new(&format!("key-{number}"));
        issuer.set_keys(set(&[&new, &old]));
        let mut first_round = None;
        let user = User { id: ID.to_owned(), email: String::new(), token: new.token() };
        loop {
            let edges = chat.edges();
            let requests = edges.iter().flat_map(|edge| {
                [old.token(), new.token(), new.token()]
                    .map(async |token| assert!(accepts(edge, &token).await, "{token}"))
            });
            futures_util::future::join_all(requests).await;
            // Then all edges know the new key, and may ask for the next one.
            let since = first_round.get_or_insert_with(Instant::now);
            if since.elapsed() > interval / 10 {
                break;
            }
        }
        for edge in chat.edges() {
            edge.connect(&user).await;
        }
        old = new;
    }
}

async fn an_outage_and_a_restart_in_it_refuse_nobody(arrangement: Arrangement) {
    let key = Key::new("key");
    let issuer = Issuer::start(set(&[&key])).await;
    let directory = tempfile::tempdir().expect("a directory");
    let mut chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwks-url", issuer.url())
        .set("jwks-refresh-interval", "200ms")
        .set("jwks-cache", directory.path().join("keys.json"))
        .start()
        .await;
    issuer.behave(Conduct::Away);
    let before = key.token();
    issuer.is_asked(6).await;
    for role in chat.edge_roles() {
        eventually("a warning", async || chat.log(role).contains("the last stay").then_some(()))
            .await;
    }
    for edge in chat.edges() {
        assert!(accepts(&edge, &before).await && accepts(&edge, &key.token()).await);
    }
    for role in chat.edge_roles() {
        chat.restart(role).await;
        chat.log(role).counts("as they were kept", 1).await;
    }
    for edge in chat.edges() {
        assert!(accepts(&edge, &before).await && accepts(&edge, &key.token()).await);
        // Nobody can tell whether it is good.
        let unknown = Key::new("unknown").token();
        let answer = edge.get("/chat/get-user-threads/").bearer(&unknown).send().await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!accepts(&edge, &Key::new("key").token()).await);
    }
    let next = Key::new("next");
    issuer.set_keys(set(&[&next]));
    issuer.behave(Conduct::Well);
    for edge in chat.edges() {
        eventually_answers(&edge, &next.token(), 200).await;
    }
}

async fn a_key_that_is_gone_is_refused_with_all_tokens_that_were_verified(
    arrangement: Arrangement,
) {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::start(set(&[&old])).await;
    let chat = asking(arrangement, &issuer, "200ms").await;
    let token = old.token();
    for _ in 0..2 {
        assert_accepted(&chat, "an old key", &token).await;
    }
    issuer.set_keys(set(&[&new]));
    eventually_answers(&chat.edge(), &token, 401).await;
    eventually_answers(&chat.edge(), &old.token(), 401).await;
    assert_accepted(&chat, "a new key", &new.token()).await;
    // The same name with another key is another key.
    let other = Key::new("new");
    issuer.set_keys(set(&[&other]));
    eventually("the new key to be gone", async || {
        (!accepts(&chat.edge(), &new.token()).await).then_some(())
    })
    .await;
    assert_accepted(&chat, "another key", &other.token()).await;
}

async fn a_storm_of_unknown_keys_asks_the_issuer_once(arrangement: Arrangement) {
    let key = Key::new("key");
    let issuer = Issuer::start(set(&[&key])).await;
    let chat = asking(arrangement, &issuer, "15m").await;
    assert_eq!(issuer.asked(), 1);
    let mut answers = BTreeSet::new();
    for round in 0..2 {
        let forged = (0..40).map(|number| Key::new(&format!("forged-{number}")).token());
        let forged: Vec<_> = forged.collect();
        let asked = forged.iter().map(|token| with_token(&chat, token));
        for answer in futures_util::future::join_all(asked).await {
            // Those who come after the fetch may not ask for another, and may be of a key that is newer.
            let is_known = answer.status == 503 || round == 0 && answer.status == 401;
            assert!(is_known, "{answer:?}");
            answers.insert((answer.status, answer.text().to_owned()));
        }
        assert_eq!(issuer.asked(), 2);
        assert_accepted(&chat, "a known key", &key.token()).await;
    }
    // One answer each.
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [401, 503], "{answers:?}");
    // One from before the last fetch is of no key that came since.
    let earlier = Claims::access(ID).claim("iat", 7);
    assert_refused(&chat, "an earlier one", &Key::new("forged").sign(&earlier)).await;
    assert_eq!(issuer.asked(), 2);
}

async fn an_issuer_may_ask_for_shorter_intervals(arrangement: Arrangement) {
    let (old, new) = (Key::new("key"), Key::new("key"));
    let issuer = Issuer::start(set(&[&old])).await;
    issuer.set_cache_control("public, max-age=0");
    // A hundred milliseconds are the least then.
    let chat = asking(arrangement, &issuer, "3s").await;
    issuer.is_asked(3).await;
    issuer.set_keys(set(&[&new]));
    eventually("the new key", async || accepts(&chat.edge(), &new.token()).await.then_some(()))
        .await;
    assert_refused(&chat, "the old key", &old.token()).await;
}
