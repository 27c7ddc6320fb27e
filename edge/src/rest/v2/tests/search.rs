use netrox_proto::v1::{ErrorReason, Failure};
use serde_json::json;

use super::*;

async fn edge() -> StubEdge {
    let edge = StubEdge::with_limits(|limits| limits.search = true).await;
    edge.core.change(|state| {
        for number in 1..=5 {
            state.second.add(ALICE, BOB, &format!("hello {number}"));
        }
    });
    edge
}

fn found(answer: &Answer) -> Vec<i64> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let messages = json["messages"].as_array().expect("a list").iter();
    messages.map(|message| message["id"].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn what_is_found_comes_page_by_page_and_next_holds_the_query() {
    let edge = edge().await;
    let first = get(&edge, "/v2/search?q=hel%6Co&limit=2").await;
    assert_eq!(found(&first), [5, 4]);
    let mut next = first.json()["next"].as_str().map(str::to_owned);
    let mut rest = Vec::new();
    while let Some(token) = next {
        // What is said beside it does not count.
        let page = get(&edge, &format!("/v2/search/?next={token}&limit=2&q=x&peer_id=x")).await;
        rest.extend(found(&page));
        next = page.json()["next"].as_str().map(str::to_owned);
    }
    assert_eq!(rest, [3, 2, 1]);
    let with_bob = get(&edge, &format!("/v2/search?q=hello+3&peer_id={BOB}")).await;
    assert_eq!(found(&with_bob), [3]);
    assert_eq!(with_bob.json()["messages"][0]["message"], json!("hello 3"));
    assert_eq!(with_bob.json()["next"], json!(null));
}

#[tokio::test]
async fn a_page_is_cut_where_it_is_long() {
    let edge = edge().await;
    edge.core.change(|state| {
        for _ in 0..25 {
            // 96 KiB of JSON.
            state.second.add(ALICE, BOB, &format!("hello{}", "\u{1}".repeat(16_000)));
        }
    });
    let (mut all, mut path, mut pages) = (Vec::new(), "/v2/search?q=hello".to_owned(), 0);
    loop {
        let page = get(&edge, &path).await;
        assert!(page.body.len() < 1_100_000, "{}", page.body.len());
        all.extend(found(&page));
        pages += 1;
        let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
        path = format!("/v2/search?next={next}");
    }
    assert_eq!(all, (1..=30).rev().collect::<Vec<_>>());
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_query_that_is_none_is_refused() {
    let edge = edge().await;
    let next = get(&edge, "/v2/search?q=hello&limit=1").await.json()["next"].clone();
    let next = next.as_str().expect("more").to_owned();
    let long = "x".repeat(101);
    for path in [
        "/v2/search".to_owned(),
        "/v2/search?q=".into(),
        "/v2/search?q=x".into(),
        "/v2/search?q=%F0%9F%8E%89".into(),
        format!("/v2/search?q={long}"),
        "/v2/search?q=hello&q=world".into(),
        "/v2/search?q=hello&limit=0".into(),
        "/v2/search?q=hello&next=x".into(),
        format!("/v2/threads?next={next}"),
    ] {
        let answer = get(&edge, &path).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (400, "invalid_field"), "{path}");
    }
    let bob = bearer(BOB);
    let of_another = format!("/v2/search?next={next}");
    let answer = edge.get(&of_another, &[("authorization", &bob)]).await;
    assert_eq!(code(&answer), "invalid_field");
    for peer in ["x", ALICE, STRANGER] {
        let answer = get(&edge, &format!("/v2/search?q=hello&peer_id={peer}")).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (404, "not_found"), "{peer}");
    }
    let longest = "ä".repeat(100);
    assert!(found(&get(&edge, &format!("/v2/search?q={longest}")).await).is_empty());
    assert_eq!(edge.get("/v2/search?q=hello", &[]).await.status, 401);
}

#[tokio::test]
async fn it_is_off_unless_both_the_edge_and_the_core_have_it() {
    let edge = StubEdge::start().await;
    let answer = get(&edge, "/v2/search?q=hello").await;
    assert_eq!((answer.status.as_u16(), &*code(&answer)), (404, "not_enabled"));
    assert_eq!(get(&edge, "/v2/me").await.json()["limits"]["search"], json!(false));

    let edge = self::edge().await;
    assert_eq!(get(&edge, "/v2/me").await.json()["limits"]["search"], json!(true));
    let refusal = Failure::new(ErrorReason::NotEnabled, "off").into();
    edge.core.change(|state| state.second.refusals.insert("search_messages", refusal));
    let answer = get(&edge, "/v2/search?q=hello").await;
    assert_eq!((answer.status.as_u16(), &*code(&answer)), (404, "not_enabled"));
}

#[tokio::test]
async fn more_searches_than_the_rate_are_refused() {
    let edge = StubEdge::with_limits(|limits| {
        (limits.search, limits.search_rate) = (true, 2);
    })
    .await;
    let mut refused = None;
    for _ in 0..50 {
        let answer = get(&edge, "/v2/search?q=hello").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a refusal");
    assert_eq!((refused.status.as_u16(), &*code(&refused)), (429, "rate_limited"));
    assert_eq!(refused.headers["retry-after"], "1");
    // Nobody else waits for it.
    let bob = bearer(BOB);
    assert_eq!(edge.get("/v2/search?q=hello", &[("authorization", &bob)]).await.status, 200);
}
