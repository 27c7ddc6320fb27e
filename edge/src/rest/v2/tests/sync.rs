use netrox_proto::{
    ids::UserId,
    v1::{Event, EventKind, Failure, event::Change},
};
use serde_json::json;

use super::*;
use crate::{
    stub_core::{Asked, EPOCH, Second},
    wire::v2::cursor::Cursor,
};

fn cursor(epoch: &str, seq: u64, began: u64) -> String {
    Cursor { epoch: epoch.parse().expect("an epoch"), seq, began }
        .encode(ALICE.parse::<UserId>().expect("a UUID"))
}

/// Messages at places 2, 4, 6, 8, of which that at 6 is an old one, and states of threads between them.
fn feed(edge: &StubEdge) {
    edge.core.change(|state| {
        state.second.threads = vec![Second::thread(1, ALICE, BOB, 4)];
        for seq in 1..=8 {
            let change = if seq % 2 == 0 {
                Change::Message(state.second.add(BOB, ALICE, "hello"))
            } else {
                let thread = Second::thread(1, ALICE, BOB, seq as i64);
                Change::Thread(thread.state.expect("a state"))
            };
            let first_seq = if seq == 6 { 1 } else { seq };
            state.second.feed.push(Event { seq, change: Some(change), first_seq, trace: None });
        }
    });
}

#[tokio::test]
async fn a_feed_is_read_page_by_page_and_says_what_is_new() {
    let edge = StubEdge::start().await;
    feed(&edge);
    for limit in 1..=9 {
        let (mut after, mut seen) = (cursor(EPOCH, 1, 1), Vec::new());
        loop {
            let answer = get(&edge, &format!("/v2/sync?after={after}&limit={limit}")).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let page = answer.json();
            assert_eq!(page["unread_total"], 2);
            let changes = page["changes"].as_array().expect("changes");
            assert!(changes.len() <= limit);
            for change in changes {
                let id = &change[change["action"].as_str().expect("an action")]["last_id"];
                seen.push((change["action"].clone(), change["new"].clone(), id.clone()));
            }
            after = page["cursor"].as_str().expect("a cursor").to_owned();
            if page["more"] == json!(false) {
                break;
            }
            assert_eq!(changes.len(), limit);
        }
        let message = |new: bool| (json!("message"), json!(new), json!(null));
        let thread = |last_id: i64| (json!("thread"), json!(null), json!(last_id));
        let expected = [
            message(true),
            thread(3),
            message(true),
            thread(5),
            message(false),
            thread(7),
            message(true),
        ];
        assert_eq!(seen, expected, "{limit}");
        assert_eq!(after, cursor(EPOCH, 8, 8));
    }
    let state = edge.core.state();
    let Asked::Subscribe(asked) = &state.asked()[0] else { panic!("{:?}", state.asked()) };
    assert_eq!(asked.kinds, [i32::from(EventKind::Thread)]);
    assert!(!asked.received_only);
}

#[tokio::test]
async fn a_catch_up_remembers_where_it_began() {
    let edge = StubEdge::start().await;
    feed(&edge);
    // The message at 6 first appeared at 1: new to who was last up to date before that.
    let after = cursor(EPOCH, 5, 0);
    let page = get(&edge, &format!("/v2/sync?after={after}&limit=1")).await.json();
    assert_eq!((&page["changes"][0]["new"], &page["more"]), (&json!(true), &json!(true)));
    assert_eq!(page["cursor"], cursor(EPOCH, 6, 0));
}

#[tokio::test]
async fn a_change_is_its_frame_without_a_cursor() {
    let edge = StubEdge::start().await;
    feed(&edge);
    let after = cursor(EPOCH, 6, 6);
    let answer = get(&edge, &format!("/v2/sync?after={after}")).await;
    let end = cursor(EPOCH, 8, 8);
    let expected = format!(
        concat!(
            r#"{{"changes":[{{"action":"thread","thread":{{"id":1,"peer_id":"{bob}","last_id":7,"unread":2,"#,
            r#""seen_id":0,"delivered_id":0,"peer_seen_id":0,"peer_delivered_id":0,"#,
            r#""blocked":false,"rev":9}}}},"#,
            r#"{{"action":"message","new":true,"message":{{"id":4,"thread":1,"sender_id":"{bob}","#,
            r#""receiver_id":"{alice}","message":"hello","created":"2024-06-17T11:28:21.902535Z","#,
            r#""updated":"2024-06-17T11:28:21.902535Z","deleted":false,"hidden":false,"#,
            r#""reply_to":null,"meta":null,"dispatched":null,"attachment":null,"#,
            r#""client_ref":null,"rev":4}}}}],"#,
            r#""cursor":"{end}","more":false,"unread_total":2}}"#,
        ),
        alice = ALICE,
        bob = BOB,
        end = end,
    );
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn a_snapshot_has_a_cursor_from_before_it() {
    let edge = StubEdge::start().await;
    feed(&edge);
    edge.core.change(|state| state.second.threads.push(Second::thread(2, ALICE, STRANGER, 3)));
    let page = get(&edge, "/v2/sync?limit=1").await.json();
    assert_eq!(page["cursor"], cursor(EPOCH, 8, 8));
    assert_eq!(page["threads"][0]["last_id"], 4);
    let next = page["next"].as_str().expect("more");
    let rest = get(&edge, &format!("/v2/threads?next={next}")).await.json();
    assert_eq!((&rest["threads"][0]["last_id"], &rest["next"]), (&json!(3), &json!(null)));
    let after = page["cursor"].as_str().expect("a cursor");
    let page = get(&edge, &format!("/v2/sync?after={after}")).await.json();
    assert_eq!((&page["changes"], &page["more"]), (&json!([]), &json!(false)));
}

#[tokio::test]
async fn a_cursor_of_elsewhere_is_told_from_one_of_another_history() {
    let edge = StubEdge::start().await;
    feed(&edge);
    let of_bob = Cursor { epoch: EPOCH.parse().expect("an epoch"), seq: 1, began: 1 };
    let of_bob = of_bob.encode(BOB.parse::<UserId>().expect("a UUID"));
    let long = "a".repeat(64);
    for (after, reset) in [
        ("", "unknown"),
        ("garbage", "unknown"),
        (&*long, "unknown"),
        (&*of_bob, "unknown"),
        // An earlier start of this deployment, and another one.
        (&*cursor("0140004d.0000000000000001", 1, 1), "epoch"),
        (&*cursor("00000001.0000000002400000", 1, 1), "unknown"),
    ] {
        let answer = get(&edge, &format!("/v2/sync?after={after}")).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (410, "reset"), "{after}");
        let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(json["reset"], reset, "{after}");
    }
    let beyond = Failure::invalid_field("after_seq", "beyond the last").into();
    edge.core.change(|state| state.second.refusals = [("subscribe", beyond)].into());
    let answer = get(&edge, &format!("/v2/sync?after={}", cursor(EPOCH, 1, 1))).await;
    assert!(answer.text().ends_with(r#""code":"reset","reset":"epoch"}"#), "{}", answer.text());
}

#[tokio::test]
async fn what_is_edited_while_its_place_is_read_is_new_all_the_same() {
    for limit in [2, 50] {
        let edge = StubEdge::start().await;
        edge.core.change(|state| {
            let mut event = |seq, first_seq| {
                let message = state.second.add(BOB, ALICE, "hello");
                Event { seq, change: Some(Change::Message(message)), first_seq, trace: None }
            };
            let (feed, later) = (vec![event(2, 2), event(4, 4)], vec![event(6, 3)]);
            (state.second.feed, state.second.later) = (feed, later);
        });
        // The message that stood at 3 is moved to 6 before it is read.
        let (mut after, mut seen) = (cursor(EPOCH, 1, 1), Vec::new());
        loop {
            let path = format!("/v2/sync?after={after}&limit={limit}");
            let page = get(&edge, &path).await.json();
            for change in page["changes"].as_array().expect("changes") {
                seen.push((change["message"]["id"].clone(), change["new"].clone()));
            }
            after = page["cursor"].as_str().expect("a cursor").to_owned();
            if page["more"] == json!(false) {
                break;
            }
        }
        let expected = [1, 2, 3].map(|id| (json!(id), json!(true)));
        assert_eq!((&seen[..], &*after), (&expected[..], &*cursor(EPOCH, 6, 6)), "{limit}");
    }
}
