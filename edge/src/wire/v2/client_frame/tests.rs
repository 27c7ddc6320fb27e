use netrox_proto::{ids::ClientRef, limits::DEFAULT_MAX_BODY_BYTES};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::sends::MetaChange;

const USER: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
const PEER: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";
const CLIENT_REF: &str = "0191f7e5-2a40-4123-8000-00000000000a";

fn user(id: &str) -> UserId {
    id.parse().expect("a UUID")
}

#[expect(clippy::needless_pass_by_value, reason = "frames are made where they are parsed")]
fn parsed(frame: impl ToString) -> (Echo, Result<Request, Refusal>) {
    parse(&frame.to_string(), user(USER), DEFAULT_MAX_BODY_BYTES)
}

fn client_ref() -> ClientRef {
    CLIENT_REF.parse().expect("a UUID")
}

fn echo(reference: Option<&str>, subject: Subject) -> Echo {
    Echo { reference: reference.map(str::to_owned), subject }
}

/// With one field changed, or removed where it is absent.
fn with(frame: &Value, field: &str, value: Option<Value>) -> Value {
    let mut frame = frame.clone();
    let fields = frame.as_object_mut().expect("an object");
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
    frame
}

fn message() -> Value {
    json!({
        "action": "chat_message",
        "ref": "r1",
        "message_body": "hello",
        "receiver_id": PEER,
        "client_ref": CLIENT_REF,
    })
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "frames are made where they are parsed")]
fn assert_refused(frame: impl ToString, expected: Code) -> Echo {
    let text = frame.to_string();
    let (echo, request) = parsed(&text);
    let code = request.expect_err(&text).code;
    assert_eq!(code, expected, "{text}");
    echo
}

#[test]
fn each_action_is_understood() {
    let named = NamedMessage {
        receiver: user(PEER),
        body: "hello".into(),
        client_ref: client_ref(),
        reply_to: None,
        meta: None,
    };
    let full = NamedMessage { reply_to: Some(7), meta: Some(r#"{"k":1}"#.into()), ..named.clone() };
    let more = with(&with(&message(), "reply_to", Some(json!(7))), "meta", Some(json!({"k": 1})));
    let peer = user(PEER);
    let mark = |kind| Request::Mark(Mark { kind, peer, up_to: 35 });
    let of_message = Subject::Message(Some(client_ref()));
    for (frame, subject, request) in [
        (message(), of_message, Request::Command(SendCommand::NamedMessage(Box::new(named)))),
        (more, of_message, Request::Command(SendCommand::NamedMessage(Box::new(full)))),
        (
            json!({"action": "chat_message_file", "ref": "r1", "chat_id": "35"}),
            Subject::Dispatch(35),
            Request::Command(SendCommand::Dispatch { message_id: 35 }),
        ),
        (
            json!({"action": "message_edit", "ref": "r1", "message_id": 35, "message_body": ""}),
            Subject::Edit(35),
            Request::Command(SendCommand::Edit {
                message_id: 35,
                body: String::new(),
                meta: MetaChange::Stays,
            }),
        ),
        (
            json!({"action": "message_edit", "ref": "r1", "message_id": 35, "message_body": "x",
                   "meta": null}),
            Subject::Edit(35),
            Request::Command(SendCommand::Edit {
                message_id: 35,
                body: "x".into(),
                meta: MetaChange::Removed,
            }),
        ),
        (
            json!({"action": "message_delete", "ref": "r1", "message_id": 35, "for": "everyone"}),
            Subject::Delete(35),
            Request::Command(SendCommand::Delete { message_id: 35, for_everyone: true }),
        ),
        (
            json!({"action": "message_delete", "ref": "r1", "message_id": 35, "for": "me"}),
            Subject::Delete(35),
            Request::Command(SendCommand::Delete { message_id: 35, for_everyone: false }),
        ),
        (
            json!({"action": "seen", "ref": "r1", "peer_id": PEER, "up_to": 35}),
            Subject::Seen(peer),
            mark(MarkKind::Seen),
        ),
        (
            json!({"action": "delivered", "ref": "r1", "peer_id": PEER, "up_to": 35}),
            Subject::Delivered(peer),
            mark(MarkKind::Delivered),
        ),
        (
            json!({"action": "block", "ref": "r1", "peer_id": PEER}),
            Subject::Block(peer),
            Request::Command(SendCommand::Block(Block { peer, blocks: true })),
        ),
        (
            json!({"action": "unblock", "ref": "r1", "peer_id": PEER}),
            Subject::Unblock(peer),
            Request::Command(SendCommand::Block(Block { peer, blocks: false })),
        ),
        (
            json!({"action": "token_refresh", "ref": "r1", "token": "a.b.c"}),
            Subject::TokenRefresh,
            Request::TokenRefresh(ShownToken("a.b.c".into())),
        ),
        (json!({"action": "ping", "ref": "r1"}), Subject::Ping, Request::Ping),
    ] {
        assert_eq!(parsed(&frame), (echo(Some("r1"), subject), Ok(request)), "{frame}");
    }
}

#[test]
fn a_reference_is_a_short_string_or_none() {
    for none in [None, Some(Value::Null)] {
        let (echo, request) = parsed(with(&message(), "ref", none));
        assert_eq!(echo.reference, None);
        assert!(request.is_ok());
    }
    let longest = "x".repeat(64);
    let (echo, _) = parsed(with(&message(), "ref", Some(json!(longest))));
    assert_eq!(echo.reference, Some(longest));
    for wrong in [json!(1), json!({}), json!("x".repeat(65)), json!("é".repeat(33))] {
        let echo = assert_refused(with(&message(), "ref", Some(wrong)), Code::InvalidField);
        assert_eq!(
            echo,
            super::Echo { reference: None, subject: Subject::Message(Some(client_ref())) }
        );
    }
    // It is looked at before the action is.
    let echo = assert_refused(json!({"action": "nonsense", "ref": 1}), Code::InvalidField);
    assert_eq!(echo.reference, None);
}

#[test]
fn what_is_refused_is_told_with_its_references() {
    for (field, value, code) in [
        ("message_body", None, Code::InvalidField),
        ("message_body", Some(json!("")), Code::InvalidField),
        ("message_body", Some(json!("a\0")), Code::InvalidField),
        ("message_body", Some(json!("x".repeat(16_385))), Code::MessageTooLarge),
        ("receiver_id", None, Code::InvalidField),
        ("receiver_id", Some(json!(1)), Code::InvalidField),
        ("receiver_id", Some(json!("x")), Code::InvalidReceiver),
        ("receiver_id", Some(json!(USER.to_uppercase())), Code::InvalidReceiver),
        ("reply_to", Some(json!(0)), Code::InvalidField),
        ("reply_to", Some(json!("35")), Code::InvalidField),
        ("meta", Some(json!([])), Code::InvalidField),
    ] {
        let echo = assert_refused(with(&message(), field, value), code);
        assert_eq!(echo, self::echo(Some("r1"), Subject::Message(Some(client_ref()))));
    }
    for wrong in [None, Some(json!(null)), Some(json!("x")), Some(json!(1))] {
        let frame = with(&message(), "client_ref", wrong);
        let echo = assert_refused(frame, Code::InvalidField);
        assert_eq!(echo, self::echo(Some("r1"), Subject::Message(None)));
    }
}

#[test]
fn a_client_reference_of_any_version_is_taken_in_either_case() {
    for name in ["0191f7e5-2a40-8123-8000-00000000000a", "00000000-0000-0000-0000-000000000000"] {
        let (echo, request) =
            parsed(with(&message(), "client_ref", Some(json!(name.to_uppercase()))));
        assert!(request.is_ok());
        assert_eq!(echo.client_ref().map(|name| name.to_string()).as_deref(), Some(name));
    }
}

#[test]
fn a_peer_who_cannot_be_is_not_found() {
    for action in ["seen", "delivered"] {
        let frame = json!({"action": action, "peer_id": PEER, "up_to": 35});
        for wrong in ["", "x", USER] {
            assert_refused(with(&frame, "peer_id", Some(json!(wrong))), Code::NotFound);
        }
        for (field, value) in [
            ("peer_id", None),
            ("peer_id", Some(json!(1))),
            ("up_to", None),
            ("up_to", Some(json!(0))),
            ("up_to", Some(json!(-1))),
            ("up_to", Some(json!(1.5))),
            ("up_to", Some(json!("35"))),
            ("up_to", Some(json!(1_i64 << 53))),
        ] {
            assert_refused(with(&frame, field, value), Code::InvalidField);
        }
    }
}

#[test]
fn a_deletion_says_for_whom() {
    let frame = json!({"action": "message_delete", "message_id": 35, "for": "me"});
    for wrong in [None, Some(json!("all")), Some(json!(true))] {
        assert_refused(with(&frame, "for", wrong), Code::InvalidField);
    }
    assert_refused(with(&frame, "message_id", None), Code::InvalidField);
}

#[test]
fn a_block_names_another_user() {
    for action in ["block", "unblock"] {
        let frame = json!({"action": action, "peer_id": PEER});
        assert_refused(with(&frame, "peer_id", None), Code::InvalidField);
        assert_refused(with(&frame, "peer_id", Some(json!(7))), Code::InvalidField);
        for nobody in ["", "nobody", USER] {
            assert_refused(with(&frame, "peer_id", Some(json!(nobody))), Code::NotFound);
        }
    }
}

#[test]
fn a_token_is_a_string_and_is_not_shown() {
    let frame = json!({"action": "token_refresh", "token": "a.b.c"});
    for wrong in [None, Some(json!(null)), Some(json!(7))] {
        let echo = assert_refused(with(&frame, "token", wrong), Code::InvalidField);
        assert_eq!(echo.subject, Subject::TokenRefresh);
    }
    assert!(!format!("{:?}", parsed(&frame)).contains("a.b.c"));
}

#[test]
fn what_is_not_known_is_refused() {
    for action in [json!("re_message"), json!(""), json!(1), json!(null)] {
        let echo = assert_refused(json!({"action": action, "ref": "r1"}), Code::UnknownAction);
        assert_eq!(echo, self::echo(Some("r1"), Subject::Nothing));
    }
    assert_refused("{}", Code::UnknownAction);
}

#[test]
fn what_is_no_frame_is_invalid_json() {
    let nested = format!(r#"{{"action":"ping","x":{}{}}}"#, "[".repeat(32), "]".repeat(32));
    for text in [
        "",
        "[]",
        "1",
        "{",
        r#"{"action":"ping"} x"#,
        r#"{"action":"ping","action":"ping"}"#,
        r#"{"action":"ping","ref":"a","ref":"a"}"#,
        r#"{"action":"ping","up_to":1,"up_to":1}"#,
        r#"{"action":"ping","x":"\ud800"}"#,
        &nested,
    ] {
        let echo = assert_refused(text, Code::InvalidJson);
        assert_eq!(echo, Echo::nothing());
    }
    // Unknown keys may be there twice.
    assert!(parsed(r#"{"action":"ping","x":1,"x":2}"#).1.is_ok());
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_a_fault(text: String) {
        let _ = parsed(text);
    }

    #[test]
    fn any_message_is_read_as_it_was_sent(
        body in "[^\0]{1,200}", name: u128, reply_to in 1..(1_i64 << 53), reference in ".{0,16}"
    ) {
        let name = Uuid::from_u128(name);
        let frame = json!({
            "action": "chat_message",
            "ref": reference,
            "message_body": body,
            "receiver_id": PEER,
            "client_ref": name.to_string(),
            "reply_to": reply_to,
        });
        let (echo, request) = parsed(frame);
        let client_ref = ClientRef(name);
        prop_assert_eq!(echo, self::echo(Some(&reference), Subject::Message(Some(client_ref))));
        let (receiver, reply_to) = (user(PEER), Some(reply_to));
        let message = NamedMessage { receiver, body, client_ref, reply_to, meta: None };
        let command = SendCommand::NamedMessage(Box::new(message));
        prop_assert_eq!(request, Ok(Request::Command(command)));
    }
}
