//! Answers are compressed for who asks, and are as they were for all others.

use netrox_harness::{Arrangement, Response, TestChat, each};

use super::client::{Client, reference};
use netrox_harness::multipart::Form;

each![
    who_asks_gets_the_same_in_fewer_bytes,
    who_does_not_ask_gets_what_was_there_before,
    what_is_small_or_media_is_never_compressed,
];

/// The content is text that tests write on purpose: it is long, and compresses well.
async fn talk(ada: &Client, bob: &Client) {
    for number in 0..40 {
        ada.say(bob, &format!("canary {number} {}", "as long as needed ".repeat(20))).await;
    }
}

fn lists(bob: &Client) -> [String; 6] {
    [
        format!("/v2/threads/{}/messages", bob.id()),
        "/v2/sync".into(),
        "/v2/openapi.json".into(),
        "/v2/asyncapi.json".into(),
        format!("/chat/messages/{}/", bob.id()),
        "/v2/threads".into(),
    ]
}

async fn ask(client: &Client, path: &str, encodings: Option<&str>) -> Response {
    let request = || {
        let request = client.request("GET", path);
        match encodings {
            Some(encodings) => request.header("accept-encoding", encodings),
            None => request,
        }
    };
    let answer = client.answered(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn varies(answer: &Response) -> bool {
    let mut vary = answer.headers.get_all("vary").iter();
    vary.any(|value| value.to_str().expect("text").to_lowercase().contains("accept-encoding"))
}

async fn who_asks_gets_the_same_in_fewer_bytes(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    talk(&ada, &bob).await;
    for path in lists(&bob) {
        let plain = ask(&ada, &path, None).await;
        if plain.body.len() <= 1_024 {
            continue;
        }
        for encoding in ["gzip", "br", "zstd"] {
            let answer = ask(&ada, &path, Some(encoding)).await;
            assert_eq!(answer.header("content-encoding"), Some(encoding), "{path}");
            assert!(varies(&answer), "{path}: {:?}", answer.headers);
            assert!(answer.body.len() < plain.body.len() / 2, "{path} {encoding}");
            assert!(answer.decoded().await == plain.body, "{path} {encoding}");
            assert_eq!(answer.header("content-type"), plain.header("content-type"));
            assert_eq!(answer.header("cache-control"), plain.header("cache-control"));
        }
        // What a client prefers; whatever else it names.
        let answer = ask(&ada, &path, Some("zstd;q=0, gzip;q=0.5, other")).await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}");
    }
}

async fn who_does_not_ask_gets_what_was_there_before(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    talk(&ada, &bob).await;
    for path in lists(&bob) {
        let plain = ask(&ada, &path, None).await;
        for encodings in ["identity", "", "gzip;q=0", "unknown", "*;q=0, identity"] {
            let answer = ask(&ada, &path, Some(encodings)).await;
            assert_eq!(answer.header("content-encoding"), None, "{path} {encodings}");
            assert!(answer.body == plain.body, "{path} {encodings}");
            for name in ["content-type", "content-length", "transfer-encoding", "cache-control"] {
                assert_eq!(answer.header(name), plain.header(name), "{path} {encodings}");
            }
        }
    }
}

async fn what_is_small_or_media_is_never_compressed(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let content = "canary text that compresses well ".repeat(1_000);
    let form = Form::new().file("a.txt", &content);
    let stored = ada.upload(&bob, &reference(), form).await.json();
    let url = stored["attachment"]["url"].as_str().expect("a path").to_owned();
    let media = ask(&ada, &url, Some("gzip, br, zstd")).await;
    assert_eq!((media.header("content-encoding"), media.text()), (None, &*content));
    assert_eq!(media.header("content-length"), Some(&*content.len().to_string()));
    for path in [format!("/v2/messages/{}", stored["id"]), "/v2/me".into()] {
        let small = ask(&ada, &path, Some("gzip, br, zstd")).await;
        assert!(small.body.len() <= 1_024, "{small:?}");
        assert_eq!(small.header("content-encoding"), None, "{path}");
    }
}
