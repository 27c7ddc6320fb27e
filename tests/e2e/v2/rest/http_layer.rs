//! Tokens, who one is, the descriptions, and browsers of other origins.

use netrox_harness::{Arrangement, TestChat, each, settings::JWT_SECRET, token::Claims};
use serde_json::{Value, json};

use super::client::{Client, assert_problem};

each![
    a_bad_token_is_a_problem,
    a_user_learns_who_they_are_and_what_is_allowed,
    the_descriptions_are_served_to_everybody,
    browsers_of_other_origins_may_where_the_operator_says_so,
];

async fn a_bad_token_is_a_problem(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = Client::join(&chat, "ada").await;
    let expired = Claims::access(ada.id()).claim("exp", 1_000).sign(JWT_SECRET);
    let refresh = Claims::access(ada.id()).claim("token_type", "refresh").sign(JWT_SECRET);
    for token in ["", "garbage", &expired, &refresh] {
        for (method, path) in
            [("GET", "/v2/sync"), ("DELETE", "/v2/messages/1?for=me"), ("GET", "/v2/me/")]
        {
            let answer = chat.edge().request(method, path).bearer(token).send().await;
            assert_problem(&answer, 401, "invalid_token");
        }
        // Not by the query, which gets into logs.
        let path = format!("/v2/me?token={}", ada.user.token);
        assert_problem(&chat.get(&path).send().await, 401, "invalid_token");
    }
}

async fn a_user_learns_who_they_are_and_what_is_allowed(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    bob.say(&ada, "canary").await;
    let me = ada.get("/v2/me/").await;
    assert_eq!(me["user"], json!({"id": ada.id(), "email": "ada@example.com", "profile": null}));
    assert_eq!((&me["unread_total"], &me["presence"]), (&json!(1), &json!("peers")));
    let limits = &me["limits"];
    assert_eq!(
        (&limits["max_body_bytes"], &limits["max_frame_bytes"]),
        (&json!(16_384), &json!(65_536))
    );
    assert_eq!(
        (&limits["edit_window_s"], &limits["delete_window_s"]),
        (&json!(86_400), &json!(null))
    );
    let (_socket, hello) = ada.connect("").await;
    assert_eq!(&hello["limits"], limits);
}

async fn the_descriptions_are_served_to_everybody(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for edge in chat.edges() {
        for (path, key, version, known) in [
            ("/v2/openapi.json", "openapi", "3.1.0", "/paths/~1v2~1sync/get"),
            ("/v2/asyncapi.json/", "asyncapi", "3.0.0", "/components/messages/hello"),
        ] {
            let answer = edge.get(path).send().await;
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, Some("application/json"))
            );
            let description: Value = answer.json();
            assert_eq!(description[key], version);
            assert!(description.pointer(known).is_some(), "{path}");
        }
    }
}

async fn browsers_of_other_origins_may_where_the_operator_says_so(arrangement: Arrangement) {
    const APP: &str = "https://app.example";
    let chat = TestChat::builder(arrangement).set("cors-allow-origin", APP).start().await;
    let ada = Client::join(&chat, "ada").await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        for (origin, is_allowed) in [(APP, true), ("https://other.example", false)] {
            let request = chat.edge().request("OPTIONS", "/v2/messages/1");
            let request =
                request.header("origin", origin).header("access-control-request-method", method);
            let request =
                request.header("access-control-request-headers", "authorization,content-type");
            let answer = request.send().await;
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!(allowed, is_allowed.then_some(APP), "{answer:?}");
            if is_allowed {
                let list = |name| answer.header(name).unwrap_or_default().to_lowercase();
                assert!(
                    list("access-control-allow-methods").contains(&method.to_lowercase()),
                    "{answer:?}"
                );
                let headers = list("access-control-allow-headers");
                assert!(
                    headers.contains("authorization") && headers.contains("content-type"),
                    "{answer:?}"
                );
            }
        }
    }
    let answer = ada.request("GET", "/v2/me").header("origin", APP).send().await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(APP)));
    // A script may read why it was refused, and when to come back.
    let answer = chat.get("/v2/me").header("origin", APP).send().await;
    assert_problem(&answer, 401, "invalid_token");
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
    assert!(exposed.contains("retry-after"), "{answer:?}");
}
