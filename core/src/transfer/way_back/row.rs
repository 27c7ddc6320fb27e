//! Rows of a fixture, as `manage.py loaddata` takes them: by the names of models and fields that the mapping has.

use std::collections::BTreeMap;

use netrox_proto::file_size;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::was::Was;
use crate::{
    lines::{MessageLine, Moment, ThreadLine, UserLine},
    original::{
        Mapping, OriginalUserIds,
        mapping::{MessageTable, field},
    },
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
    put_file(&mut row, names, line, was)?;
    row.put(&names.seen, seen || was.is_some_and(|was| was.seen))?;
    row.put(&names.deleted, line.deleted)?;
    // The later of two that are one is that which was not cut off.
    let created = was.map_or(line.created, |was| line.created.max(Moment(was.created)));
    row.put(&names.created, created)?;
    let updated = updated(line);
    row.put(&names.updated, was.map_or(updated, |was| updated.max(Moment(was.updated))))?;
    Ok(row)
}

/// A field that is left out gets the default of its model, also where it was something: null or the empty text, as the model
/// has it for no file.
fn put_file<'a>(
    row: &mut Row<'a>,
    names: &'a MessageTable,
    line: &MessageLine,
    was: Option<&Was>,
) -> serde_json::Result<()> {
    let size_text = match was {
        Some(was) if !line.deleted || was.file().is_none() => {
            row.put(&names.attached_file, &was.path)?;
            row.put(&names.attached_file_name, &was.name)?;
            was.size_text.clone()
        }
        Some(_) | None => {
            let file = line.attachment.as_ref().filter(|_| was.is_none() && !line.deleted);
            if let Some(file) = file {
                row.put(&names.attached_file, &file.path)?;
            }
            if let Some(name) = file.and_then(|file| file.file_name.as_ref()) {
                row.put(&names.attached_file_name, name)?;
            }
            file.map(|file| file_size::text(Some(file.size)).into_owned())
        }
    };
    if let Some(name) = &names.attached_file_size {
        row.put(name, size_text.unwrap_or_else(|| file_size::text(None).into_owned()))?;
    }
    Ok(())
}

/// When what both may see was written.
pub(super) fn updated(line: &MessageLine) -> Moment {
    match &line.receiver_sees {
        Some(earlier) if !line.deleted => earlier.updated,
        Some(_) | None => line.updated.unwrap_or(line.created),
    }
}

/// What both may see: the sender's edit is hidden from a receiver who has blocked them.
pub(super) fn body(line: &MessageLine) -> &str {
    match &line.receiver_sees {
        _ if line.deleted => "",
        Some(earlier) => &earlier.body,
        None => &line.body,
    }
}

#[cfg(test)]
mod tests;
