//! An upload that was received, and the message that it becomes.

use std::sync::Arc;

use netrox_proto::{ids::UserId, time::timestamp, v1};

use super::{Attachments, draft::Draft};
use crate::{
    command::{NewAttachment, NewMessage, SentForm, parse},
    committer::Stored,
    error::Error,
};

/// Besides its content.
pub(super) struct Received {
    sender: UserId,
    receiver: UserId,
    file_name: String,
    body: String,
    form: Option<SentForm>,
}

impl Received {
    pub(super) fn parse(
        sender: UserId,
        file_name: String,
        finish: v1::UploadFinish,
        max_body_bytes: usize,
    ) -> Result<Self, Error> {
        let receiver = parse::user_id("receiver_id", &finish.receiver_id)?;
        let body = parse::body(finish.body, max_body_bytes, true)?;
        let form = finish.form.map(|form| SentForm::parse(&form, sender)).transpose()?;
        Ok(Self { sender, receiver, file_name, body, form })
    }
}

impl Attachments {
    /// Spares a file that no message could refer to. The committer checks again.
    pub(super) async fn check_users(&self, received: &Received) -> Result<Vec<v1::User>, Error> {
        let Received { sender, receiver, .. } = *received;
        if sender == receiver {
            return Err(Error::ReceiverIsSender);
        }
        let rows = self.store.find_users(&[sender, receiver]).await?;
        let find = |id| rows.iter().find(|row| row.id() == id);
        let sender = find(sender).ok_or(Error::UserUnknown)?;
        if sender.deleted {
            return Err(Error::UserDeleted);
        }
        let receiver = find(receiver).filter(|row| !row.deleted).ok_or(Error::ReceiverUnknown)?;
        Ok(vec![sender.clone().into(), receiver.clone().into()])
    }

    /// Makes the file durable, then the message that refers to it.
    pub(super) async fn finish(
        &self,
        mut draft: Draft,
        received: Received,
        users: Vec<v1::User>,
    ) -> Result<v1::UploadAttachmentResponse, Error> {
        let Received { sender, receiver, file_name, body, form } = received;
        let file = draft.finish().await?;
        let attachment = NewAttachment {
            path: draft.path().to_owned(),
            file_name,
            size: i64::try_from(file.size).map_err(|_| Error::Internal)?,
            content_type: file.content_type.to_owned(),
        };
        let mut message = v1::Message {
            sender_id: sender.to_string(),
            receiver_id: receiver.to_string(),
            body: body.clone(),
            attachment: Some(attachment.undispatched()),
            ..v1::Message::default()
        };
        let send = NewMessage {
            sender,
            receiver,
            body,
            client_ref: None,
            is_repetition: false,
            attachment: Some(attachment),
            form,
        };
        let stored = match draft.submit(send) {
            Ok(pending) => pending.answer().await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(Stored::Now(stored)) => {
                if let Some(claim) = &self.claim {
                    claim.name(stored.id, draft.path().to_owned()).await;
                }
                draft.keep();
                message.id = stored.id;
                message.thread_id = stored.thread_id;
                message.created = Some(timestamp(stored.created));
                message.updated = message.created;
            }
            // The file of this one goes.
            Ok(Stored::Before(first)) => message = Arc::unwrap_or_clone(first),
            Err(error) => {
                if matches!(error, Error::OutcomeUnknown) {
                    draft.keep();
                }
                return Err(error);
            }
        }
        Ok(v1::UploadAttachmentResponse { message: Some(message), users, ..Default::default() })
    }
}
