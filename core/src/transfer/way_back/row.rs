//! Rows of a fixture, as `manage.py loaddata` takes them: by the names of models and fields that the mapping has.

use std::collections::BTreeMap;

use netrox_proto::file_size;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::known::{Was, digest};
use crate::{
    lines::{MessageLine, ThreadLine, UserLine},
    original::{Mapping, OriginalFile, OriginalUserIds, mapping::field},
};

/// Who has no email here may have none of anybody else's there (RFC 2606).
const NO_EMAIL: &str = "user.invalid";

/// How the original's ids of users are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct UserKey<'a> {
    pub(super) kind: OriginalUserIds,
    pub(super) id: &'a str,
}

impl Serialize for UserKey<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.kind, self.id.parse::<i64>()) {
            (OriginalUserIds::Numbers, Ok(number)) => serializer.serialize_i64(number),
            (OriginalUserIds::Numbers, Err(_)) | (OriginalUserIds::Uuids, _) => {
                serializer.serialize_str(self.id)
            }
        }
    }
}

#[derive(Serialize)]
pub(super) struct Row<'a> {
    model: &'a str,
    pk: Box<RawValue>,
    fields: BTreeMap<&'a str, Box<RawValue>>,
}

impl<'a> Row<'a> {
    fn new(model: &'a str, pk: impl Serialize) -> serde_json::Result<Self> {
        Ok(Self { model, pk: to_raw_value(&pk)?, fields: BTreeMap::new() })
    }

    fn put(&mut self, name: &'a str, value: impl Serialize) -> serde_json::Result<()> {
        self.fields.insert(name, to_raw_value(&value)?);
        Ok(())
    }
}

/// Which columns of users the original makes use of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct UserColumns {
    pub(super) email: bool,
    pub(super) profile: bool,
}

pub(super) fn user<'a>(
    mapping: &'a Mapping,
    columns: UserColumns,
    key: UserKey<'_>,
    line: &UserLine,
) -> serde_json::Result<Row<'a>> {
    let names = &mapping.users;
    let mut row = Row::new(&names.model, key)?;
    if let Some(name) = names.email.as_deref().filter(|_| columns.email) {
        match line.email.is_empty() {
            true => row.put(name, format!("{}@{NO_EMAIL}", key.id))?,
            false => row.put(name, &line.email)?,
        }
    }
    if let Some(name) = names.profile.as_deref().filter(|_| columns.profile) {
        row.put(name, &line.profile)?;
    }
    Ok(row)
}

/// `one` and `two`: the keys of its users.
pub(super) fn thread<'a>(
    mapping: &'a Mapping,
    line: &ThreadLine,
    [one, two]: [UserKey<'_>; 2],
) -> serde_json::Result<Row<'a>> {
    let names = &mapping.threads;
    let mut row = Row::new(&names.model, line.id)?;
    row.put(field(&names.user_one), one)?;
    row.put(field(&names.user_two), two)?;
    row.put(&names.created, line.created)?;
    Ok(row)
}

/// All fields: `loaddata` writes a row as a whole. What the original has of its file stays as it is there.
pub(super) fn message<'a>(
    mapping: &'a Mapping,
    line: &MessageLine,
    was: Option<&Was>,
    [sender, receiver]: [UserKey<'_>; 2],
    seen: bool,
) -> serde_json::Result<Row<'a>> {
    let names = &mapping.messages;
    let mut row = Row::new(&names.model, line.id)?;
    row.put(field(&names.thread), line.thread_id)?;
    row.put(field(&names.sender), sender)?;
    row.put(field(&names.receiver), receiver)?;
    row.put(&names.message, body(line))?;
    let file = file(line, was);
    let path = file.as_ref().map(|file| &file.path);
    row.put(&names.attached_file, path)?;
    row.put(&names.attached_file_name, file.as_ref().and_then(|file| file.name.as_ref()))?;
    if let Some(name) = &names.attached_file_size {
        let told = file.as_ref().and_then(|file| file.size_text.clone());
        row.put(name, told.unwrap_or_else(|| file_size::text(None).into_owned()))?;
    }
    row.put(&names.seen, seen || was.is_some_and(|was| was.seen))?;
    row.put(&names.deleted, line.deleted)?;
    row.put(&names.created, line.created)?;
    row.put(&names.updated, line.updated.unwrap_or(line.created))?;
    Ok(row)
}

/// What both may see: the sender's edit is hidden from a receiver who has blocked them.
pub(super) fn body(line: &MessageLine) -> &str {
    match &line.receiver_sees {
        _ if line.deleted => "",
        Some(earlier) => &earlier.body,
        None => &line.body,
    }
}

fn file(line: &MessageLine, was: Option<&Was>) -> Option<OriginalFile> {
    if line.deleted {
        return None;
    }
    if let Some(was) = was {
        return was.file();
    }
    let attachment = line.attachment.as_ref()?;
    Some(OriginalFile {
        path: attachment.path.clone(),
        name: attachment.file_name.clone(),
        size_text: Some(file_size::text(Some(attachment.size)).into_owned()),
    })
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The original has it so already.
    Same,
    New,
    Changed,
    /// Of the sender alone, whom the receiver has blocked: the original has nothing of the kind.
    Swallowed,
    /// Retention has removed it. What the original has stays there.
    Removed,
    /// The original's row is not understood.
    Unread,
}

impl Fate {
    pub(super) fn of(line: &MessageLine, was: Option<&Was>, seen: bool) -> Self {
        match was {
            _ if line.removed => Self::Removed,
            None if line.swallowed => Self::Swallowed,
            None => Self::New,
            Some(was) if !was.is_read => Self::Unread,
            // Its text is there alone.
            Some(was) if was.deleted => Self::Same,
            Some(was) => {
                let is_news = line.deleted || seen && !was.seen || digest(body(line)) != was.digest;
                if is_news { Self::Changed } else { Self::Same }
            }
        }
    }
}

#[cfg(test)]
mod tests;
