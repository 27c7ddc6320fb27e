use netrox_proto::v1::{Attachment, MarkSeenRequest};
use serde_json::json;

use super::*;
use crate::stub_core::{Asked, Second};

fn send(fields: &str) -> String {
    format!(r#"{{"message_body":"hello","client_ref":"{}"{fields}}}"#, REF.to_uppercase())
}

#[tokio::test]
async fn a_send_is_stored_once_and_answered_in_its_newest_state() {
    let edge = StubEdge::start().await;
    let path = with_bob("/messages/");
    let answer = alice(&edge, Method::POST, &path, send(r#","meta":{ "a": 1.50 }"#)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(answer.text().contains(r#""meta":{"a":1.50}"#), "{}", answer.text());
    let message = answer.json();
    assert_eq!((&message["message"], &message["client_ref"]), (&json!("hello"), &json!(REF)));

    edge.core
        .change(|state| state.second.messages.get_mut(&1).expect("one").body = "edited".into());
    let again = alice(&edge, Method::POST, &path, send("")).await;
    assert_eq!((again.status.as_u16(), &again.json()["message"]), (200, &json!("edited")));
    let found = get(&edge, &format!("/v2/sends/{REF}")).await;
    assert_eq!((found.status.as_u16(), found.body), (200, again.body));
    let Asked::Send(sent) = edge.core.state().asked()[0].clone() else { panic!("no send") };
    assert!(sent.from_client && sent.meta_json.as_deref() == Some(r#"{"a":1.50}"#), "{sent:?}");
}

#[tokio::test]
async fn a_send_that_is_stored_and_cannot_be_shown_is_to_be_repeated() {
    let edge = StubEdge::start().await;
    let gone = tonic::Status::unavailable("the link broke");
    for call in ["get_send", "send_message"] {
        edge.core.change(|state| state.second.refusals = [(call, gone.clone())].into());
        let answer = alice(&edge, Method::POST, &with_bob("/messages"), send("")).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (503, "outcome_unknown"), "{call}");
    }
    edge.core.change(|state| state.second.refusals.clear());
    assert_eq!(alice(&edge, Method::POST, &with_bob("/messages"), send("")).await.status, 200);
}

#[tokio::test]
async fn an_edit_tells_meta_that_stays_from_meta_that_goes() {
    let edge = StubEdge::start().await;
    edge.core.change(|state| state.second.add(ALICE, BOB, "hello"));
    for (body, meta) in [
        (r#"{"message_body":"one","meta":{"k":[1]}}"#, json!({"k": [1]})),
        (r#"{"message_body":"two"}"#, json!({"k": [1]})),
        (r#"{"message_body":"","meta":null}"#, json!(null)),
    ] {
        let answer = alice(&edge, Method::PATCH, "/v2/messages/1", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["meta"], meta);
        assert_ne!(answer.json()["updated"], answer.json()["created"]);
    }
}

#[tokio::test]
async fn a_deletion_says_for_whom() {
    let edge = StubEdge::start().await;
    edge.core.change(|state| {
        state.second.add(ALICE, BOB, "one");
        state.second.add(ALICE, BOB, "two");
    });
    for path in ["/v2/messages/1", "/v2/messages/1?for=us", "/v2/messages/1?for="] {
        assert_eq!(code(&alice(&edge, Method::DELETE, path, "").await), "invalid_field", "{path}");
    }
    for path in ["/v2/messages/1?for=everyone", "/v2/messages/2/?for=me"] {
        let answer = alice(&edge, Method::DELETE, path, "").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (204, ""), "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let deleted = get(&edge, "/v2/messages/1").await.json();
    assert_eq!((&deleted["deleted"], &deleted["message"]), (&json!(true), &json!("")));
    assert_eq!(code(&get(&edge, "/v2/messages/2").await), "not_found");
}

#[tokio::test]
async fn a_file_is_seen_by_its_receiver_when_it_is_dispatched() {
    let edge = StubEdge::start().await;
    edge.core.change(|state| {
        let attachment = Some(Box::new(Attachment { path: "a/b".into(), ..Default::default() }));
        for (sender, receiver) in [(BOB, ALICE), (ALICE, BOB)] {
            let id = state.second.add(sender, receiver, "").id;
            state.second.messages.get_mut(&id).expect("one").attachment = attachment.clone();
        }
        // It has no place in the feed of its receiver.
        state.second.messages.get_mut(&1).expect("one").rev = 0;
    });
    assert_eq!(code(&get(&edge, "/v2/messages/1").await), "not_found");
    assert_eq!(get(&edge, "/v2/messages/2").await.json()["dispatched"], json!(null));
    let answer = alice(&edge, Method::POST, "/v2/messages/2/dispatch", "").await;
    assert_eq!(answer.json()["dispatched"], json!("2024-06-17T11:28:23.902531Z"));
}

#[tokio::test]
async fn a_mark_is_answered_by_the_state_of_the_thread() {
    let edge = StubEdge::start().await;
    edge.core.change(|state| state.second.threads = vec![Second::thread(1, ALICE, BOB, 7)]);
    for (mark, key) in [("seen", "seen_id"), ("delivered", "delivered_id")] {
        let path = with_bob(&format!("/{mark}"));
        let answer = alice(&edge, Method::PUT, &path, r#"{"up_to":6}"#).await;
        assert_eq!((answer.status.as_u16(), &answer.json()[key]), (200, &json!(6)));
        for wrong in ["{}", r#"{"up_to":"6"}"#, r#"{"up_to":0}"#] {
            let answer = alice(&edge, Method::PUT, &path, wrong).await;
            assert_eq!(code(&answer), "invalid_field", "{wrong}");
        }
        for peer in [ALICE, STRANGER, "nobody"] {
            let path = format!("/v2/threads/{peer}/{mark}");
            let answer = alice(&edge, Method::PUT, &path, r#"{"up_to":6}"#).await;
            assert_eq!(code(&answer), "not_found", "{peer}");
        }
    }
    let seen = MarkSeenRequest { user_id: ALICE.into(), peer_id: BOB.into(), up_to_id: 6 };
    assert_eq!(edge.core.state().asked()[0], Asked::Seen(seen));
}

#[tokio::test]
async fn marks_have_a_rate_of_their_own() {
    let edge = StubEdge::with_limits(|limits| {
        (limits.receipt_rate, limits.receipt_burst, limits.send_rate) = (1, 2, 1);
    })
    .await;
    edge.core.change(|state| state.second.threads = vec![Second::thread(1, ALICE, BOB, 7)]);
    let path = with_bob("/seen");
    let mark = |up_to| alice(&edge, Method::PUT, &path, json!({"up_to": up_to}).to_string());
    let answers = futures_util::future::join_all((1..=40).map(mark)).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    // Over it they wait, and become one.
    let asked = edge.core.state().asked().len();
    assert!(asked < answers.len() / 2, "{asked}");
}

#[tokio::test]
async fn edits_deletions_and_sends_have_one_rate() {
    let edge = StubEdge::with_limits(|limits| (limits.send_rate, limits.send_burst) = (1, 3)).await;
    edge.core.change(|state| state.second.add(ALICE, BOB, "one"));
    let edit = || alice(&edge, Method::PATCH, "/v2/messages/1", r#"{"message_body":"x"}"#);
    assert_eq!(edit().await.status, 200);
    assert_eq!(alice(&edge, Method::POST, &with_bob("/messages"), send("")).await.status, 201);
    assert_eq!(alice(&edge, Method::DELETE, "/v2/messages/1?for=me", "").await.status, 204);
    // Three more wait for the rate, and those after them are refused.
    let answers = futures_util::future::join_all((0..8).map(|_| edit())).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|answer| code(answer) == "rate_limited"));
}

#[tokio::test]
async fn whom_a_user_blocks_is_put_deleted_and_listed() {
    let edge = StubEdge::start().await;
    let blocks = async || get(&edge, "/v2/blocks").await.json();
    assert_eq!(blocks().await, json!({"blocks": [], "next": null}));
    let path = format!("/v2/blocks/{BOB}");
    for path in [&path, &format!("{path}/")] {
        let answer = alice(&edge, Method::PUT, path, "").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (204, ""), "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let created = "2024-06-17T11:28:21.902531Z";
    let expected = json!({"blocks": [{"peer_id": BOB, "created": created}], "next": null});
    assert_eq!(blocks().await, expected);
    assert_eq!(alice(&edge, Method::DELETE, &path, "").await.status, 204);
    assert_eq!(blocks().await["blocks"], json!([]));
    // A core of before knows none of it.
    for (call, method) in [("block_user", Method::PUT), ("unblock_user", Method::DELETE)] {
        let unknown = tonic::Status::unimplemented("what is that");
        edge.core.change(|state| state.second.refusals = [(call, unknown)].into());
        let answer = alice(&edge, method, &path, "").await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (503, "unavailable"), "{call}");
    }
}
