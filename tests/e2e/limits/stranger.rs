//! `--failed-tokens-per-address` and `--unauthenticated-requests-per-address`: what comes without a good token counts by address, and
//! whoever has one is let in whatever comes from beside them.

use netrox_harness::{
    Arrangement, Edge, Response, TestChat, User, each,
    settings::JWT_SECRET,
    token::{Claims, now},
};

each![
    tokens_that_fail_are_429_beyond_the_rate_and_good_ones_pass,
    requests_without_a_token_are_429_beyond_the_rate_and_good_ones_pass,
    without_a_named_proxy_nothing_counts_by_address,
];

const THREADS: &str = "/chat/get-user-threads/";

async fn ask(edge: Edge, path: &str, from: &str, token: Option<&str>) -> Response {
    let request = edge.get(path).header("x-forwarded-for", from);
    match token {
        Some(token) => request.bearer(token).send().await,
        None => request.send().await,
    }
}

fn assert_too_many(answer: &Response, seconds: std::ops::RangeInclusive<u64>) {
    assert_eq!(answer.status, 429, "{answer:?}");
    let wait = answer.header("retry-after").expect("a time").parse().expect("seconds");
    assert!(seconds.contains(&wait), "{answer:?}");
}

fn forged(user: &User) -> String {
    let (head, signature) = user.token.rsplit_once('.').expect("a token");
    let forged: String = signature.chars().rev().collect();
    format!("{head}.{forged}")
}

async fn tokens_that_fail_are_429_beyond_the_rate_and_good_ones_pass(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("trusted-proxies", "127.0.0.0/8")
        .set("failed-tokens-per-address", "3/1h")
        .start()
        .await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let (edge, forged) = (chat.edge(), forged(&ada));
    let expired = Claims::access(&ada.id).claim("exp", now() - 60).sign(JWT_SECRET);
    // Tokens that were good are no guesses: a thousand phones may come with them.
    for _ in 0..10 {
        ask(edge, THREADS, "2001:db8:1:1::1", Some(&expired)).await.assert_failure(401);
    }
    for number in 1..=3 {
        let from = format!("2001:db8:1:1::{number}");
        ask(edge, THREADS, &from, Some(&forged)).await.assert_failure(401);
    }
    let refused = ask(edge, THREADS, "2001:db8:1:1::4", Some(&forged)).await;
    refused.assert_failure(429);
    assert_too_many(&refused, 1_000..=1_200);
    let refused = ask(edge, "/v2/me", "2001:db8:1:1::5", Some(&forged)).await;
    assert_too_many(&refused, 1_000..=1_200);
    assert_eq!(refused.json()["code"], "rate_limited");
    // Of both generations, before the 101.
    for path in ["/ws/chat/room/", "/ws/chat/room/?protocol=2"] {
        let request = edge.get(path).header("x-forwarded-for", "2001:db8:1:1::6");
        let refused = request.bearer(&forged).websocket().send().await;
        assert_too_many(&refused, 1_000..=1_200);
    }
    // One that has expired is told so still, and a good one passes, also one that was never seen.
    ask(edge, THREADS, "2001:db8:1:1::7", Some(&expired)).await.assert_failure(401);
    for user in [&ada, &bob, &chat.stranger("cyd")] {
        let answer = ask(edge, THREADS, "2001:db8:1:1::7", Some(&user.token)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // Elsewhere it is another address.
    ask(edge, THREADS, "2001:db8:1:2::1", Some(&forged)).await.assert_failure(401);
    let metrics = chat.admin(chat.edge_role()).get("/metrics").send().await;
    let series = "netrox_chat_address_refusals_total{limit=\"failed_tokens\"} 4";
    assert!(metrics.text().lines().any(|line| line == series), "{}", metrics.text());
}

async fn requests_without_a_token_are_429_beyond_the_rate_and_good_ones_pass(
    arrangement: Arrangement,
) {
    let chat = TestChat::builder(arrangement)
        .set("trusted-proxies", "127.0.0.0/8")
        .set("unauthenticated-requests-per-address", "4/1h")
        .start()
        .await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let (edge, from) = (chat.edge(), "198.51.100.7");
    let file = chat.upload_file(&ada, &bob, "a.txt", b"text").await;
    let file = file["attached_file"].as_str().expect("a path").to_owned();
    ask(edge, THREADS, from, None).await.assert_failure(401);
    ask(edge, "/nowhere", from, None).await.assert_failure(404);
    ask(edge, "/mediafiles/attachments/nothing", from, None).await.assert_failure(404);
    assert_eq!(ask(edge, "/v2/me", from, None).await.status, 401);
    for path in [THREADS, "/nowhere", "/mediafiles/attachments/nothing"] {
        let refused = ask(edge, path, from, None).await;
        refused.assert_failure(429);
        assert_too_many(&refused, 800..=900);
    }
    let refused = ask(edge, "/v2/me", from, None).await;
    assert_too_many(&refused, 800..=900);
    assert_eq!(refused.json()["code"], "rate_limited");
    // What leads somewhere is answered as ever.
    for path in ["/healthz", &file] {
        assert_eq!(ask(edge, path, from, None).await.status, 200, "{path}");
    }
    assert_eq!(ask(edge, THREADS, from, Some(&bob.token)).await.status, 200);
    let nobody = format!("/chat/messages/{}/", chat.stranger("cyd").id);
    ask(edge, &nobody, from, Some(&bob.token)).await.assert_failure(404);
    ask(edge, "/nowhere", "198.51.100.8", None).await.assert_failure(404);
}

async fn without_a_named_proxy_nothing_counts_by_address(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("failed-tokens-per-address", "1/1h")
        .set("unauthenticated-requests-per-address", "1/1h")
        .start()
        .await;
    let ada = chat.user("ada").await;
    for _ in 0..3 {
        ask(chat.edge(), THREADS, "198.51.100.7", Some(&forged(&ada))).await.assert_failure(401);
        ask(chat.edge(), "/nowhere", "198.51.100.7", None).await.assert_failure(404);
    }
}
