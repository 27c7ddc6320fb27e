use netrox_proto::{ids::UserId, time::timestamp, v1};

use super::*;

const CREATED: i64 = 1_718_623_701_902_531;
const ALICE: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
const BOB: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";

fn id(text: &str) -> UserId {
    text.parse().expect("a UUID")
}

fn message() -> v1::Message {
    v1::Message {
        id: 30,
        thread_id: 1,
        sender_id: ALICE.into(),
        receiver_id: BOB.into(),
        body: "a \"quoted\" line\nand Grüße 👋".into(),
        created: Some(timestamp(CREATED)),
        updated: Some(timestamp(CREATED)),
        client_ref: Some("3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90".into()),
        rev: 412,
        ..Default::default()
    }
}

fn file_message() -> v1::Message {
    v1::Message {
        body: "look".into(),
        updated: Some(timestamp(CREATED + 1)),
        attachment: Some(Box::new(v1::Attachment {
            path: "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg".into(),
            file_name: "pexels-nappy-936119.jpg".into(),
            size: 88_812,
            content_type: "image/jpeg".into(),
            dispatched: Some(timestamp(CREATED + 2)),
        })),
        reply_to_id: Some(29),
        meta_json: Some(r#"{"b":9007199254740993,"a":[1,2.50]}"#.into()),
        ..message()
    }
}

fn rendered(message: &v1::Message, viewer: &str) -> String {
    serde_json::to_string(&MessageObject::of(message, id(viewer))).expect("JSON")
}

#[test]
fn a_text_message_has_its_keys_in_order() {
    assert_eq!(
        rendered(&message(), ALICE),
        concat!(
            r#"{"id":30,"thread":1,"sender_id":"96bf0d3f-720d-4620-8dee-0f59f997cb51","#,
            r#""receiver_id":"87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437","#,
            r#""message":"a \"quoted\" line\nand Grüße 👋","#,
            r#""created":"2024-06-17T11:28:21.902531Z","updated":"2024-06-17T11:28:21.902531Z","#,
            r#""deleted":false,"hidden":false,"reply_to":null,"meta":null,"dispatched":null,"#,
            r#""attachment":null,"client_ref":"3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90","rev":412}"#,
        )
    );
}

#[test]
fn a_file_message_names_its_file_and_keeps_the_text_of_its_meta() {
    assert_eq!(
        rendered(&file_message(), BOB),
        concat!(
            r#"{"id":30,"thread":1,"sender_id":"96bf0d3f-720d-4620-8dee-0f59f997cb51","#,
            r#""receiver_id":"87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437","message":"look","#,
            r#""created":"2024-06-17T11:28:21.902531Z","updated":"2024-06-17T11:28:21.902532Z","#,
            r#""deleted":false,"hidden":false,"reply_to":29,"#,
            r#""meta":{"b":9007199254740993,"a":[1,2.50]},"#,
            r#""dispatched":"2024-06-17T11:28:21.902533Z","attachment":{"#,
            r#""url":"/mediafiles/attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg","#,
            r#""name":"pexels-nappy-936119.jpg","size":88812,"content_type":"image/jpeg"},"#,
            r#""client_ref":null,"rev":412}"#,
        )
    );
}

#[test]
fn of_what_is_gone_nothing_is_told_whatever_a_core_sends() {
    let gone = |deleted, hidden| v1::Message { deleted, hidden, ..file_message() };
    for (message, flags) in [
        (gone(true, false), r#""deleted":true,"hidden":false,"#),
        (gone(false, true), r#""deleted":false,"hidden":true,"#),
    ] {
        let json = rendered(&message, ALICE);
        let nothing = r#""reply_to":null,"meta":null,"dispatched":null,"attachment":null,"#;
        assert!(json.contains(&[flags, nothing].concat()), "{json}");
        assert!(json.contains(r#","message":"","#), "{json}");
        assert!(
            json.ends_with(r#""client_ref":"3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90","rev":412}"#)
        );
    }
}

#[test]
fn meta_or_a_profile_that_is_no_json_is_null() {
    let message = v1::Message { meta_json: Some("{broken".into()), ..message() };
    assert!(rendered(&message, ALICE).contains(r#""meta":null"#));
    let user = v1::User {
        id: "x".into(),
        email: "y".into(),
        profile_json: Some("{".into()),
        external_id: None,
    };
    let json = serde_json::to_string(&UserObject::of(&user)).expect("JSON");
    assert_eq!(json, r#"{"id":"x","email":"y","profile":null}"#);
}

fn thread() -> v1::Thread {
    let user = |id: &str, profile_json: Option<&str>| v1::User {
        id: id.into(),
        email: "codebee345@outlook.com".into(),
        profile_json: profile_json.map(str::to_owned),
        external_id: None,
    };
    v1::Thread {
        id: 1,
        user_one: Some(user(BOB, Some(r#"{"b":[1,2.50],"a":"ü"}"#))),
        user_two: Some(user(ALICE, None)),
        created: Some(timestamp(CREATED)),
        last_activity: Some(timestamp(CREATED + 1)),
        state: Some(v1::ThreadState {
            thread_id: 1,
            peer_id: BOB.into(),
            last_id: 30,
            unread: 2,
            seen_id: 27,
            delivered_id: 28,
            peer_seen_id: 25,
            peer_delivered_id: 26,
            blocked: false,
            rev: 413,
        }),
        last_message: None,
    }
}

#[test]
fn a_thread_is_its_state_and_then_more() {
    let state = concat!(
        r#"{"id":1,"peer_id":"87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437","last_id":30,"unread":2,"#,
        r#""seen_id":27,"delivered_id":28,"peer_seen_id":25,"peer_delivered_id":26,"#,
        r#""blocked":false,"rev":413"#,
    );
    let thread = thread();
    let object = thread.state.as_ref().map(ThreadStateObject::of).expect("a state");
    assert_eq!(serde_json::to_string(&object).expect("JSON"), format!("{state}}}"));
    let more = concat!(
        r#","peer":{"id":"87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437","#,
        r#""email":"codebee345@outlook.com","profile":{"b":[1,2.50],"a":"ü"}},"#,
        r#""created":"2024-06-17T11:28:21.902531Z","last_message":null}"#,
    );
    let object = ThreadObject::of(&thread, id(ALICE)).expect("a whole thread");
    assert_eq!(serde_json::to_string(&object).expect("JSON"), format!("{state}{more}"));
}

#[test]
fn a_thread_shows_its_last_message_as_the_viewer_sees_it() {
    let thread = v1::Thread { last_message: Some(file_message()), ..thread() };
    let object = ThreadObject::of(&thread, id(ALICE)).expect("a whole thread");
    let json = serde_json::to_string(&object).expect("JSON");
    let expected = format!(r#""last_message":{}}}"#, rendered(&file_message(), ALICE));
    assert!(json.ends_with(&expected), "{json}");
}

#[test]
fn a_thread_without_its_state_or_peer_is_none() {
    assert!(ThreadObject::of(&v1::Thread { state: None, ..thread() }, id(ALICE)).is_none());
    assert!(ThreadObject::of(&v1::Thread { user_one: None, ..thread() }, id(ALICE)).is_none());
}
