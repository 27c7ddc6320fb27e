//! A message as REST answers have it.
//!
//! It is written straight into the buffer: a history is little else, and key by key through a serializer
//! it takes twice as long.

use netrox_proto::{file_size, v1};
use serde::Serialize;
use serde_json::value::RawValue;

use super::User;
use crate::wire::v1::format::{MEDIA_PREFIX, RestTimestamp};

/// The sender and the receiver of messages, rendered once for all of them.
pub(crate) struct Participants(String);

impl Participants {
    pub(crate) fn new(sender: &v1::User, receiver: &v1::User) -> Result<Self, serde_json::Error> {
        let sender = serde_json::to_string(&User::from(sender))?;
        let receiver = serde_json::to_string(&User::from(receiver))?;
        Ok(Self(format!(r#","sender":{sender},"receiver":{receiver},"attached_file_size":"#)))
    }

    /// Appends a message of theirs.
    pub(super) fn write(
        &self,
        message: &v1::Message,
        json: &mut Vec<u8>,
    ) -> Result<(), serde_json::Error> {
        let attachment = message.attachment.as_ref();
        text(json, r#"{"id":"#);
        value(json, &message.id)?;
        text(json, &self.0);
        value(json, &file_size::text(attachment.map(|attachment| attachment.size)))?;
        text(json, r#","message":"#);
        value(json, &message.body)?;
        let created = RestTimestamp::from(message.created.as_ref());
        let updated = match &message.updated {
            updated if *updated == message.created => created,
            updated => updated.as_ref().into(),
        };
        text(json, r#","updated":""#);
        text(json, updated.as_str());
        text(json, r#"","created":""#);
        text(json, created.as_str());
        text(json, r#"","seen":"#);
        value(json, &message.seen)?;
        text(json, r#","deleted":"#);
        value(json, &message.deleted)?;
        match attachment {
            None => text(json, r#","attached_file":null,"attached_file_name":null,"thread":"#),
            Some(attachment) => {
                text(json, r#","attached_file":"#);
                value(json, &[MEDIA_PREFIX, &attachment.path].concat())?;
                text(json, r#","attached_file_name":"#);
                value(json, &attachment.file_name)?;
                text(json, r#","thread":"#);
            }
        }
        value(json, &message.thread_id)?;
        json.push(b'}');
        Ok(())
    }

    /// A message of theirs, to be part of something else.
    pub(crate) fn render(&self, message: &v1::Message) -> Result<Box<RawValue>, serde_json::Error> {
        let mut json = Vec::new();
        self.write(message, &mut json)?;
        serde_json::from_slice(&json)
    }
}

fn text(json: &mut Vec<u8>, text: &str) {
    json.extend_from_slice(text.as_bytes());
}

fn value(json: &mut Vec<u8>, value: &impl Serialize) -> Result<(), serde_json::Error> {
    serde_json::to_writer(json, value)
}
