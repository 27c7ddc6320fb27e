//! A message as one of its two users sees it.

use netrox_proto::{ids::UserId, v1};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::wire::v1::format::{MEDIA_PREFIX, RestTimestamp};

#[derive(Serialize)]
pub(crate) struct MessageObject<'a> {
    id: i64,
    thread: i64,
    sender_id: &'a str,
    receiver_id: &'a str,
    message: &'a str,
    created: RestTimestamp,
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
    size: i64,
    content_type: &'a str,
}

impl<'a> MessageObject<'a> {
    pub(crate) fn of(message: &'a v1::Message, viewer: UserId) -> Self {
        let attachment = message.attachment.as_ref();
        let is_own = message.sender_id.parse() == Ok(viewer);
        Self {
            id: message.id,
            thread: message.thread_id,
            sender_id: &message.sender_id,
            receiver_id: &message.receiver_id,
            message: &message.body,
            created: message.created.as_ref().into(),
            updated: message.updated.as_ref().into(),
            deleted: message.deleted,
            hidden: message.hidden,
            reply_to: message.reply_to_id,
            meta: message.meta_json.as_deref().and_then(|meta| serde_json::from_str(meta).ok()),
            dispatched: attachment
                .and_then(|attachment| attachment.dispatched.as_ref())
                .map(|dispatched| Some(dispatched).into()),
            attachment: attachment.map(|attachment| AttachmentObject {
                url: format!("{MEDIA_PREFIX}{}", attachment.path),
                name: &attachment.file_name,
                size: attachment.size,
                content_type: &attachment.content_type,
            }),
            client_ref: message.client_ref.as_deref().filter(|_| is_own),
            rev: message.rev,
        }
    }
}
