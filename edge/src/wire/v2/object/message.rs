//! A message, as one of its two users sees it.

use netrox_proto::{ids::UserId, v1};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::wire::v1::{MEDIA_PREFIX, RestTimestamp};

#[derive(Serialize)]
pub(crate) struct MessageObject<'a> {
    id: i64,
    thread: i64,
    sender_id: &'a str,
    receiver_id: &'a str,
    message: &'a str,
    created: RestTimestamp,
    /// The last edit, or deletion for everyone.
    updated: RestTimestamp,
    deleted: bool,
    hidden: bool,
    reply_to: Option<i64>,
    meta: Option<&'a RawValue>,
    dispatched: Option<RestTimestamp>,
    attachment: Option<AttachmentObject<'a>>,
    client_ref: Option<&'a str>,
    rev: u64,
}

#[derive(Serialize)]
struct AttachmentObject<'a> {
    url: String,
    name: &'a str,
    /// In bytes.
    size: i64,
    content_type: &'a str,
}

impl<'a> MessageObject<'a> {
    pub(crate) fn of(message: &'a v1::Message, viewer: UserId) -> Self {
        // Of these nothing is told but that they were there, whatever a core sends.
        let shown = (!message.deleted && !message.hidden).then_some(message);
        let attachment = shown.and_then(|message| message.attachment.as_deref());
        // The core takes only JSON; anything else must not break the whole answer.
        let meta = shown.and_then(|message| message.meta_json.as_deref());
        let meta = meta.and_then(|text| serde_json::from_str(text).ok());
        let is_sender = message.sender_id.parse() == Ok(viewer);
        Self {
            id: message.id,
            thread: message.thread_id,
            sender_id: &message.sender_id,
            receiver_id: &message.receiver_id,
            message: shown.map_or("", |message| &message.body),
            created: message.created.as_ref().into(),
            updated: message.updated.as_ref().into(),
            deleted: message.deleted,
            hidden: message.hidden,
            reply_to: shown.and_then(|message| message.reply_to_id),
            meta,
            dispatched: attachment
                .and_then(|attachment| attachment.dispatched.as_ref())
                .map(|dispatched| Some(dispatched).into()),
            attachment: attachment.map(AttachmentObject::of),
            client_ref: message.client_ref.as_deref().filter(|_| is_sender),
            rev: message.rev,
        }
    }
}

impl<'a> AttachmentObject<'a> {
    fn of(attachment: &'a v1::Attachment) -> Self {
        Self {
            url: [MEDIA_PREFIX, &attachment.path].concat(),
            name: &attachment.file_name,
            size: attachment.size,
            content_type: &attachment.content_type,
        }
    }
}
