//! The lines of an export, which an import takes: JSON, an object a line (`docs/JSON-LINES.md`).

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Of what an export says of itself. Another one is another format.
pub const LINES_FORMAT: u32 = 1;
/// Beside the files of an export: its lines, and what it says of itself, which comes last.
pub const LINES_FILE: &str = "data.jsonl";
pub const MANIFEST_FILE: &str = "export.json";

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    User,
    Thread,
    Message,
    Mark,
    Block,
    Revocation,
    /// Of one person's export alone.
    Session,
}

impl LineKind {
    /// As lines have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Thread => "thread",
            Self::Message => "message",
            Self::Mark => "mark",
            Self::Block => "block",
            Self::Revocation => "revocation",
            Self::Session => "session",
        }
    }
}

/// An instant in whole microseconds since the epoch; as text RFC 3339 in UTC with six digits of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        write!(f, "{:.6}", Timestamp::from_microsecond(self.0).unwrap_or(end))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: Timestamp = text.parse().map_err(|_| {
            de::Error::custom(format_args!("{text:?} is no time as 2026-01-31T09:30:00.000000Z"))
        })?;
        Ok(Self(at.as_microsecond()))
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Each has the type of its line in front.
macro_rules! line {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            #[serde(rename = "type")]
            pub kind: LineKind,
            $($(#[$field_doc])* pub $field: $type,)+
        }
    };
}

line! {
    /// A user of the directory, also one who was deleted.
    UserLine {
        id: Uuid,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        email: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<Box<RawValue>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_id: Option<ExternalIdLine>,
        #[serde(default, skip_serializing_if = "is_false")]
        deleted: bool,
        /// When the entry was changed last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        updated: Option<Moment>,
        /// The `iat` of the token that was believed last, and when a service changed the entry last: seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claims_issued: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upserted: Option<i64>,
        /// Whether the user is online to nobody.
        #[serde(default, skip_serializing_if = "is_false")]
        hides_presence: bool,
        /// The minute in which the user was last seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_seen: Option<Moment>,
    }
}

/// What an issuer calls a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalIdLine {
    #[serde(default)]
    pub issuer: String,
    pub subject: String,
}

line! {
    /// A conversation of two users.
    ThreadLine {
        id: i64,
        /// Who wrote first.
        user_one: Uuid,
        user_two: Uuid,
        created: Moment,
        /// How it began for `user_two`, if all that `user_one` had sent before was swallowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begun_for_two: Option<BegunLine>,
    }
}

/// How a conversation began for one of its users.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BegunLine {
    /// Who wrote first then.
    pub user_one: Uuid,
    pub created: Moment,
}

/// What a message was for its receiver before an edit that they were not shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierLine {
    #[serde(default)]
    pub body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Box<RawValue>>,
    pub updated: Moment,
}

line! {
    MessageLine {
        id: i64,
        thread_id: i64,
        sender_id: Uuid,
        receiver_id: Uuid,
        created: Moment,
        /// If it was edited or deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        updated: Option<Moment>,
        #[serde(default)]
        body: String,
        #[serde(default, skip_serializing_if = "is_false")]
        seen: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        deleted: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        hidden_for_sender: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        hidden_for_receiver: bool,
        /// The receiver blocked the sender: it is the sender's alone.
        #[serde(default, skip_serializing_if = "is_false")]
        swallowed: bool,
        /// Retention has removed it. It tells how far the conversation has come, and nothing else.
        #[serde(default, skip_serializing_if = "is_false")]
        removed: bool,
        /// What the receiver goes on to see, if the sender edited it while blocked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receiver_sees: Option<EarlierLine>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to_id: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meta: Option<Box<RawValue>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ref: Option<Uuid>,
        /// The sender's own client chose the reference.
        #[serde(default, skip_serializing_if = "is_false")]
        ref_from_client: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attachment: Option<AttachmentLine>,
    }
}

/// A file. Its bytes lie beside the lines, under its path.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentLine {
    pub path: String,
    /// None of a deleted message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    pub size: i64,
    pub content_type: String,
    /// When it was shown to the receiver, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatched: Option<Moment>,
}

line! {
    /// How far a user has got in a conversation.
    MarkLine {
        thread_id: i64,
        user_id: Uuid,
        seen_id: i64,
        delivered_id: i64,
        /// What the other one is shown of it, if a block has held that up: both, or none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shown_seen_id: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shown_delivered_id: Option<i64>,
    }
}

line! {
    /// A user who blocks another.
    BlockLine {
        user_id: Uuid,
        peer_id: Uuid,
        created: Moment,
    }
}

line! {
    /// Access tokens that count no more: of a user, one token by its digest, or of all users.
    RevocationLine {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<Uuid>,
        /// 32 hexadecimal digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// Those of that second and before, since the epoch; of one token 0.
        issued_until: i64,
        /// Seconds; for ever if it is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<i64>,
    }
}

line! {
    /// A WebSocket that was open.
    SessionLine {
        session_id: String,
        generation: i32,
        edge: String,
        client_address: String,
        opened_at: Option<Moment>,
        token_expires_at: Option<Moment>,
    }
}

/// JSON as it stands, in one line: its line ends can only be between its tokens.
pub fn raw_line(text: String) -> Option<Box<RawValue>> {
    let text = if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text };
    RawValue::from_string(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_its_text() {
        for micros in
            [0, 1, 1_718_623_701_902_531, -62_135_596_800_000_000, 253_402_207_199_999_999]
        {
            let text = serde_json::to_string(&Moment(micros)).expect("text");
            assert!(text.ends_with("Z\"") && text.contains('.'), "{text}");
            assert_eq!(serde_json::from_str::<Moment>(&text).expect(&text), Moment(micros));
        }
        let at: Moment = serde_json::from_str("\"2026-01-31T11:30:00+02:00\"").expect("a time");
        assert_eq!(at.to_string(), "2026-01-31T09:30:00.000000Z");
        for wrong in ["\"2026-01-31\"", "\"2026-01-31T11:30:00\"", "0", "\"\""] {
            assert!(serde_json::from_str::<Moment>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_known_of_a_line_is_refused_by_name() {
        let line = "{\"type\":\"thread\",\"id\":1,\"user_one\":\"96bf0d3f-720d-4620-8dee-0f59f997cb51\",\
                    \"user_two\":\"96bf0d3f-720d-4620-8dee-0f59f997cb52\",\
                    \"created\":\"2026-01-31T09:30:00Z\",\"colour\":1}";
        let error = serde_json::from_str::<ThreadLine>(line).expect_err("not known").to_string();
        assert!(error.contains("colour"), "{error}");
    }

    #[test]
    fn json_with_line_ends_stays_a_line() {
        let raw = raw_line("{\n \"a\\n\": 10000000000000000000000\r\n}".to_owned()).expect("JSON");
        assert_eq!(raw.get(), "{  \"a\\n\": 10000000000000000000000  }");
    }
}
