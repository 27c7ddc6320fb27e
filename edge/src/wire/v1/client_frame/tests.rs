use netrox_proto::ids::UserId;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const MAX_BODY_BYTES: usize = 64;
const RECEIVER: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";
const SENDER: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";

fn user(id: &str) -> UserId {
    id.parse().expect("a UUID")
}

fn parsed(text: &str) -> Result<SendCommand, Rejection> {
    parse(text, user(SENDER), MAX_BODY_BYTES)
}

#[track_caller]
fn assert_code(text: &str, code: ErrorCode) -> String {
    let rejection = parsed(text).expect_err(text);
    assert_eq!(rejection.code, code, "{text}: {}", rejection.message);
    rejection.message.into_owned()
}

#[track_caller]
fn assert_field(text: &str, field: &str) {
    let message = assert_code(text, ErrorCode::InvalidField);
    assert!(message.starts_with(field), "{text}: {message}");
}

fn message(body: &str) -> Result<SendCommand, Rejection> {
    Ok(SendCommand::Message { receiver: user(RECEIVER), body: body.to_owned() })
}

#[test]
fn takes_the_documented_frames() {
    let text = r#"{
      "action": "chat_message",
      "message_body": "hello there",
      "receiver_id": "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437"
    }"#;
    assert_eq!(parsed(text), message("hello there"));
    let file = r#"{
      "action": "chat_message_file",
      "message_body": "hello there",
      "chat_id": "35"
    }"#;
    assert_eq!(parsed(file), Ok(SendCommand::Dispatch { message_id: 35 }));
}

#[test]
fn keeps_text_exactly() {
    let body = " \u{feff}é e\u{301} \\ \" \u{202e} 😀\n\t ";
    let frame = json!({"action": "chat_message", "message_body": body, "receiver_id": RECEIVER});
    assert_eq!(parsed(&frame.to_string()), message(body));
    let escaped = format!(
        r#"{{"\u0061ction":"chat_message","message_body":"\ud83d\ude00\/","receiver_id":"{}"}}"#,
        RECEIVER.to_uppercase()
    );
    assert_eq!(parsed(&escaped), message("😀/"));
}

#[test]
fn refuses_what_is_not_one_json_object() {
    for text in [
        "",
        " ",
        "{",
        "null",
        "35",
        "\"chat_message\"",
        "[]",
        r#"["chat_message","hello","87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437",null]"#,
        r#"[{"action":"chat_message"}]"#,
        r#"{"action":"chat_message"} x"#,
        r#"{"action":"chat_message"}{}"#,
        r#"{"action":"chat_message",}"#,
        r#"{action:"chat_message"}"#,
        r#"{'action':'chat_message'}"#,
        "{\"action\":\"chat\nmessage\"}",
        "\u{feff}{\"action\":\"chat_message\"}",
        r#"{"extra":NaN}"#,
        r#"{"extra":01}"#,
        r#"{"extra":"\x"}"#,
        r#"{"extra":"\u12"}"#,
        r#"{"extra":"\u"#,
        r#"{"extra":"\"#,
    ] {
        assert_code(text, ErrorCode::InvalidJson);
    }
}

#[test]
fn refuses_a_known_key_twice_and_takes_an_unknown_one() {
    for key in ["action", "message_body", "receiver_id", "chat_id", "\\u0061ction"] {
        let text = format!(r#"{{"action":"x","{key}":1,"{key}":1}}"#);
        assert_code(&text, ErrorCode::InvalidJson);
    }
    assert_code(
        &format!(
            r#"{{"action":"chat_message","message_body":"a","receiver_id":"{RECEIVER}","chat_id":1,"chat_id":1}}"#
        ),
        ErrorCode::InvalidJson,
    );
    let text = r#"{"action":"chat_message_file","chat_id":1,"x":1,"x":2}"#;
    assert_eq!(parsed(text), Ok(SendCommand::Dispatch { message_id: 1 }));
}

#[test]
fn refuses_half_a_surrogate_pair_anywhere() {
    for escape in [r"\ud83d", r"\ude00", r"\ud83d\u0041", r"\ud83dx", r"\ude00\ud83d", r"\uDBFF\\"]
    {
        for text in [
            format!(
                r#"{{"action":"chat_message","message_body":"{escape}","receiver_id":"{RECEIVER}"}}"#
            ),
            format!(r#"{{"action":"chat_message_file","chat_id":1,"message_body":"{escape}"}}"#),
            format!(r#"{{"action":"chat_message_file","chat_id":1,"x":[{{"{escape}":1}}]}}"#),
            format!(r#"{{"action":"chat_message_file","chat_id":1,"{escape}":1}}"#),
        ] {
            assert_code(&text, ErrorCode::InvalidJson);
        }
    }
    // No escape at all: a backslash, then text.
    let text = r#"{"action":"chat_message_file","chat_id":1,"x":"\\ud83d"}"#;
    assert_eq!(parsed(text), Ok(SendCommand::Dispatch { message_id: 1 }));
}

#[test]
fn nests_32_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"action":"chat_message_file","chat_id":1,"x":{open}{close}}}"#)
    };
    assert_eq!(parsed(&nested(31)), Ok(SendCommand::Dispatch { message_id: 1 }));
    assert_code(&nested(32), ErrorCode::InvalidJson);
    assert_code(&nested(30_000), ErrorCode::InvalidJson);
    assert_code(&r#"{"x":"#.repeat(30_000), ErrorCode::InvalidJson);
    assert_code(&"[".repeat(65_536), ErrorCode::InvalidJson);
    // Brackets in a string are text, and so is a body that nests.
    let text = format!(
        r#"{{"action":"chat_message_file","chat_id":1,"x":"\"{}","message_body":[[]]}}"#,
        "[{".repeat(100)
    );
    assert_eq!(parsed(&text), Ok(SendCommand::Dispatch { message_id: 1 }));
}

#[test]
fn ignores_unknown_keys_of_any_kind() {
    let text = format!(
        r#"{{"x":1e999,"y":-0.5,"z":[{{}},null,true],"action":"chat_message","message_body":"a",
            "receiver_id":"{RECEIVER}","w":"\u0000","chat_id":{{}}}}"#
    );
    assert_eq!(parsed(&text), message("a"));
}

#[test]
fn names_an_unknown_action() {
    for text in [
        "{}",
        r#"{"message_body":"a"}"#,
        r#"{"action":null}"#,
        r#"{"action":35}"#,
        r#"{"action":["chat_message"]}"#,
        r#"{"action":""}"#,
        r#"{"action":"Chat_message"}"#,
        r#"{"action":"chat_message "}"#,
        r#"{"action":"re_message"}"#,
        r#"{"Action":"chat_message"}"#,
    ] {
        assert_code(text, ErrorCode::UnknownAction);
    }
}

#[test]
fn names_the_field_at_fault() {
    let frame = |body: &str, receiver: &str| {
        format!(r#"{{"action":"chat_message","message_body":{body},"receiver_id":{receiver}}}"#)
    };
    let receiver = format!("\"{RECEIVER}\"");
    for body in ["null", "1", "[]", "{}", "true", "\"\"", r#""a\u0000b""#] {
        assert_field(&frame(body, &receiver), "message_body");
        // The body is looked at first.
        assert_field(&frame(body, "null"), "message_body");
    }
    for receiver in ["null", "1", "[]", "{}", "false"] {
        assert_field(&frame("\"a\"", receiver), "receiver_id");
    }
    assert_field(
        &format!(r#"{{"action":"chat_message","receiver_id":{receiver}}}"#),
        "message_body",
    );
    assert_field(r#"{"action":"chat_message","message_body":"a"}"#, "receiver_id");
    assert_field(r#"{"action":"chat_message_file"}"#, "chat_id");
}

#[test]
fn refuses_a_receiver_that_is_malformed_or_oneself() {
    for receiver in [
        "",
        "x",
        "87c8b8e23efc4a4ab6671f9c0d7e8437",
        "{87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437}",
        " 87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437",
        SENDER,
        &SENDER.to_uppercase(),
    ] {
        let frame = json!({"action": "chat_message", "message_body": "a", "receiver_id": receiver});
        assert_code(&frame.to_string(), ErrorCode::InvalidReceiver);
    }
}

#[test]
fn a_body_may_be_as_long_as_the_limit_in_utf8() {
    let frame = |body: &str| {
        json!({"action": "chat_message", "message_body": body, "receiver_id": RECEIVER}).to_string()
    };
    let longest = "é".repeat(MAX_BODY_BYTES / 2);
    assert_eq!(parsed(&frame(&longest)), message(&longest));
    assert_code(&frame(&format!("{longest}a")), ErrorCode::MessageTooLarge);
}

#[test]
fn a_chat_id_is_a_decimal_integer() {
    let frame = |id: &str| format!(r#"{{"action":"chat_message_file","chat_id":{id}}}"#);
    for id in ["35", "\"35\"", "\"035\"", r#""\u00335""#] {
        assert_eq!(parsed(&frame(id)), Ok(SendCommand::Dispatch { message_id: 35 }), "{id}");
    }
    let max = i64::MAX;
    assert_eq!(parsed(&frame(&max.to_string())), Ok(SendCommand::Dispatch { message_id: max }));
    for id in [
        "35.0", "35e0", "3.5e1", "-35", "-0", "\"-35\"", "\"+35\"", "\" 35\"", "\"35 \"", "\"\"",
        "\"0x23\"", "\"35.0\"", "\"٣٥\"", "null", "true", "[35]", "{}",
    ] {
        assert_field(&frame(id), "chat_id");
    }
    for id in ["0", "\"0\"", "9223372036854775808", "\"99999999999999999999999999999999999999\""] {
        assert_code(&frame(id), ErrorCode::NotFound);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// The text of an object with `known` and `extra`, in an order that `seed` decides.
fn shuffled(known: &Map<String, Value>, extra: Vec<(String, Value)>, seed: u64) -> String {
    let extra = extra.into_iter().filter(|(key, _)| {
        !["action", "message_body", "receiver_id", "chat_id"].contains(&key.as_str())
    });
    let mut entries: Vec<_> = known.clone().into_iter().chain(extra).collect();
    let mut state = seed;
    entries.sort_by_cached_key(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 32
    });
    let entries: Vec<_> = entries
        .iter()
        .map(|(key, value)| format!("{} : {value}", Value::from(key.as_str())))
        .collect();
    format!("{{ {} }}", entries.join(" , "))
}

proptest! {
    #[test]
    fn never_panics_on_any_text(text in any::<String>()) {
        let _ = parsed(&text);
    }

    #[test]
    fn never_panics_on_what_looks_like_json(text in r#"[{}\[\]",:\\u0dD8cC35a ]{0,64}"#) {
        let _ = parsed(&text);
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json(text in r#"\{("a":("[ab\\"ud8c0]{0,12}"|[0-9.eE+-]{1,4}|\[[1,]{0,3}\]),?){0,2}\}"#) {
        let is_json = serde_json::from_str::<Map<String, Value>>(&text).is_ok();
        let code = parsed(&text).expect_err("no action").code;
        // A number that no float holds is JSON all the same.
        if is_json || !text.contains(['e', 'E']) {
            prop_assert_eq!(code != ErrorCode::InvalidJson, is_json, "{}", text);
        }
    }

    #[test]
    fn takes_documented_frames_with_any_extra_keys_in_any_order(
        body in "[^\0]{1,16}",
        extra in prop::collection::vec((any::<String>(), any_json()), 0..6),
        seed in any::<u64>(),
        id in 1..=i64::MAX,
    ) {
        let text = json!({"action": "chat_message", "message_body": body, "receiver_id": RECEIVER});
        let text = shuffled(text.as_object().expect("an object"), extra.clone(), seed);
        prop_assert_eq!(parsed(&text), message(&body));
        let file = json!({"action": "chat_message_file", "chat_id": id});
        let file = shuffled(file.as_object().expect("an object"), extra, seed);
        prop_assert_eq!(parsed(&file), Ok(SendCommand::Dispatch { message_id: id }));
    }
}
