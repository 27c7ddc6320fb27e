//! An edge whose service token is one of several, with a scope.

use std::fs;

use netrox_core::TokenHash;
use netrox_harness::{
    Arrangement, Builder, Role, TestChat, each, eventually, multipart::Form,
    settings::variable_name,
};
use serde_json::json;
use tempfile::TempDir;

each![;
    split: an_edge_needs_no_more_than_its_scope,
        an_edge_without_its_scope_says_what_it_lacks
];

const TOKEN: &str = "a-token-of-an-edge-which-nobody-is-told";

fn builder(arrangement: Arrangement, directory: &TempDir, scope: &str) -> Builder {
    let path = directory.path().join("services.json");
    let hash = TokenHash::of(TOKEN).to_string();
    let services = json!([{ "name": "edge-1", "token_sha256": hash, "scopes": [scope] }]);
    fs::write(&path, services.to_string()).expect("written");
    let builder = TestChat::builder(arrangement).set("service-tokens-file", path);
    builder.variable(Role::Edge(0), variable_name("service-token"), TOKEN)
}

async fn an_edge_needs_no_more_than_its_scope(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let chat = builder(arrangement, &directory, "edge").start().await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    at_ada.say(&bob, "canary").await;
    at_bob.expect_body("canary").await;
    let form = Form::new().text("receiver", &bob.id).file("canary.txt", "canary");
    let message = chat.store(&ada, form).await.json()["entity"]["message"].clone();
    at_ada.dispatch(message["id"].clone()).await;
    assert_eq!(at_bob.next().await["attached_file_url"], message["attached_file"]);
    let path = message["attached_file"].as_str().expect("a path");
    assert_eq!(chat.get(path).send().await.status, 200);
    assert_eq!(chat.history(&bob, &ada).await.len(), 2);
    for path in ["/chat/get-user-threads/", "/v2/me", "/v2/threads"] {
        let answer = chat.get(path).bearer(&bob.token).send().await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    assert!(!chat.log(Role::Core(0)).contains("lacks the scope"));
}

async fn an_edge_without_its_scope_says_what_it_lacks(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    // With `read` alone it would not even be ready.
    let chat = builder(arrangement, &directory, "send").start().await;
    let ada = chat.stranger("ada");
    let answer = chat.get("/chat/get-user-threads/").bearer(&ada.token).send().await;
    answer.assert_failure(503);
    for (role, told) in [
        (Role::Edge(0), "its service token needs the scope edge"),
        (Role::Core(0), "the service lacks the scope edge"),
    ] {
        let log = chat.log(role);
        eventually(told, async || log.contains(told).then_some(())).await;
        assert!(!log.contains(TOKEN));
    }
}
