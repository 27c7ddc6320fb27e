//! Whether a message could be one of ours.

use netrox_proto::attachment_path;

use super::super::check_time;
use crate::{
    command::parse,
    lines::{AttachmentLine, EarlierLine, MessageLine},
};

/// No core lets one be as long.
const MAX_BODY_BYTES: usize = 1024 * 1024;
const MAX_NAME_BYTES: usize = 255;
/// Sums of sizes stay numbers.
const MAX_FILE_BYTES: i64 = 1 << 40;

/// What is to be said of a message alone.
pub(super) fn check(line: &MessageLine) -> Result<(), String> {
    let dispatched = line.attachment.as_ref().and_then(|file| file.dispatched);
    check_time("created", Some(line.created))?;
    check_time("updated", line.updated)?;
    check_time("dispatched", dispatched)?;
    // Other servers may have taken one of nothing at all.
    parse::body(line.body.clone(), MAX_BODY_BYTES, true).map_err(|error| error.to_string())?;
    if line.deleted && !(line.body.is_empty() && line.meta.is_none() && line.reply_to_id.is_none())
    {
        return Err("a message that was deleted has no body, meta or reply_to_id".to_owned());
    }
    let has_more = line.client_ref.is_some() || line.attachment.is_some();
    if line.removed && (!line.deleted || !line.hidden_for_sender || has_more) {
        return Err(
            "a message that was removed is deleted, hidden for its sender, and has no client_ref \
                    or attachment"
                .to_owned(),
        );
    }
    if let Some(meta) = &line.meta {
        parse::meta(meta.get().to_owned()).map_err(|error| error.to_string())?;
    }
    if line.reply_to_id.is_some_and(|id| !(1..line.id).contains(&id)) {
        return Err("reply_to_id is no message before it".to_owned());
    }
    if let Some(earlier) = &line.receiver_sees {
        check_earlier(earlier, line)?;
    }
    line.attachment.as_ref().map_or(Ok(()), |file| check_file(file, line.deleted))
}

fn check_earlier(earlier: &EarlierLine, line: &MessageLine) -> Result<(), String> {
    if line.deleted || line.swallowed {
        return Err("receiver_sees is of a message that its receiver may see".to_owned());
    }
    check_time("updated", Some(earlier.updated))?;
    parse::body(earlier.body.clone(), MAX_BODY_BYTES, line.attachment.is_some())
        .map_err(|error| error.to_string())?;
    let meta = earlier.meta.as_ref().map(|meta| parse::meta(meta.get().to_owned()));
    meta.transpose().map(drop).map_err(|error| error.to_string())
}

fn check_file(file: &AttachmentLine, is_deleted: bool) -> Result<(), String> {
    if !attachment_path::is_valid(&file.path) {
        return Err(format!("{:?} is no path of a file", file.path));
    }
    if !(0..=MAX_FILE_BYTES).contains(&file.size) {
        return Err(format!("a file has from 0 to {MAX_FILE_BYTES} bytes"));
    }
    let is_text = |text: &str| text.len() <= MAX_NAME_BYTES && !text.contains(char::is_control);
    let name = file.file_name.as_deref();
    let has_name = name.is_some_and(|name| !name.is_empty() && is_text(name));
    if !(has_name || is_deleted && name.is_none()) || !is_text(&file.content_type) {
        return Err("a file has a name and a type of at most 255 bytes, without control \
                    characters; that of a deleted message has no name"
            .to_owned());
    }
    Ok(())
}
