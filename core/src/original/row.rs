//! Rows of the original, as both engines give them and as they are used.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::value::{self, OriginalUserId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OriginalUser {
    pub(crate) id: OriginalUserId,
    pub(crate) email: Option<String>,
    /// JSON.
    pub(crate) profile: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OriginalThread {
    pub(crate) id: i64,
    pub(crate) user_one: OriginalUserId,
    pub(crate) user_two: OriginalUserId,
    pub(crate) created: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OriginalMessage {
    pub(crate) id: i64,
    pub(crate) thread_id: i64,
    pub(crate) sender_id: OriginalUserId,
    pub(crate) receiver_id: OriginalUserId,
    pub(crate) message: String,
    pub(crate) file: Option<OriginalFile>,
    pub(crate) seen: bool,
    pub(crate) deleted: bool,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    /// Rows that wait to be taken go without.
    #[serde(skip)]
    pub(crate) columns: FileColumns,
}

/// What its row has of a file: null, the empty text or another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileColumns {
    pub(crate) path: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) size_text: Option<String>,
}

impl FileColumns {
    pub(crate) fn file(&self) -> Option<OriginalFile> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let path = said(&self.path)?;
        Some(OriginalFile { path, name: said(&self.name), size_text: said(&self.size_text) })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OriginalFile {
    /// Below `MEDIA_ROOT`.
    pub(crate) path: String,
    pub(crate) name: Option<String>,
    /// As answers have it: `86.73KB`.
    pub(crate) size_text: Option<String>,
}

/// One that is not as any of the original's could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRow {
    /// `user`, `thread` or `message`.
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) reason: String,
}

#[derive(FromRow)]
pub(super) struct RawUser {
    pub(super) key: String,
    email: Option<String>,
    profile: Option<String>,
}

impl RawUser {
    pub(super) fn user(self, profile_is_json: bool) -> Result<OriginalUser, BadRow> {
        match self.key.parse() {
            Ok(id) => Ok(OriginalUser {
                id,
                email: self.email.filter(|email| !email.is_empty()),
                profile: self.profile.and_then(|text| value::profile(text, profile_is_json)),
            }),
            Err(reason) => Err(BadRow { kind: "user", id: self.key, reason }),
        }
    }
}

#[derive(FromRow)]
pub(super) struct RawThread {
    pub(super) id: i64,
    user_one: Option<String>,
    user_two: Option<String>,
    created: Option<String>,
}

impl RawThread {
    pub(super) fn thread(self) -> Result<OriginalThread, BadRow> {
        let read = || -> Result<_, String> {
            Ok(OriginalThread {
                id: self.id,
                user_one: user("user_one", self.user_one.as_deref())?,
                user_two: user("user_two", self.user_two.as_deref())?,
                created: at("created", self.created.as_deref())?,
            })
        };
        read().map_err(|reason| BadRow { kind: "thread", id: self.id.to_string(), reason })
    }
}

#[derive(FromRow)]
pub(super) struct RawMessage {
    pub(super) id: i64,
    thread: Option<i64>,
    sender: Option<String>,
    receiver: Option<String>,
    message: Option<String>,
    attached_file: Option<String>,
    attached_file_name: Option<String>,
    attached_file_size: Option<String>,
    seen: bool,
    deleted: bool,
    created: Option<String>,
    updated: Option<String>,
}

impl RawMessage {
    pub(super) fn message(self) -> Result<OriginalMessage, BadRow> {
        let id = self.id;
        self.read().map_err(|reason| BadRow { kind: "message", id: id.to_string(), reason })
    }

    fn read(self) -> Result<OriginalMessage, String> {
        let columns = FileColumns {
            path: self.attached_file,
            name: self.attached_file_name,
            size_text: self.attached_file_size,
        };
        let created = at("created", self.created.as_deref())?;
        Ok(OriginalMessage {
            id: self.id,
            thread_id: self.thread.ok_or("it has no thread")?,
            sender_id: user("sender", self.sender.as_deref())?,
            receiver_id: user("receiver", self.receiver.as_deref())?,
            message: self.message.unwrap_or_default(),
            file: columns.file(),
            seen: self.seen,
            deleted: self.deleted,
            created,
            updated: match self.updated {
                None => created,
                Some(text) => at("updated", Some(&text))?,
            },
            columns,
        })
    }
}

fn user(field: &str, text: Option<&str>) -> Result<OriginalUserId, String> {
    let text = text.ok_or_else(|| format!("it has no {field}"))?;
    text.parse().map_err(|reason| format!("{field}: {reason}"))
}

fn at(field: &str, text: Option<&str>) -> Result<i64, String> {
    let text = text.ok_or_else(|| format!("it has no {field}"))?;
    value::micros(text).map_err(|reason| format!("{field}: {reason}"))
}
