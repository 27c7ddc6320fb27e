//! The JSON bodies of requests, read by the rules of frames: one object, without a known key twice, nested at most 32 deep.

use std::fmt;

use netrox_proto::{ids::ClientRef, json};
use serde::{
    Deserialize,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    field,
    problem::{Problem, ProblemCode},
};
use crate::{sends::MetaChange, wire::json::object};

/// A message to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Send {
    pub(crate) body: String,
    pub(crate) client_ref: ClientRef,
    pub(crate) reply_to: Option<i64>,
    pub(crate) meta: Option<String>,
}

/// What is to be changed of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) body: String,
    pub(crate) meta: MetaChange,
}

impl Send {
    pub(crate) fn parse(json: &[u8], max_body_bytes: usize) -> Result<Self, Problem> {
        let fields = Fields::parse(json)?;
        Ok(Self {
            body: field::body(fields.message_body, max_body_bytes)?,
            client_ref: field::client_ref(fields.client_ref)?,
            reply_to: field::optional_id(fields.reply_to, "reply_to")?,
            meta: field::meta(fields.meta)?,
        })
    }
}

impl Edit {
    pub(crate) fn parse(json: &[u8], max_body_bytes: usize) -> Result<Self, Problem> {
        let fields = Fields::parse(json)?;
        Ok(Self {
            body: field::changed_body(fields.message_body, max_body_bytes)?,
            meta: field::changed_meta(fields.meta)?,
        })
    }
}

/// The message that a mark reaches up to.
pub(crate) fn up_to(json: &[u8]) -> Result<i64, Problem> {
    Ok(field::id(Fields::parse(json)?.up_to, "up_to")?)
}

/// The file that a link is asked for, if one is.
pub(crate) fn path(json: &[u8]) -> Result<Option<String>, Problem> {
    Ok(field::optional_path(Fields::parse(json)?.path)?)
}

/// `meta` as a text by itself.
pub(crate) fn meta_text(text: &str) -> Result<Option<String>, Problem> {
    let raw = (!json::is_too_deep(text) && !json::has_lone_surrogate(text))
        .then(|| serde_json::from_str::<&RawValue>(text).ok())
        .flatten();
    let raw = raw.ok_or_else(|| Problem::invalid_field("meta", "must be JSON"))?;
    Ok(field::meta(Some(raw))?)
}

/// The known keys, unparsed; what else is there is checked and skipped.
#[derive(Default)]
struct Fields<'a> {
    message_body: Option<&'a RawValue>,
    client_ref: Option<&'a RawValue>,
    reply_to: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
    up_to: Option<&'a RawValue>,
    path: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn parse(json: &'a [u8]) -> Result<Self, Problem> {
        let fields = str::from_utf8(json).ok().and_then(fields);
        fields.ok_or_else(|| {
            let detail =
                "The body must be one JSON object without repeated keys, nested at most 32 deep";
            Problem::new(ProblemCode::InvalidJson, detail)
        })
    }
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
                Key::MessageBody => (&mut fields.message_body, "message_body"),
                Key::ClientRef => (&mut fields.client_ref, "client_ref"),
                Key::ReplyTo => (&mut fields.reply_to, "reply_to"),
                Key::Meta => (&mut fields.meta, "meta"),
                Key::UpTo => (&mut fields.up_to, "up_to"),
                Key::Path => (&mut fields.path, "path"),
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
    MessageBody,
    ClientRef,
    ReplyTo,
    Meta,
    UpTo,
    Path,
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    const REF: &str = "3F6E0B52-8c7e-4e7f-9d0a-5d2f6c1b7a90";

    fn send(fields: &str) -> Result<Send, Problem> {
        let json = format!(r#"{{"message_body":"hello","client_ref":"{REF}"{fields}}}"#);
        Send::parse(json.as_bytes(), 10)
    }

    fn refused<T: fmt::Debug>(parsed: Result<T, Problem>) -> ProblemCode {
        parsed.expect_err("a refusal").code()
    }

    #[test]
    fn a_send_has_what_is_said_and_no_more() {
        let expected = Send {
            body: "hello".into(),
            client_ref: REF.parse().expect("a UUID"),
            reply_to: None,
            meta: None,
        };
        assert_eq!(send("").ok(), Some(expected));
        let whole = send(r#","reply_to":7,"meta":{ "a" : 1.0 },"unknown":[1]"#).expect("good");
        assert_eq!((whole.reply_to, whole.meta.as_deref()), (Some(7), Some(r#"{"a":1.0}"#)));
        let nulls = send(r#","reply_to":null,"meta":null"#).expect("good");
        assert_eq!((nulls.reply_to, nulls.meta), (None, None));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_code() {
        for wrong in [
            r#","reply_to":0"#,
            r#","reply_to":"7""#,
            r#","reply_to":7.0"#,
            r#","reply_to":9007199254740992"#,
            r#","meta":[]"#,
        ] {
            assert_eq!(refused(send(wrong)), ProblemCode::InvalidField, "{wrong}");
        }
        for wrong in [r#","meta":{},"meta":{}"#, r#","x":"\ud800""#, ",,", r#","x":01"#] {
            assert_eq!(refused(send(wrong)), ProblemCode::InvalidJson, "{wrong}");
        }
        let parse = |json: &str| Send::parse(json.as_bytes(), 10);
        let too_long = format!(r#"{{"message_body":"12345678901","client_ref":"{REF}"}}"#);
        assert_eq!(refused(parse(&too_long)), ProblemCode::MessageTooLarge);
        for wrong in [
            r#"{"message_body":"x"}"#,
            r#"{"message_body":"x","client_ref":null}"#,
            r#"{"message_body":"x","client_ref":"3f6e0b528c7e4e7f9d0a5d2f6c1b7a90"}"#,
        ] {
            assert_eq!(refused(parse(wrong)), ProblemCode::InvalidField, "{wrong}");
        }
        for body in ["\"\"", "1", "null", "\"\\u0000\""] {
            let json = format!(r#"{{"message_body":{body},"client_ref":"{REF}"}}"#);
            assert_eq!(refused(parse(&json)), ProblemCode::InvalidField, "{body}");
        }
        assert_eq!(refused(parse("[]")), ProblemCode::InvalidJson);
        assert_eq!(refused(Send::parse(b"{\"\xff\":1}", 10)), ProblemCode::InvalidJson);
    }

    #[test]
    fn an_edit_tells_absent_from_null() {
        let edit = |json: &str| Edit::parse(json.as_bytes(), 10).expect("good");
        assert_eq!(
            edit(r#"{"message_body":""}"#),
            Edit { body: "".into(), meta: MetaChange::Stays }
        );
        assert_eq!(edit(r#"{"message_body":"x","meta":null}"#).meta, MetaChange::Removed);
        assert_eq!(edit(r#"{"message_body":"x","meta":{}}"#).meta, MetaChange::Set("{}".into()));
        assert_eq!(refused(Edit::parse(b"{}", 10)), ProblemCode::InvalidField);
    }

    #[test]
    fn a_path_is_a_text_or_none() {
        for (json, expected) in [
            ("{}", None),
            (r#"{"path":null}"#, None),
            (r#"{"path":"/a","x":1}"#, Some("/a")),
            (r#"{"path":""}"#, Some("")),
        ] {
            assert_eq!(path(json.as_bytes()).expect("good").as_deref(), expected, "{json}");
        }
        assert_eq!(refused(path(br#"{"path":1}"#)), ProblemCode::InvalidField);
        assert_eq!(refused(path(b"[]")), ProblemCode::InvalidJson);
    }

    #[test]
    fn a_mark_reaches_up_to_an_id() {
        assert_eq!(up_to(br#"{"up_to":7}"#).ok(), Some(7));
        for wrong in ["{}", r#"{"up_to":0}"#, r#"{"up_to":"7"}"#, r#"{"up_to":null}"#] {
            assert_eq!(refused(up_to(wrong.as_bytes())), ProblemCode::InvalidField, "{wrong}");
        }
    }
}
