//! Each frame as text: its keys, their order and their form are the contract.

use netrox_proto::{
    time,
    v1::{Attachment, DispatchAttachmentResponse, SendMessageResponse},
};
use serde_json::Value;

use super::*;
use crate::{config::Limits, sends::Marks};

const ADA: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
const BOB: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";
const CLIENT_REF: &str = "0191f7e5-2a40-4123-8000-00000000000a";
/// 2024-06-17T12:48:28.228342Z
const CREATED: i64 = 1_718_628_508_228_342;

fn id(id: &str) -> UserId {
    id.parse().expect("a UUID")
}

fn timestamp() -> Option<prost_types::Timestamp> {
    Some(time::timestamp(CREATED))
}

fn text_message() -> Message {
    Message {
        id: 34,
        thread_id: 1,
        sender_id: ADA.into(),
        receiver_id: BOB.into(),
        body: "hello".into(),
        created: timestamp(),
        updated: timestamp(),
        client_ref: Some(CLIENT_REF.into()),
        reply_to_id: Some(30),
        meta_json: Some(r#"{"b":1e400,"a":"\u0000"}"#.into()),
        rev: 12,
        ..Default::default()
    }
}

fn echo(subject: Subject) -> Echo {
    Echo { reference: Some("r\"1".into()), subject }
}

fn message_subject() -> Subject {
    Subject::Message(Some(CLIENT_REF.parse().expect("a UUID")))
}

#[test]
fn hello_comes_first() {
    let frame = hello(&Hello {
        user: id(ADA),
        session_id: "0191f7e5-2a40-4123-8000-00000000000b",
        cursor: "AbC",
        resumed: false,
        reset: Some(Reset::Epoch),
        behind: 0,
        limits: LimitsObject::of(&Limits::default()),
    });
    let value: Value = serde_json::from_str(&frame).expect("JSON");
    let time = value["time"].as_str().expect("a time");
    assert!(time.len() == 27 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    let limits = serde_json::to_string(&LimitsObject::of(&Limits::default())).expect("JSON");
    let expected = format!(
        concat!(
            r#"{{"action":"hello","user_id":"96bf0d3f-720d-4620-8dee-0f59f997cb51","#,
            r#""session_id":"0191f7e5-2a40-4123-8000-00000000000b","cursor":"AbC","#,
            r#""resumed":false,"reset":"epoch","behind":0,"time":"{}","limits":{}}}"#
        ),
        time, limits
    );
    assert_eq!(frame.as_str(), expected);
}

#[test]
fn live_tells_what_is_unread() {
    assert_eq!(live("AbC", 3).as_str(), r#"{"action":"live","cursor":"AbC","unread_total":3}"#);
}

#[test]
fn a_message_is_wrapped_with_its_cursor() {
    let frame = message("AbC", true, &text_message(), id(ADA));
    let object = serde_json::to_string(&MessageObject::of(&text_message(), id(ADA))).expect("JSON");
    let expected =
        format!(r#"{{"action":"message","cursor":"AbC","new":true,"message":{object}}}"#);
    assert_eq!(frame.as_str(), expected);
}

#[test]
fn a_thread_is_wrapped_with_its_cursor() {
    let state = ThreadState { thread_id: 1, peer_id: BOB.into(), ..Default::default() };
    let object = serde_json::to_string(&ThreadStateObject::of(&state)).expect("JSON");
    let expected = format!(r#"{{"action":"thread","cursor":"AbC","thread":{object}}}"#);
    assert_eq!(thread("AbC", &state).as_str(), expected);
}

#[test]
fn the_longest_message_fits_the_limit_of_a_frame() {
    let limits = Limits::default();
    let message = Message {
        body: "\u{1}".repeat(limits.max_body_bytes),
        meta_json: Some(format!(r#"{{"a":"{}"}}"#, "x".repeat(4_096 - 8))),
        attachment: Some(Box::new(Attachment {
            path: format!("attachments/2024/06/17/{BOB}.abcdefghij"),
            file_name: "\u{1}".repeat(255),
            size: i64::MAX,
            content_type: "x".repeat(255),
            dispatched: timestamp(),
        })),
        id: i64::MAX,
        thread_id: i64::MAX,
        rev: u64::MAX,
        ..text_message()
    };
    let frame = super::message(&"x".repeat(63), true, &message, id(ADA));
    assert!(frame.len() < 131_072, "{} bytes", frame.len());
}

#[test]
fn an_ack_says_what_came_of_it() {
    let peer = id(BOB);
    let marks = Marks { seen_id: 35, delivered_id: 36, unread: 2, last_id: 37 };
    let sent_message =
        SendMessageResponse { message_id: 34, thread_id: 1, created: timestamp(), repeated: true };
    let dispatch =
        DispatchAttachmentResponse { dispatched: timestamp(), already_dispatched: false };
    for (subject, answer, expected) in [
        (
            message_subject(),
            Sent::Message(sent_message),
            concat!(
                r#"{"action":"ack","ref":"r\"1","client_ref":"0191f7e5-2a40-4123-8000-00000000000a","#,
                r#""message_id":34,"thread":1,"created":"2024-06-17T12:48:28.228342Z","repeated":true}"#
            ),
        ),
        (
            Subject::Dispatch(35),
            Sent::Dispatch(dispatch),
            concat!(
                r#"{"action":"ack","ref":"r\"1","message_id":35,"#,
                r#""dispatched":"2024-06-17T12:48:28.228342Z","repeated":false}"#
            ),
        ),
        (
            Subject::Edit(35),
            Sent::Edit(timestamp()),
            concat!(
                r#"{"action":"ack","ref":"r\"1","message_id":35,"#,
                r#""updated":"2024-06-17T12:48:28.228342Z"}"#
            ),
        ),
        (Subject::Delete(35), Sent::Delete, r#"{"action":"ack","ref":"r\"1","message_id":35}"#),
        (Subject::Block(peer), Sent::Block, r#"{"action":"ack","ref":"r\"1"}"#),
        (Subject::Unblock(peer), Sent::Block, r#"{"action":"ack","ref":"r\"1"}"#),
        (
            Subject::Seen(peer),
            Sent::Mark(marks),
            concat!(
                r#"{"action":"ack","ref":"r\"1","peer_id":"87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437","#,
                r#""seen_id":35,"unread":2,"last_id":37}"#
            ),
        ),
        (
            Subject::Delivered(peer),
            Sent::Mark(marks),
            concat!(
                r#"{"action":"ack","ref":"r\"1","peer_id":"87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437","#,
                r#""delivered_id":36}"#
            ),
        ),
    ] {
        let frame = sent(&echo(subject), &answer).expect("an answer");
        assert_eq!(frame.as_str(), expected);
    }
    // A success that nobody wants to hear of.
    assert_eq!(sent(&Echo { reference: None, subject: Subject::Edit(35) }, &Sent::Delete), None);
    let unnamed = Echo { reference: None, subject: message_subject() };
    let frame = sent(&unnamed, &Sent::Message(sent_message)).expect("an answer");
    assert!(frame.starts_with(r#"{"action":"ack","ref":null,"client_ref":"#), "{frame}");
}

#[test]
fn a_ping_is_answered_with_the_time() {
    let frame = pong(&Echo { reference: None, subject: Subject::Ping });
    let value: Value = serde_json::from_str(&frame).expect("JSON");
    let time = value["time"].as_str().expect("a time");
    assert_eq!(frame.as_str(), format!(r#"{{"action":"ack","ref":null,"time":"{time}"}}"#));
}

#[test]
fn a_new_token_is_acknowledged_with_its_end_if_that_is_wanted() {
    let subject = Subject::TokenRefresh;
    assert_eq!(
        refreshed(&echo(subject), 1_718_630_092).expect("an ack").as_str(),
        r#"{"action":"ack","ref":"r\"1","expires":"2024-06-17T13:14:52.000000Z"}"#
    );
    assert_eq!(refreshed(&Echo { reference: None, subject }, 1_718_630_092), None);
}

#[test]
fn what_ends_soon_is_told_before() {
    assert_eq!(token_expiring(60).as_str(), r#"{"action":"token_expiring","in_s":60}"#);
    let after = Duration::from_micros(1_500_001);
    assert_eq!(reconnect(after).as_str(), r#"{"action":"reconnect","after_ms":1501}"#);
}

#[test]
fn an_error_has_all_its_keys() {
    let refusal = Refusal::invalid_field("meta", "why");
    assert_eq!(
        refused(&echo(message_subject()), &refusal).as_str(),
        concat!(
            r#"{"action":"error","ref":"r\"1","client_ref":"0191f7e5-2a40-4123-8000-00000000000a","#,
            r#""code":"invalid_field","message":"meta: why","retry_after_ms":null}"#
        )
    );
    let wait = Duration::from_micros(1_500_001);
    let refusal = Refusal::rate_limited(crate::limits::TooMuch { wait });
    assert_eq!(
        refused(&Echo::nothing(), &refusal).as_str(),
        concat!(
            r#"{"action":"error","ref":null,"client_ref":null,"code":"rate_limited","#,
            r#""message":"too much in too short a time","retry_after_ms":1501}"#
        )
    );
}
