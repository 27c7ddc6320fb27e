//! `--cors-allow-origin`.

use netrox_harness::{Arrangement, Builder, Response, TestChat, each};

each![no_origin_is_allowed_unless_told, listed_origins_are_allowed, a_star_allows_every_origin,];

const APP: &str = "https://app.example";
const OTHER: &str = "https://other.example";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

async fn start(builder: Builder) -> (TestChat, String) {
    let chat = builder.start().await;
    let token = chat.stranger("ada").token;
    (chat, token)
}

async fn preflight(chat: &TestChat, origin: &str, method: &str, path: &str) -> Response {
    chat.edge()
        .request("OPTIONS", path)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization,content-type")
        .send()
        .await
}

async fn read(chat: &TestChat, token: &str, origin: &str) -> Response {
    chat.get("/chat/get-user-threads/").bearer(token).header("origin", origin).send().await
}

/// That a browser would go on to send its request with a token.
fn assert_allows(answer: &Response, method: &str, origin: &str) {
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
    let allowed = answer.header(ALLOW_ORIGIN);
    assert!(allowed == Some(origin) || allowed == Some("*"), "{answer:?}");
    let list = |name: &str| {
        let value = answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
        value.split(',').map(|item| item.trim().to_lowercase()).collect::<Vec<_>>()
    };
    assert!(list("access-control-allow-methods").contains(&method.to_lowercase()), "{answer:?}");
    // A star does not cover `authorization` (Fetch standard).
    let headers = list("access-control-allow-headers");
    assert!(headers.contains(&"authorization".to_owned()), "{answer:?}");
    assert!(headers.contains(&"content-type".to_owned()), "{answer:?}");
}

async fn no_origin_is_allowed_unless_told(arrangement: Arrangement) {
    let (chat, token) = start(TestChat::builder(arrangement)).await;
    let answer = read(&chat, &token, APP).await;
    assert_eq!((answer.status, answer.header(ALLOW_ORIGIN)), (200, None));
    let answer = preflight(&chat, APP, "GET", "/chat/get-user-threads/").await;
    assert_eq!(answer.header(ALLOW_ORIGIN), None, "{answer:?}");
}

async fn listed_origins_are_allowed(arrangement: Arrangement) {
    let origins = format!("{APP},https://second.example");
    let (chat, token) =
        start(TestChat::builder(arrangement).set("cors-allow-origin", origins)).await;
    for origin in [APP, "https://second.example"] {
        for (method, path) in
            [("GET", "/chat/get-user-threads/"), ("POST", "/chat/chat-attachment/")]
        {
            assert_allows(&preflight(&chat, origin, method, path).await, method, origin);
        }
        let answer = read(&chat, &token, origin).await;
        assert_eq!((answer.status, answer.header(ALLOW_ORIGIN)), (200, Some(origin)));
        // A cache must not hand one origin's answer to another.
        let mut vary = answer.headers.get_all("vary").iter();
        assert!(
            vary.any(|value| value.to_str().expect("text").to_lowercase().contains("origin")),
            "{answer:?}"
        );
    }
    for origin in [OTHER, "https://app.example.evil.example", "http://app.example", "null"] {
        assert_eq!(read(&chat, &token, origin).await.header(ALLOW_ORIGIN), None);
        let answer = preflight(&chat, origin, "GET", "/chat/get-user-threads/").await;
        assert_eq!(answer.header(ALLOW_ORIGIN), None, "{answer:?}");
    }
    // A script may read why it failed.
    let answer = read(&chat, "garbage", APP).await;
    assert_eq!((answer.status, answer.header(ALLOW_ORIGIN)), (401, Some(APP)));
    let answer = chat.get("/nope").header("origin", APP).send().await;
    assert_eq!(answer.header(ALLOW_ORIGIN), Some(APP));
}

async fn a_star_allows_every_origin(arrangement: Arrangement) {
    let (chat, token) = start(TestChat::builder(arrangement).set("cors-allow-origin", "*")).await;
    for origin in [APP, OTHER] {
        let answer = read(&chat, &token, origin).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header(ALLOW_ORIGIN).is_some(), "{answer:?}");
        // Never together with cookies.
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_allows(
            &preflight(&chat, origin, "GET", "/chat/get-user-threads/").await,
            "GET",
            origin,
        );
    }
}
