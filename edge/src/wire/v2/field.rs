//! What clients say, field by field: each function takes the JSON of one field, and gives what it means or why it is
//! refused (PROTOCOL-2 section 3).

use netrox_proto::{
    ids::{ClientRef, UserId},
    limits::{MAX_META_BYTES, MAX_META_DEPTH},
};
use serde_json::value::RawValue;

use super::{
    MAX_ID,
    refusal::{Code, Refusal},
};
use crate::{sends::MetaChange, wire::json::string};

const NULL: &str = "null";
/// Peers that a connection watches.
const MAX_WATCHED: usize = 100;

/// What is there, and not null.
fn given(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != NULL)
}

fn required<'a>(raw: Option<&'a RawValue>, field: &str) -> Result<&'a RawValue, Refusal> {
    raw.ok_or_else(|| Refusal::invalid_field(field, "is missing"))
}

fn required_string(raw: Option<&RawValue>, field: &str) -> Result<String, Refusal> {
    let raw = required(raw, field)?;
    string(raw).ok_or_else(|| Refusal::invalid_field(field, "must be a string"))
}

/// `message_body` of a new message.
pub(crate) fn body(raw: Option<&RawValue>, max_bytes: usize) -> Result<String, Refusal> {
    let body = changed_body(raw, max_bytes)?;
    if body.is_empty() {
        return Err(Refusal::invalid_field("message_body", "must not be empty"));
    }
    Ok(body)
}

/// `message_body` of an edit: of a file it may be empty, which the core knows.
pub(crate) fn changed_body(raw: Option<&RawValue>, max_bytes: usize) -> Result<String, Refusal> {
    let body = required_string(raw, "message_body")?;
    check_body(&body, max_bytes)?;
    Ok(body)
}

/// A text of a client, empty or not.
pub(crate) fn check_body(body: &str, max_bytes: usize) -> Result<(), Refusal> {
    if body.len() > max_bytes {
        let message = format!("message_body: must not be longer than {max_bytes} bytes");
        return Err(Refusal::new(Code::MessageTooLarge, message));
    }
    if body.contains('\0') {
        return Err(Refusal::invalid_field("message_body", "must not contain NUL"));
    }
    Ok(())
}

pub(crate) fn receiver(raw: Option<&RawValue>, sender: UserId) -> Result<UserId, Refusal> {
    let receiver = required_string(raw, "receiver_id")?
        .parse()
        .map_err(|error| Refusal::new(Code::InvalidReceiver, format!("receiver_id: {error}")))?;
    if receiver == sender {
        let message = "receiver_id: must be another user";
        return Err(Refusal::new(Code::InvalidReceiver, message));
    }
    Ok(receiver)
}

/// The other person of a thread.
pub(crate) fn peer(raw: Option<&RawValue>, user: UserId) -> Result<UserId, Refusal> {
    peer_of(raw, user, "peer_id: no such thread")
}

/// Anybody else, whether there is a thread with them or not.
pub(crate) fn other_user(raw: Option<&RawValue>, user: UserId) -> Result<UserId, Refusal> {
    peer_of(raw, user, "peer_id: no such user")
}

fn peer_of(raw: Option<&RawValue>, user: UserId, message: &'static str) -> Result<UserId, Refusal> {
    let peer = required_string(raw, "peer_id")?.parse().ok();
    peer.filter(|peer| *peer != user).ok_or_else(|| Refusal::new(Code::NotFound, message))
}

/// Whether it is one, is found out by whoever verifies it.
pub(crate) fn token(raw: Option<&RawValue>) -> Result<String, Refusal> {
    required_string(raw, "token")
}

/// `path` of a file; absent where it is null.
pub(crate) fn optional_path(raw: Option<&RawValue>) -> Result<Option<String>, Refusal> {
    let path = given(raw).map(|raw| string(raw).ok_or(raw)).transpose();
    path.map_err(|_| Refusal::invalid_field("path", "must be a string"))
}

pub(crate) fn client_ref(raw: Option<&RawValue>) -> Result<ClientRef, Refusal> {
    let name = required_string(raw, "client_ref")?;
    name.parse().map_err(|error| Refusal::invalid_field("client_ref", &format!("{error}")))
}

/// Whom to watch.
pub(crate) fn peers(raw: Option<&RawValue>) -> Result<Vec<UserId>, Refusal> {
    let problem = "must be an array of at most 100 UUIDs";
    let invalid = || Refusal::invalid_field("peer_ids", problem);
    let raw = required(raw, "peer_ids")?;
    let peers: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| invalid())?;
    if peers.len() > MAX_WATCHED {
        return Err(invalid());
    }
    let peer = |raw: &RawValue| string(raw)?.parse().ok();
    peers.into_iter().map(peer).collect::<Option<_>>().ok_or_else(invalid)
}

/// To whom the user is online: whether to nobody.
pub(crate) fn hides(raw: Option<&RawValue>) -> Result<bool, Refusal> {
    match required_string(raw, "presence")?.as_str() {
        "peers" => Ok(false),
        "nobody" => Ok(true),
        _ => Err(Refusal::invalid_field("presence", "must be peers or nobody")),
    }
}

pub(crate) fn boolean(raw: Option<&RawValue>, field: &str) -> Result<bool, Refusal> {
    match required(raw, field)?.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Refusal::invalid_field(field, "must be true or false")),
    }
}

pub(crate) fn id(raw: Option<&RawValue>, field: &str) -> Result<i64, Refusal> {
    parse_id(required(raw, field)?, field)
}

pub(crate) fn optional_id(raw: Option<&RawValue>, field: &str) -> Result<Option<i64>, Refusal> {
    given(raw).map(|raw| parse_id(raw, field)).transpose()
}

fn parse_id(raw: &RawValue, field: &str) -> Result<i64, Refusal> {
    let digits = raw.get();
    // "35.0" and "35e0" are no integers here.
    let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
    let id = if is_integer { digits.parse().ok() } else { None };
    let problem = "must be an integer from 1 to 2^53 - 1";
    id.filter(|id| (1..=MAX_ID).contains(id)).ok_or_else(|| Refusal::invalid_field(field, problem))
}

/// `chat_id`: also a string of digits, as documented; an integer that no message can have is not found.
pub(crate) fn chat_id(raw: Option<&RawValue>) -> Result<i64, Refusal> {
    let raw = required(raw, "chat_id")?;
    let digits = string(raw).unwrap_or_else(|| raw.get().to_owned());
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::invalid_field("chat_id", "must be a decimal integer"));
    }
    // Nothing but too many digits can fail here.
    let id = digits.parse().ok().filter(|id| (1..=MAX_ID).contains(id));
    id.ok_or_else(|| Refusal::new(Code::NotFound, "chat_id: no such file message of this user"))
}

/// `for` of a deletion; gives whether it is for everyone.
pub(crate) fn for_everyone(raw: Option<&RawValue>) -> Result<bool, Refusal> {
    match required_string(raw, "for")?.as_str() {
        "everyone" => Ok(true),
        "me" => Ok(false),
        _ => Err(Refusal::invalid_field("for", "must be everyone or me")),
    }
}

/// `meta` of a new message, without white space between its tokens.
pub(crate) fn meta(raw: Option<&RawValue>) -> Result<Option<String>, Refusal> {
    given(raw).map(parse_meta).transpose()
}

/// `meta` of an edit.
pub(crate) fn changed_meta(raw: Option<&RawValue>) -> Result<MetaChange, Refusal> {
    let Some(raw) = raw else { return Ok(MetaChange::Stays) };
    Ok(meta(Some(raw))?.map_or(MetaChange::Removed, MetaChange::Set))
}

fn parse_meta(raw: &RawValue) -> Result<String, Refusal> {
    if !raw.get().starts_with('{') {
        return Err(Refusal::invalid_field("meta", "must be an object"));
    }
    let (text, depth) = compact(raw.get());
    if text.len() > MAX_META_BYTES {
        return Err(Refusal::invalid_field("meta", "must not be longer than 4096 bytes"));
    }
    if depth > MAX_META_DEPTH {
        return Err(Refusal::invalid_field("meta", "must not be nested deeper than 8"));
    }
    Ok(text)
}

/// JSON without white space between its tokens, and how deep it is nested. Everything else stays as it was sent: the order of
/// keys, numbers that no machine can hold, escapes.
fn compact(json: &str) -> (String, usize) {
    let mut text = String::with_capacity(json.len());
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else {
            match character {
                ' ' | '\t' | '\n' | '\r' => continue,
                '"' => in_string = true,
                '{' | '[' => {
                    depth += 1;
                    deepest = depth.max(deepest);
                }
                '}' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        text.push(character);
    }
    (text, deepest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).expect("JSON")
    }

    fn code<T>(result: Result<T, Refusal>) -> Option<Code> {
        result.err().map(|refusal| refusal.code)
    }

    #[test]
    fn an_id_is_an_integer_below_2_to_the_53rd() {
        for (json, expected) in [("1", 1), ("35", 35), ("9007199254740991", MAX_ID)] {
            assert_eq!(id(Some(&raw(json)), "up_to"), Ok(expected));
        }
        let wrong =
            ["0", "-1", "35.0", "35e0", "9007199254740992", "1e400", r#""35""#, "null", "[]"];
        for json in wrong {
            assert_eq!(code(id(Some(&raw(json)), "up_to")), Some(Code::InvalidField), "{json}");
        }
        assert_eq!(code(id(None, "up_to")), Some(Code::InvalidField));
        assert_eq!(optional_id(None, "reply_to"), Ok(None));
        assert_eq!(optional_id(Some(&raw("null")), "reply_to"), Ok(None));
        assert_eq!(code(optional_id(Some(&raw("0")), "reply_to")), Some(Code::InvalidField));
    }

    #[test]
    fn a_chat_id_is_also_what_it_was_in_the_first_generation() {
        for json in ["35", r#""35""#, r#""0035""#] {
            assert_eq!(chat_id(Some(&raw(json))), Ok(35), "{json}");
        }
        for (json, expected) in [
            ("0", Code::NotFound),
            ("9007199254740992", Code::NotFound),
            ("-1", Code::InvalidField),
            (r#""""#, Code::InvalidField),
            (r#""35a""#, Code::InvalidField),
            ("35.5", Code::InvalidField),
        ] {
            assert_eq!(code(chat_id(Some(&raw(json)))), Some(expected), "{json}");
        }
    }

    #[test]
    fn meta_is_kept_as_it_was_sent_without_white_space() {
        let sent = "{ \"b\" : 1e400,\t\"a\":\"x \\\" { y\\\\\" ,\n \"n\": 9007199254740993 , \"l\" : [ 1 , 2 ] }";
        let kept = r#"{"b":1e400,"a":"x \" { y\\","n":9007199254740993,"l":[1,2]}"#;
        assert_eq!(meta(Some(&raw(sent))), Ok(Some(kept.to_owned())));
        assert_eq!(meta(Some(&raw("null"))), Ok(None));
        assert_eq!(meta(None), Ok(None));
        for json in ["1", "[]", r#""{}""#, "true"] {
            assert_eq!(code(meta(Some(&raw(json)))), Some(Code::InvalidField), "{json}");
        }
    }

    #[test]
    fn meta_is_bounded_in_bytes_and_in_depth() {
        let long = |bytes: usize| format!("{{ \"a\" : \"{}\" }}", "x".repeat(bytes - 8));
        assert!(meta(Some(&raw(&long(4_096)))).is_ok());
        assert_eq!(code(meta(Some(&raw(&long(4_097))))), Some(Code::InvalidField));
        let nested = |depth: usize| {
            format!("{}{}", r#"{"a":"#.repeat(depth - 1) + "{}", "}".repeat(depth - 1))
        };
        assert!(meta(Some(&raw(&nested(8)))).is_ok());
        assert_eq!(code(meta(Some(&raw(&nested(9))))), Some(Code::InvalidField));
    }

    #[test]
    fn an_edit_leaves_meta_or_removes_it_or_sets_it() {
        assert_eq!(changed_meta(None), Ok(MetaChange::Stays));
        assert_eq!(changed_meta(Some(&raw("null"))), Ok(MetaChange::Removed));
        assert_eq!(changed_meta(Some(&raw("{ }"))), Ok(MetaChange::Set("{}".into())));
    }

    proptest! {
        #[test]
        fn compact_json_is_the_same_json(text: String, number: i32) {
            let value = serde_json::json!({"a": [text, {"b": number}], "c": null});
            let pretty = serde_json::to_string_pretty(&value).expect("JSON");
            let (compacted, depth) = compact(&pretty);
            prop_assert_eq!(&compacted, &serde_json::to_string(&value).expect("JSON"));
            prop_assert_eq!(serde_json::from_str::<Value>(&compacted).expect("JSON"), value);
            prop_assert_eq!(depth, 3);
        }
    }
}
