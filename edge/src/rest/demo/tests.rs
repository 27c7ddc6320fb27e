//! The page with its headers, and who is given a token.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use bytes::Bytes;
use http::Method;

use super::files::FILES;
use crate::{
    config::{Config, Demo, DemoUser, Limits},
    logs::Logs,
    stub_core::config,
    stub_edge::{ALICE, Answer, BOB, StubEdge, bearer},
};

const KEY: &str = "0123456789abcdef0123456789abcdef";

async fn with_demo() -> StubEdge {
    let user = |word, name, user_id: &'static str| DemoUser {
        word,
        name,
        user_id,
        id: user_id.to_owned(),
    };
    let demo = Demo {
        key: KEY.to_owned(),
        users: [user("alice", "Alice", ALICE), user("bob", "Bob", BOB)],
        mint: Arc::new(|user| {
            let bearer = bearer(user.user_id);
            bearer.strip_prefix("Bearer ").map(str::to_owned).ok_or_else(|| "no token".to_owned())
        }),
    };
    StubEdge::with(Config { demo: Some(demo), ..config(Limits::default()) }).await
}

async fn asks(edge: &StubEdge, word: &str, key: Option<&str>) -> Answer {
    let headers: Vec<_> = key.map(|key| ("demo-key", key)).into_iter().collect();
    edge.request(Method::POST, &format!("/demo/token/{word}"), &headers, Bytes::new()).await
}

#[tokio::test]
async fn without_a_demo_there_is_nothing() {
    let edge = StubEdge::start().await;
    for path in ["/demo", "/demo/", "/demo/web/index.html", "/demo/token/alice"] {
        edge.get(path, &[]).await.assert_refused(404, "Not found");
    }
    asks(&edge, "alice", Some("")).await.assert_refused(404, "Not found");
}

#[tokio::test]
async fn who_shows_the_key_is_given_a_token_that_is_good() {
    let edge = with_demo().await;
    for (word, id, peer) in [("alice", ALICE, BOB), ("bob", BOB, ALICE)] {
        let answer = asks(&edge, word, Some(KEY)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.headers["cache-control"], "no-store");
        let given = answer.json();
        assert_eq!((&given["user"]["id"], &given["peer"]["id"]), (&id.into(), &peer.into()));
        assert_eq!(given["user"]["word"], word);
        let token = format!("Bearer {}", given["token"].as_str().expect("a token"));
        let me = edge.get("/v2/me", &[("authorization", &token)]).await;
        assert_eq!(me.status, 200, "{}", me.text());
    }
    asks(&edge, "carol", Some(KEY)).await.assert_refused(404, "Not found");
}

#[tokio::test]
async fn without_the_key_nobody_is() {
    let edge = with_demo().await;
    let logs = Logs::capture();
    let longer = format!("{KEY}0");
    let upper = KEY.to_uppercase();
    for key in [None, Some(""), Some(&KEY[1..]), Some(&*longer), Some(&*upper), Some("wrong-key")] {
        for word in ["alice", "carol"] {
            asks(&edge, word, key).await.assert_refused(403, "The key of the demo is another");
        }
    }
    // Neither in the query, nor as a token.
    let path = format!("/demo/token/alice?key={KEY}&demo-key={KEY}");
    let headers = [("authorization", &*format!("Bearer {KEY}"))];
    let answer = edge.request(Method::POST, &path, &headers, Bytes::new()).await;
    answer.assert_refused(403, "The key of the demo is another");
    let answer = edge.get("/demo/token/alice", &[("demo-key", KEY)]).await;
    answer.assert_refused(405, "Method not allowed");
    assert!(!logs.take().contains("wrong-key"));
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_ask() {
    let edge = with_demo().await;
    let headers = [
        ("origin", "https://elsewhere.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "demo-key"),
    ];
    let answer = edge.request(Method::OPTIONS, "/demo/token/alice", &headers, Bytes::new()).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"), "{:?}", answer.headers);
}

#[tokio::test]
async fn the_page_lets_nothing_in_and_is_not_kept_without_a_question() {
    let edge = with_demo().await;
    let page = edge.get("/demo/", &[]).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().expect("ASCII");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.headers[name], value);
    }
    // Nothing inline that the policy would refuse.
    for inline in ["<script>", "<style", " style=", " onclick="] {
        assert!(!page.text().contains(inline), "{inline}");
    }
    let tag = page.headers["etag"].to_str().expect("ASCII").to_owned();
    let again = edge.get("/demo/", &[("if-none-match", &tag)]).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let packed = edge.get("/demo/web/src/main.js", &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert_eq!(packed.headers["content-type"], "text/javascript; charset=utf-8");
    let without_slash = edge.get("/demo", &[]).await;
    assert_eq!(without_slash.status, 308);
    assert_eq!(without_slash.headers["location"], "demo/");
    for path in [
        "/demo/web/nothing.js",
        "/demo/web",
        "/demo/../Cargo.toml",
        "/demo/web/%2e%2e/",
        // Only as `/demo/`, to which what it names is relative.
        "/demo/web/index.html",
    ] {
        edge.get(path, &[]).await.assert_refused(404, "Not found");
    }
}

/// What the page imports is there, and nothing else is.
#[test]
fn all_files_of_the_client_are_served() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients");
    let mut found = BTreeSet::new();
    let mut directories =
        ["web/src", "web/style", "typescript/src"].map(|path| clients.join(path)).to_vec();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&clients).expect("below").to_string_lossy().into_owned();
            if path.is_dir() {
                directories.push(path);
            } else if !name.ends_with(".d.ts") {
                found.insert(name);
            }
        }
    }
    found.extend(["web/index.html", "web/icon.svg"].map(str::to_owned));
    let served: BTreeSet<_> = FILES.iter().map(|file| file.path.to_owned()).collect();
    assert_eq!(served, found);
}
