//! Keys in files, which are read again when they change.

use std::{fs, path::Path};

use netrox_harness::{Arrangement, TestChat, each, eventually, token::Claims};
use serde_json::Value;

use super::{ID, Key, set};
use crate::identity::{algorithm::elliptic, assert_accepted, assert_refused, with_token};

each![; serve: a_file_of_keys_is_read_again, a_public_key_and_a_secret_are_read_again];

/// As it should be done: nobody sees half a file.
fn replace(path: &Path, content: &str) {
    let part = path.with_extension("part");
    fs::write(&part, content).expect("written");
    fs::rename(&part, path).expect("renamed");
}

async fn is_accepted(chat: &TestChat, token: &str) {
    eventually("a new key", async || (with_token(chat, token).await.status == 200).then_some(()))
        .await;
}

async fn a_file_of_keys_is_read_again(arrangement: Arrangement) {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys.json");
    replace(&path, &set(&[&old]).to_string());
    let audit_log = directory.path().join("audit.log");
    let chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwks-file", &path)
        .set("audit-log", &audit_log)
        .start()
        .await;
    assert_accepted(&chat, "the old key", &old.token()).await;
    assert_refused(&chat, "the new key", &new.token()).await;
    let log = chat.log(chat.edge_role());
    replace(&path, "{\"keys\": [");
    eventually("an error", async || log.contains("its last keys stay").then_some(())).await;
    assert_accepted(&chat, "the old key", &old.token()).await;
    replace(&path, &set(&[&new]).to_string());
    is_accepted(&chat, &new.token()).await;
    assert_refused(&chat, "the old key", &old.token()).await;
    let told = async || {
        let log = fs::read_to_string(&audit_log).ok()?;
        let events = log.lines().map(serde_json::from_str::<Value>);
        let events: Vec<_> = events.collect::<Result<_, _>>().ok()?;
        let reloads = events.iter().filter(|event| event["event"] == "keys_reloaded");
        let outcomes: Vec<_> = reloads.map(|event| event["outcome"].clone()).collect();
        (outcomes == ["refused", "ok"]).then_some(())
    };
    eventually("both in the audit log", told).await;
}

async fn a_public_key_and_a_secret_are_read_again(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let (pem, secret) = (directory.path().join("key.pem"), directory.path().join("secret"));
    let ((old, old_pem), (new, new_pem)) = (elliptic(), elliptic());
    replace(&pem, &old_pem);
    replace(&secret, "an-old-secret-of-thirty-two-bytes-and-more");
    let issuers = directory.path().join("issuers.json");
    let text = r#"[{"issuer": "one", "public_key_file": "key.pem"},
                   {"issuer": "two", "secret_file": "secret", "same_users_as": "one"}]"#;
    replace(&issuers, text);
    let chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwt-issuers-file", &issuers)
        .start()
        .await;
    let one = Claims::access(ID).claim("iss", "one");
    let two = Claims::access(ID).claim("iss", "two");
    let es256 = jsonwebtoken::Algorithm::ES256;
    let [old, new] = [old, new].map(|key| one.sign_with(es256, &key));
    assert_accepted(&chat, "the old key", &old).await;
    assert_accepted(
        &chat,
        "the old secret",
        &two.sign("an-old-secret-of-thirty-two-bytes-and-more"),
    )
    .await;
    // What anybody could guess, or knows, is no secret later either.
    let log = chat.log(chat.edge_role());
    for (bad, lines) in [("guess me", 1), (old_pem.as_str(), 2)] {
        replace(&secret, bad);
        log.counts("its last keys stay", lines).await;
    }
    replace(&pem, &new_pem);
    replace(&secret, "a-new-secret-of-thirty-two-bytes-and-more\n");
    is_accepted(&chat, &new).await;
    is_accepted(&chat, &two.sign("a-new-secret-of-thirty-two-bytes-and-more")).await;
    assert_refused(&chat, "the old key", &old).await;
    let old = two.sign("an-old-secret-of-thirty-two-bytes-and-more");
    assert_refused(&chat, "the old secret", &old).await;
}
