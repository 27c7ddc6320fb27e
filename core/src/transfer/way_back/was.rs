//! A message as the original has it.

use sqlx::FromRow;

use super::known::digest;
use crate::original::{FileColumns, OriginalFile, OriginalMessage};

#[derive(Debug, Clone, FromRow)]
pub(super) struct Was {
    pub(super) id: i64,
    /// False of one whose row is not understood.
    pub(super) is_read: bool,
    pub(super) thread_id: i64,
    /// As the original calls them.
    pub(super) sender: String,
    pub(super) receiver: String,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) seen: bool,
    pub(super) deleted: bool,
    /// Of its text.
    pub(super) digest: Vec<u8>,
    /// Of its file, as its columns have it.
    pub(super) path: Option<String>,
    pub(super) name: Option<String>,
    pub(super) size_text: Option<String>,
}

impl Was {
    pub(super) fn of(row: OriginalMessage) -> Self {
        let FileColumns { path, name, size_text } = row.columns;
        Self {
            id: row.id,
            is_read: true,
            thread_id: row.thread_id,
            sender: row.sender_id.to_string(),
            receiver: row.receiver_id.to_string(),
            created: row.created,
            updated: row.updated,
            seen: row.seen,
            deleted: row.deleted,
            digest: digest(&row.message),
            path,
            name,
            size_text,
        }
    }

    pub(super) fn unread(id: i64) -> Self {
        Self {
            id,
            is_read: false,
            thread_id: 0,
            sender: String::new(),
            receiver: String::new(),
            created: 0,
            updated: 0,
            seen: false,
            deleted: false,
            digest: Vec::new(),
            path: None,
            name: None,
            size_text: None,
        }
    }

    pub(super) fn file(&self) -> Option<OriginalFile> {
        let (path, name, size_text) =
            (self.path.clone(), self.name.clone(), self.size_text.clone());
        FileColumns { path, name, size_text }.file()
    }
}
