//! What clients send: one JSON object a frame (PROTOCOL section 3).
//!
//! A frame is judged in this order, and the first fault found is the one reported:
//!
//! 1. `invalid_json`: it is not JSON, not an object, has a known key twice, is nested deeper than 32
//!    (the object itself is the first level), or holds a surrogate without its other half; anywhere in
//!    the frame, unknown keys included.
//! 2. `unknown_action`.
//! 3. `chat_message`: `message_body` (missing or not a string, empty, too large, NUL), then
//!    `receiver_id` (missing or not a string, malformed, oneself). `chat_message_file`: `chat_id`.
//!
//! Keys that the action does not use are not looked at, but still may not be there twice.

use std::fmt;

use netrox_proto::{ids::UserId, json};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::rejection::{ErrorCode, Rejection};
use crate::sends::SendCommand;

const MESSAGE_BODY: &str = "message_body";
const RECEIVER_ID: &str = "receiver_id";
const CHAT_ID: &str = "chat_id";

/// What `sender` asks for with a text frame. Takes time and memory linear in the length of `text`.
pub(crate) fn parse(
    text: &str,
    sender: UserId,
    max_body_bytes: usize,
) -> Result<SendCommand, Rejection> {
    let fields = fields(text).ok_or(Rejection::new(
        ErrorCode::InvalidJson,
        "the frame must be one JSON object without repeated keys, nested at most 32 deep",
    ))?;
    let action = fields.action.and_then(string);
    match action.as_deref() {
        Some("chat_message") => {
            let body = message_body(fields.message_body, max_body_bytes)?;
            let receiver = receiver(fields.receiver_id, sender)?;
            Ok(SendCommand::Message { receiver, body })
        }
        Some("chat_message_file") => {
            Ok(SendCommand::Dispatch { message_id: message_id(fields.chat_id)? })
        }
        _ => Err(Rejection::new(
            ErrorCode::UnknownAction,
            "action: must be chat_message or chat_message_file",
        )),
    }
}

/// The refusal of a frame that is not text.
pub(crate) fn binary() -> Rejection {
    Rejection::new(ErrorCode::InvalidJson, "the frame must be text, not binary")
}

fn message_body(raw: Option<&RawValue>, max_bytes: usize) -> Result<String, Rejection> {
    let body = required_string(raw, MESSAGE_BODY)?;
    if body.is_empty() {
        return Err(Rejection::invalid_field(MESSAGE_BODY, "must not be empty"));
    }
    if body.len() > max_bytes {
        let message = format!("message_body: must not be longer than {max_bytes} bytes");
        return Err(Rejection::new(ErrorCode::MessageTooLarge, message));
    }
    if body.contains('\0') {
        return Err(Rejection::invalid_field(MESSAGE_BODY, "must not contain NUL"));
    }
    Ok(body)
}

fn receiver(raw: Option<&RawValue>, sender: UserId) -> Result<UserId, Rejection> {
    let receiver = required_string(raw, RECEIVER_ID)?
        .parse()
        .map_err(|error| Rejection::invalid_receiver(format!("receiver_id: {error}")))?;
    if receiver == sender {
        return Err(Rejection::invalid_receiver("receiver_id: must be another user"));
    }
    Ok(receiver)
}

/// A decimal integer, as a number or as a string of it; one that no message can have is not found.
fn message_id(raw: Option<&RawValue>) -> Result<i64, Rejection> {
    let raw = raw.ok_or_else(|| Rejection::invalid_field(CHAT_ID, "is missing"))?;
    // A number's text is its own form: "35.0" and "35e0" are no integers here.
    let digits = string(raw).unwrap_or_else(|| raw.get().to_owned());
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Rejection::invalid_field(CHAT_ID, "must be a decimal integer"));
    }
    // Nothing but too many digits can fail here.
    digits.parse().ok().filter(|&id| id > 0).ok_or_else(Rejection::not_found)
}

fn required_string(raw: Option<&RawValue>, field: &'static str) -> Result<String, Rejection> {
    let raw = raw.ok_or_else(|| Rejection::invalid_field(field, "is missing"))?;
    string(raw).ok_or_else(|| Rejection::invalid_field(field, "must be a string"))
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The known keys of an object, unparsed; what else is in it is checked and skipped.
#[derive(Default)]
struct Fields<'a> {
    action: Option<&'a RawValue>,
    message_body: Option<&'a RawValue>,
    receiver_id: Option<&'a RawValue>,
    chat_id: Option<&'a RawValue>,
}

fn fields(text: &str) -> Option<Fields<'_>> {
    if json::is_too_deep(text) || has_lone_surrogate(text) {
        return None;
    }
    // Not a derived struct: that would take an array for it.
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_map(FieldsVisitor).ok()?;
    json.end().ok()?;
    Some(fields)
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key()? {
            let (field, name) = match key {
                Key::Action => (&mut fields.action, "action"),
                Key::MessageBody => (&mut fields.message_body, MESSAGE_BODY),
                Key::ReceiverId => (&mut fields.receiver_id, RECEIVER_ID),
                Key::ChatId => (&mut fields.chat_id, CHAT_ID),
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if field.replace(map.next_value()?).is_some() {
                return Err(de::Error::duplicate_field(name));
            }
        }
        Ok(fields)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Action,
    MessageBody,
    ReceiverId,
    ChatId,
    #[serde(other)]
    Unknown,
}

/// Whether a surrogate escape lacks its other half, which serde does not look at where it skips a value. Says nothing of a
/// text that is not JSON.
fn has_lone_surrogate(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        rest = &rest[backslash + 1..];
        match escape_length(rest) {
            Some(length) => rest = rest.get(length..).unwrap_or_default(),
            None => return true,
        }
    }
    false
}

/// How long the escape is whose backslash precedes `rest`, a pair of surrogates being one; `None` for
/// half of a pair.
fn escape_length(rest: &[u8]) -> Option<usize> {
    if rest.first() != Some(&b'u') {
        return Some(1);
    }
    match code_unit(&rest[1..]) {
        Some(0xD800..=0xDBFF) => {
            let low = rest[5..].strip_prefix(b"\\u").and_then(code_unit);
            matches!(low, Some(0xDC00..=0xDFFF)).then_some(11)
        }
        Some(0xDC00..=0xDFFF) => None,
        Some(_) => Some(5),
        // Not JSON; the parser will say so.
        None => Some(1),
    }
}

fn code_unit(hex: &[u8]) -> Option<u32> {
    let digits = hex.get(..4)?;
    digits.iter().try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests;
