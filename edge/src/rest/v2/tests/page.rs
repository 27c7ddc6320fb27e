use serde_json::json;

use super::*;
use crate::stub_core::Second;

/// A peer by number.
fn peer(number: u128) -> String {
    crate::stub_core::user(number).to_string()
}

fn ids(answer: &Answer, list: &str, key: &str) -> Vec<i64> {
    let json = answer.json();
    let items = json[list].as_array().expect("a list").iter();
    items.map(|item| item[key].as_i64().expect("an id")).collect()
}

fn next(answer: &Answer) -> Option<String> {
    answer.json()["next"].as_str().map(str::to_owned)
}

fn threads(edge: &StubEdge, count: i64) {
    edge.core.change(|state| {
        let thread = |id: i64| Second::thread(id, ALICE, &peer(id as u128), id * 10);
        state.second.threads = (1..=count).rev().map(thread).collect();
    });
}

#[tokio::test]
async fn threads_come_page_by_page() {
    let edge = StubEdge::start().await;
    threads(&edge, 7);
    let (mut seen, mut path) = (Vec::new(), "/v2/threads?limit=3".to_owned());
    loop {
        let answer = get(&edge, &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["unread_total"], 14);
        seen.extend(ids(&answer, "threads", "last_id"));
        let Some(next) = next(&answer) else { break };
        path = format!("/v2/threads/?next={next}&limit=2");
    }
    assert_eq!(seen, [70, 60, 50, 40, 30, 20, 10]);
    let one = get(&edge, &format!("/v2/threads/{}", peer(3))).await;
    assert_eq!((one.status.as_u16(), &one.json()["last_id"]), (200, &json!(30)));
}

#[tokio::test]
async fn a_page_is_cut_where_it_is_long_and_goes_on_behind_that() {
    let edge = StubEdge::start().await;
    threads(&edge, 25);
    edge.core.change(|state| {
        for thread in &mut state.second.threads {
            // 96 KiB of JSON.
            let body = "\u{1}".repeat(16_384);
            thread.last_message = Some(netrox_proto::v1::Message {
                id: 1,
                thread_id: 1,
                sender_id: ALICE.into(),
                receiver_id: BOB.into(),
                body,
                ..Default::default()
            });
        }
    });
    let (mut seen, mut path, mut pages) = (Vec::new(), "/v2/threads".to_owned(), 0);
    loop {
        let answer = get(&edge, &path).await;
        assert!(answer.body.len() < 1_100_000, "{}", answer.body.len());
        let length = answer.body.len().to_string();
        assert_eq!(answer.headers["content-length"], &*length);
        pages += 1;
        seen.extend(ids(&answer, "threads", "last_id"));
        let Some(next) = next(&answer) else { break };
        // Another one moves to the top meanwhile.
        edge.core.change(|state| {
            let last_id = 1_000 + i64::from(pages);
            let thread = Second::thread(last_id, ALICE, &peer(last_id as u128), last_id);
            state.second.threads.insert(0, thread);
        });
        path = format!("/v2/threads?next={next}&limit=15");
    }
    assert_eq!(seen, (1..=25).rev().map(|id| id * 10).collect::<Vec<_>>());
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_history_comes_in_either_order_between_bounds() {
    let edge = StubEdge::start().await;
    edge.core.change(|state| {
        for number in 0..9 {
            let (sender, receiver) = if number % 2 == 0 { (ALICE, BOB) } else { (BOB, ALICE) };
            state.second.add(sender, receiver, "hello");
        }
    });
    for (query, expected) in [
        ("", vec![9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("order=oldest", vec![1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("before=4", vec![3, 2, 1]),
        ("after=6&order=oldest", vec![7, 8, 9]),
        ("after=2&before=5&order=newest", vec![4, 3]),
        ("after=0&before=1", vec![]),
    ] {
        for limit in [1, 2, 3, 50] {
            let mut seen = Vec::new();
            let mut path = with_bob(&format!("/messages?limit={limit}&{query}"));
            loop {
                let answer = get(&edge, &path).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                let page = ids(&answer, "messages", "id");
                assert!(page.len() <= limit);
                seen.extend(page);
                let Some(next) = next(&answer) else { break };
                path = with_bob(&format!("/messages/?limit={limit}&next={next}"));
            }
            assert_eq!(seen, expected, "{query} {limit}");
        }
    }
}

#[tokio::test]
async fn a_next_is_of_one_list_of_one_user() {
    let edge = StubEdge::start().await;
    threads(&edge, 3);
    edge.core.change(|state| {
        state.second.add(ALICE, BOB, "one");
        state.second.add(ALICE, BOB, "two");
    });
    let of_threads = next(&get(&edge, "/v2/threads?limit=1").await).expect("more");
    let of_history = next(&get(&edge, &with_bob("/messages?limit=1")).await).expect("more");
    for path in [
        format!("/v2/threads?next={of_history}"),
        with_bob(&format!("/messages?next={of_threads}")),
        format!("/v2/threads/{STRANGER}/messages?next={of_history}"),
        format!("/v2/threads?next={of_threads}&limit=0"),
        "/v2/threads?next=".into(),
        "/v2/threads?limit=201".into(),
        "/v2/threads?limit=1&limit=1".into(),
        with_bob("/messages?order=random"),
        with_bob("/messages?before=0"),
        with_bob("/messages?after=x"),
    ] {
        let answer = get(&edge, &path).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (400, "invalid_field"), "{path}");
    }
    let bob = bearer(BOB);
    let path = format!("/v2/threads?next={of_threads}");
    let answer = edge.get(&path, &[("authorization", &bob)]).await;
    assert_eq!(code(&answer), "invalid_field");
}

#[tokio::test]
async fn pages_beyond_the_limit_of_a_user_are_refused() {
    let edge = StubEdge::with_limits(|limits| limits.max_history_reads_per_user = 1).await;
    // 18 MB of JSON, which no buffer takes.
    edge.core.change(|state| state.second.add(ALICE, BOB, &"\u{1}".repeat(3_000_000)));
    let token = bearer(ALICE);
    let headers = [("authorization", &*token)];
    let path = with_bob("/messages");
    let stalled = edge.start_request(Method::GET, &path, &headers, "").await;
    assert_eq!(stalled.status(), 200);
    let refused = edge.start_request(Method::GET, &path, &headers, "").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    drop(stalled);
    assert_eq!(get(&edge, "/v2/threads").await.status, 200);
}

#[tokio::test]
async fn what_a_user_may_know_of_oneself_is_told() {
    let edge = StubEdge::start().await;
    threads(&edge, 2);
    let answer = get(&edge, "/v2/me/").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let start = format!(
        r#"{{"user":{{"id":"{ALICE}","email":"alice@example.com","profile":null}},"presence":"peers","unread_total":4,"limits":{{"max_body_bytes":16384,"#
    );
    assert!(answer.text().starts_with(&start), "{}", answer.text());
}
