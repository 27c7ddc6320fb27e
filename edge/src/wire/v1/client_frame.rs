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

use netrox_proto::ids::UserId;
use serde::{
    Deserialize,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::rejection::{ErrorCode, Rejection};
use crate::{
    sends::SendCommand,
    wire::json::{object, string},
};

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

/// The known keys of an object, unparsed; what else is in it is checked and skipped.
#[derive(Default)]
struct Fields<'a> {
    action: Option<&'a RawValue>,
    message_body: Option<&'a RawValue>,
    receiver_id: Option<&'a RawValue>,
    chat_id: Option<&'a RawValue>,
}

fn fields(text: &str) -> Option<Fields<'_>> {
    object(text, FieldsVisitor)
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

#[cfg(test)]
mod tests;
