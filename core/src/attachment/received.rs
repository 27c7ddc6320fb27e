//! An upload that was received, and the message that it becomes.

use std::sync::Arc;

use netrox_proto::{
    ids::{ClientRef, UserId},
    time::timestamp,
    v1,
};

use super::{Attachments, draft::Draft};
use crate::{
    command::{NewAttachment, NewMessage, SentForm, parse},
    committer::Stored,
    error::Error,
    media::name,
    store::message::Participant,
};

/// Besides its content.
pub(super) struct Received {
    sender: UserId,
    receiver: UserId,
    file_name: String,
    body: String,
    form: Option<SentForm>,
    reference: Option<Reference>,
    reply_to: Option<i64>,
    meta: Option<String>,
    dispatch: bool,
}

/// By which an upload is known when it is repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    pub(super) client_ref: ClientRef,
    /// The sender's own client chose it.
    pub(super) from_client: bool,
}

impl Reference {
    /// As its sender is told it.
    fn to_wire(self) -> Option<String> {
        self.from_client.then(|| self.client_ref.to_string())
    }
}

/// What a `start` announces.
pub(super) struct Start {
    pub(super) sender: UserId,
    pub(super) file_name: String,
    pub(super) reference: Option<Reference>,
    reply_to: Option<i64>,
    meta: Option<String>,
    dispatch: bool,
    /// The file has so many bytes at least.
    pub(super) min_size: u64,
}

impl TryFrom<v1::UploadStart> for Start {
    type Error = Error;

    fn try_from(start: v1::UploadStart) -> Result<Self, Error> {
        let sender = parse::user_id("sender_id", &start.sender_id)?;
        if start.file_name.is_empty() {
            return Err(Error::InvalidField { field: "file_name", problem: "empty" });
        }
        let client_ref = start.client_ref.as_deref().map(parse::client_ref).transpose()?;
        let from_client = start.from_client;
        let reply_to = start.reply_to_id.map(|id| parse::message_id("reply_to_id", id));
        Ok(Self {
            sender,
            file_name: name::clean(&start.file_name),
            reference: client_ref.map(|client_ref| Reference { client_ref, from_client }),
            reply_to: reply_to.transpose()?,
            meta: start.meta_json.map(parse::meta).transpose()?,
            dispatch: start.dispatch,
            min_size: u64::try_from(start.min_size).unwrap_or_default(),
        })
    }
}

impl Received {
    pub(super) fn parse(
        start: Start,
        finish: v1::UploadFinish,
        max_body_bytes: usize,
    ) -> Result<Self, Error> {
        let sender = start.sender;
        let receiver = parse::user_id("receiver_id", &finish.receiver_id)?;
        let body = parse::body(finish.body, max_body_bytes, true)?;
        let form = finish.form.map(|form| SentForm::parse(&form, sender)).transpose()?;
        let Start { file_name, reference, reply_to, meta, dispatch, .. } = start;
        // In a form they may come after the file.
        let reply_to_finish = finish.reply_to_id.map(|id| parse::message_id("reply_to_id", id));
        let (reply_to, meta) = (
            reply_to.or(reply_to_finish.transpose()?),
            meta.or(finish.meta_json.map(parse::meta).transpose()?),
        );
        Ok(Self { sender, receiver, file_name, body, form, reference, reply_to, meta, dispatch })
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
        let Received { sender, receiver, file_name, body, form, reference, .. } = received;
        let Received { reply_to, meta, dispatch, .. } = received;
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
            attachment: Some(Box::new(attachment.undispatched())),
            client_ref: reference.and_then(Reference::to_wire),
            reply_to_id: reply_to,
            meta_json: meta.clone(),
            ..v1::Message::default()
        };
        let send = NewMessage {
            client_ref: reference.map(|reference| reference.client_ref),
            ref_from_client: reference.is_some_and(|reference| reference.from_client),
            reply_to,
            meta,
            attachment: Some(attachment),
            dispatch,
            form,
            ..NewMessage::text(sender, receiver, body)
        };
        let stored = match draft.submit(send) {
            Ok(pending) => pending.answer().await,
            Err(error) => Err(error),
        };
        let mut repeated = false;
        match stored {
            Ok(Stored::Now(stored, rev)) => {
                if let Some(claim) = &self.claim {
                    claim.name(stored.id, draft.path().to_owned()).await;
                }
                draft.keep();
                message.id = stored.id;
                message.thread_id = stored.thread_id;
                message.created = Some(timestamp(stored.created));
                message.updated = message.created;
                if let (Some(attachment), true) = (&mut message.attachment, dispatch) {
                    attachment.dispatched = message.created;
                }
                message.rev = rev;
            }
            // The file of this one goes.
            Ok(Stored::Again(first)) => {
                message = self.newest(first.id).await?;
                repeated = true;
            }
            Ok(Stored::Before(first)) => message = Arc::unwrap_or_clone(first),
            Err(error) => {
                if matches!(error, Error::OutcomeUnknown) {
                    draft.keep();
                }
                return Err(error);
            }
        }
        Ok(v1::UploadAttachmentResponse { message: Some(message), users, repeated })
    }

    /// A message that is stored, as its sender sees it now. Who cannot be told does not know that it is.
    async fn newest(&self, id: i64) -> Result<v1::Message, Error> {
        let found = self.store.find_message(id).await.map_err(|_| Error::OutcomeUnknown)?;
        Ok(found.ok_or(Error::OutcomeUnknown)?.into_wire(Participant::Sender))
    }

    /// The answer to an upload that was stored before, which needs nothing more of it.
    pub(super) async fn answered_before(
        &self,
        start: &Start,
    ) -> Result<Option<v1::UploadAttachmentResponse>, Error> {
        let Some(Reference { client_ref, .. }) = start.reference else { return Ok(None) };
        let Some(row) = self.store.find_send(start.sender, client_ref).await? else {
            return Ok(None);
        };
        let ids = [row.sender_id(), row.receiver_id()];
        let rows = self.store.find_users(&ids).await?;
        let find = |id| rows.iter().find(|row| row.id() == id).cloned();
        if find(start.sender).is_none_or(|sender| sender.deleted) {
            return Err(Error::UserDeleted);
        }
        let users = ids.into_iter().filter_map(find).map(Into::into).collect();
        let message = Some(row.into_wire(Participant::Sender));
        Ok(Some(v1::UploadAttachmentResponse { message, users, repeated: true }))
    }
}
