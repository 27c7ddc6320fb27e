//! What was seen and delivered.

use futures_util::future::join_all;
use netrox_harness::{Arrangement, TestChat, each};
use serde_json::json;

use super::client::{Client, assert_problem};

each![
    a_mark_is_answered_with_the_state_of_the_thread,
    a_mark_never_goes_back_nor_too_far,
    marks_over_their_rate_wait_and_the_last_word_comes,
];

async fn a_mark_is_answered_with_the_state_of_the_thread(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(ada.say(&bob, &format!("canary {number}")).await["id"].clone());
    }
    let of_ada = ada.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned();
    let state = bob.mark("delivered", &ada, &ids[2]).await;
    assert_eq!((&state["delivered_id"], &state["seen_id"]), (&ids[2], &json!(0)));
    let state = bob.at(chat.edge_at(1)).mark("seen", &ada, &ids[1]).await;
    assert_eq!((&state["seen_id"], &state["unread"]), (&ids[1], &json!(1)));
    assert_eq!((&state["peer_id"], &state["last_id"]), (&json!(ada.id()), &ids[2]));
    let thread = ada.thread(&bob).await;
    assert_eq!((&thread["peer_seen_id"], &thread["peer_delivered_id"]), (&ids[1], &ids[2]));
    let changes = ada.get(&format!("/v2/sync?after={of_ada}")).await;
    let changes = changes["changes"].as_array().expect("changes");
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(
        (&changes[0]["action"], &changes[0]["thread"]["peer_seen_id"]),
        (&json!("thread"), &ids[1])
    );
    // Seen implies delivered.
    let last = ada.say(&bob, "canary last").await["id"].clone();
    let state = bob.mark("seen", &ada, &last).await;
    assert_eq!((&state["delivered_id"], &state["unread"]), (&last, &json!(0)));
    assert_eq!(bob.get("/v2/me").await["unread_total"], 0);
}

async fn a_mark_never_goes_back_nor_too_far(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let path = format!("/v2/threads/{}/seen", ada.id());
    let one = json!({"up_to": 1});
    assert_problem(&bob.call("PUT", &path, &one).await, 404, "not_found");
    let first = ada.say(&bob, "canary one").await["id"].clone();
    let last = ada.say(&bob, "canary two").await["id"].clone();
    let beyond = last.as_i64().expect("an id") + 1;
    for up_to in [json!(beyond), json!(0), json!("1"), json!(null), json!(1.5)] {
        for kind in ["seen", "delivered"] {
            let path = format!("/v2/threads/{}/{kind}", ada.id());
            let answer = bob.call("PUT", &path, &json!({"up_to": up_to})).await;
            assert_problem(&answer, 400, "invalid_field");
        }
    }
    let state = bob.mark("seen", &ada, &last).await;
    for _ in 0..2 {
        assert_eq!(bob.mark("seen", &ada, &first).await, state);
        assert_eq!(bob.mark("delivered", &ada, &first).await, state);
    }
    for nobody in [bob.id(), &chat.stranger("nobody").id, "garbage"] {
        let path = format!("/v2/threads/{nobody}/delivered");
        assert_problem(&bob.call("PUT", &path, &one).await, 404, "not_found");
    }
}

async fn marks_over_their_rate_wait_and_the_last_word_comes(arrangement: Arrangement) {
    const MARKS: usize = 60;
    let chat = TestChat::builder(arrangement)
        .set("send-rate", "0")
        .set("receipt-rate", "1")
        .set("receipt-burst", "1")
        .start()
        .await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let mut ids = Vec::new();
    for number in 0..MARKS {
        ids.push(ada.say(&bob, &format!("canary {number}")).await["id"].clone());
    }
    // One that goes too far is refused alone.
    let path = format!("/v2/threads/{}/seen", ada.id());
    let beyond = json!({"up_to": ids[MARKS - 1].as_i64().expect("an id") + 1});
    let marks = join_all(ids.iter().map(|id| bob.mark("seen", &ada, id)));
    let (states, too_far) = tokio::join!(marks, bob.call("PUT", &path, &beyond));
    assert_problem(&too_far, 400, "invalid_field");
    for (id, state) in ids.iter().zip(&states) {
        assert!(state["seen_id"].as_i64() >= id.as_i64(), "{id}: {state}");
    }
    assert_eq!(ada.thread(&bob).await["peer_seen_id"], ids[MARKS - 1]);
}
