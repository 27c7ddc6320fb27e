//! How what is known of a user is printed: as JSON, or as words for people.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use netrox_proto::{
    time::micros,
    v1::{Attachment, ListSessionsResponse, Message, ThreadState, User, UserRecord},
};
use prost_types::Timestamp;
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// RFC 3339 with microseconds; null where there is none.
pub(crate) fn time(at: Option<&Timestamp>) -> Value {
    let at = at.map(|at| jiff::Timestamp::from_microsecond(micros(at)));
    match at {
        Some(Ok(at)) => format!("{at:.6}").into(),
        Some(Err(_)) | None => Value::Null,
    }
}

/// As it is stored, or as a text where it is none.
pub(crate) fn json_text(text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::Null };
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

pub(crate) fn of_record(record: &UserRecord) -> Value {
    let nobody = User::default();
    let user = record.user.as_ref().unwrap_or(&nobody);
    json!({
        "user_id": user.id,
        "deleted": record.deleted,
        "email": user.email,
        "profile": json_text(user.profile_json.as_deref()),
        "external_id": user.external_id.as_ref().map(|id| {
            json!({ "issuer": id.issuer, "subject": id.subject })
        }),
        "updated": time(record.updated.as_ref()),
        "threads": record.threads,
        "storage_bytes": record.storage_bytes,
        "tokens_revoked_until": time(
            record.revoked.as_ref().and_then(|revoked| revoked.issued_until.as_ref())
        ),
        "revocation_kept_until": time(
            record.revoked.as_ref().and_then(|revoked| revoked.expires_at.as_ref())
        ),
        "sessions_ended": time(record.sessions_ended.as_ref()),
        "last_seq": record.last_seq,
        "hides_presence": record.hides_presence,
        "last_seen": time(record.last_seen.as_ref()),
    })
}

pub(crate) fn of_sessions(listed: &ListSessionsResponse) -> Value {
    let sessions = listed.sessions.iter().map(|session| {
        json!({
            "session_id": session.session_id,
            "generation": session.generation,
            "edge": session.edge,
            "client_address": session.client_address,
            "opened_at": time(session.opened_at.as_ref()),
            "token_expires_at": time(session.token_expires_at.as_ref()),
        })
    });
    json!({
        "sessions": sessions.collect::<Vec<_>>(),
        "is_complete": listed.is_complete,
        "silent_edges": listed.silent_edges,
    })
}

/// As one of the two who have it sees it. What it does not have is left out.
pub(crate) fn of_message(message: &Message) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", message.id.into());
    put("thread_id", message.thread_id.into());
    put("sender_id", message.sender_id.as_str().into());
    put("receiver_id", message.receiver_id.as_str().into());
    put("created", time(message.created.as_ref()));
    if message.updated != message.created {
        put("updated", time(message.updated.as_ref()));
    }
    put("body", message.body.as_str().into());
    for (name, is_set) in
        [("seen", message.seen), ("deleted", message.deleted), ("hidden", message.hidden)]
    {
        if is_set {
            put(name, true.into());
        }
    }
    if let Some(reply_to) = message.reply_to_id {
        put("reply_to_id", reply_to.into());
    }
    if message.meta_json.is_some() {
        put("meta", json_text(message.meta_json.as_deref()));
    }
    if let Some(client_ref) = &message.client_ref {
        put("client_ref", client_ref.as_str().into());
    }
    if let Some(file) = &message.attachment {
        put("attachment", of_attachment(file));
    }
    Value::Object(object)
}

fn of_attachment(file: &Attachment) -> Value {
    json!({
        "path": file.path,
        "file_name": file.file_name,
        "size": file.size,
        "content_type": file.content_type,
        "dispatched": time(file.dispatched.as_ref()),
    })
}

pub(crate) fn of_state(state: &ThreadState) -> Value {
    json!({
        "thread_id": state.thread_id,
        "peer_id": state.peer_id,
        "last_id": state.last_id,
        "unread": state.unread,
        "seen_id": state.seen_id,
        "delivered_id": state.delivered_id,
        "peer_seen_id": state.peer_seen_id,
        "peer_delivered_id": state.peer_delivered_id,
    })
}

/// To stdout.
pub(crate) fn print(value: &Value, as_json: bool) -> Result<(), Failure> {
    let text = if as_json { format!("{value}\n") } else { in_words(value) };
    write!(io::stdout(), "{text}")
        .map_err(|source| Failure::System { what: "writing to stdout", source })
}

/// A line for each field. Of a list, a line for each member.
fn in_words(value: &Value) -> String {
    let mut text = String::new();
    let Value::Object(object) = value else { return format!("{value}\n") };
    for (name, value) in object {
        match value {
            Value::Array(members) if members.is_empty() => {
                let _ = writeln!(text, "{name}: none");
            }
            Value::Array(members) => {
                let _ = writeln!(text, "{name}:");
                for member in members {
                    let _ = writeln!(text, "  {}", in_a_line(member));
                }
            }
            Value::Null => {
                let _ = writeln!(text, "{name}: none");
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                let _ = writeln!(text, "{name}: {}", in_a_line(value));
            }
        }
    }
    text
}

/// Control characters of what users wrote are escaped: they would be the terminal's to obey.
fn in_a_line(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains(char::is_control) => text.clone(),
        Value::Object(object) => {
            let fields = object.iter().filter(|(_, value)| !value.is_null());
            let fields = fields.map(|(name, value)| format!("{name}={}", in_a_line(value)));
            fields.collect::<Vec<_>>().join(" ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_line_each_and_obey_no_terminal() {
        let value =
            json!({ "email": "a\u{1b}[2J", "sessions": [{ "edge": "e", "n": 1 }], "x": null });
        let words = in_words(&value);
        assert!(words.contains("\"a\\u001b[2J\""), "{words}");
        assert!(words.contains("sessions:\n  edge=e n=1\n"), "{words}");
        assert!(words.ends_with("x: none\n"), "{words}");
    }

    #[test]
    fn a_time_has_its_microseconds() {
        let at = Timestamp { seconds: 1_700_000_000, nanos: 7_000 };
        assert_eq!(time(Some(&at)), "2023-11-14T22:13:20.000007Z");
        assert_eq!(time(Some(&Timestamp { seconds: i64::MAX, nanos: 0 })), Value::Null);
    }
}
