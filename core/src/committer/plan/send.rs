//! A message that is sent.

use std::sync::Arc;

use netrox_proto::{ids::ClientRef, time::timestamp, v1};

use super::{Activity, Fate, Plan, next_id};
use crate::{
    change::Subject,
    command::NewMessage,
    committer::{
        answer::Stored,
        write::{ChatWrite, Verb, Write},
    },
    error::Error,
    store::{
        batch::{BatchQuery, FormRow, NewMessageRow, RefusalRow, StoredMessage, UserState},
        user::UserKey,
    },
};

impl Verb for NewMessage {
    type Answer = Stored;

    fn into_write(self) -> Write {
        Write::Chat(ChatWrite::Message(self))
    }
}

pub(super) fn ask(message: &NewMessage, query: &mut BatchQuery) {
    query.users.extend([message.sender, message.receiver]);
    query.pairs.push((message.sender, message.receiver));
    query.new_messages += 1;
    if let Some(client_ref) = message.client_ref {
        query.client_refs.push((message.sender, client_ref));
        if message.is_repetition && !message.ref_from_client {
            query.repetitions.push((message.sender, client_ref));
        }
    }
    query.reply_targets.extend(message.reply_to);
    query.boundaries.extend(message.form.map(|form| form.boundary));
}

impl<'a> Plan<'a> {
    pub(super) fn send(&mut self, message: &'a NewMessage) -> Result<Stored, Error> {
        let sender = self.user(message.sender).ok_or(Error::UserUnknown)?;
        if let Some(client_ref) = message.client_ref {
            let reference = (sender.key, client_ref);
            if let Some(stored) = self.loaded.client_refs.get(&reference) {
                return Ok(Stored::Again(*stored));
            }
            if self.loaded.refused.contains(&reference) {
                return Err(Error::Overtaken);
            }
        }
        if let Some(form) = &message.form
            && let Some(message) = self.loaded.forms.find(form, self.now)
        {
            return Ok(Stored::Before(message));
        }
        let allowed = self.receiver(sender, message).and_then(|receiver| {
            self.check_quotas(sender, receiver, message)?;
            Ok(receiver)
        });
        let receiver = match allowed {
            Ok(receiver) => receiver,
            Err(error) => {
                self.refuse(sender, message);
                return Err(error);
            }
        };

        let id = next_id(&mut self.loaded.message_ids)?;
        let fate = if self.blocks(receiver.key, sender.key) {
            Fate::Swallowed
        } else if message.attachment.is_none() || message.dispatch {
            Fate::Shown
        } else {
            Fate::HeldBack
        };
        let Activity { thread_id, at: created, continues } =
            self.thread_activity(sender.key, receiver.key, id, fate)?;
        let sender_place = self.next_place(sender);
        let receiver_place = (fate == Fate::Shown).then(|| self.next_place(receiver));
        let dispatched = (message.attachment.is_some() && message.dispatch).then_some(created);
        let start = self.rows.bodies.len();
        self.rows.bodies.extend_from_slice(message.body.as_bytes());
        self.rows.messages.push(NewMessageRow {
            thread_id,
            id,
            sender: sender.key,
            receiver: receiver.key,
            body: start..self.rows.bodies.len(),
            created,
            sender_seq: sender_place.seq(),
            receiver_seq: receiver_place.map(|place| place.seq()),
            client_ref: message.client_ref,
            ref_from_client: message.ref_from_client,
            reply_to: message.reply_to,
            meta: message.meta.as_deref(),
            continues,
            attachment: message.attachment.as_ref(),
            dispatched,
        });
        if let Some(file) = &message.attachment {
            self.count_file(sender.key, file.size);
        }
        let stored = StoredMessage { id, thread_id, created };
        if let Some(client_ref) = message.client_ref {
            self.loaded.client_refs.insert((sender.key, client_ref), stored);
        }
        let on_wire = Arc::new(v1::Message {
            id,
            thread_id,
            sender_id: message.sender.to_string(),
            receiver_id: message.receiver.to_string(),
            body: message.body.clone(),
            created: Some(timestamp(created)),
            updated: Some(timestamp(created)),
            seen: false,
            deleted: false,
            attachment: message.attachment.as_ref().map(|file| {
                let dispatched = dispatched.map(timestamp);
                Box::new(v1::Attachment { dispatched, ..file.undispatched() })
            }),
            client_ref: message
                .client_ref
                .filter(|_| message.ref_from_client)
                .map(|client_ref| client_ref.to_string()),
            reply_to_id: message.reply_to,
            meta_json: message.meta.clone(),
            hidden: false,
            rev: 0,
        });
        if let Some(form) = message.form {
            let row = FormRow { form, message_id: Some(id), sent: self.now };
            self.rows.forms.extend(self.loaded.forms.keep(row, &on_wire));
        }
        self.tell(message.sender, sender_place, None, Subject::Sent(Arc::clone(&on_wire)));
        if let Some(place) = receiver_place {
            self.tell(message.receiver, place, None, Subject::Received(on_wire));
        }
        Ok(Stored::Now(stored, sender_place.seq()))
    }

    /// To whom it is sent, if it may be.
    fn receiver(&self, sender: UserState, message: &NewMessage) -> Result<UserState, Error> {
        if sender.deleted {
            return Err(Error::UserDeleted);
        }
        if message.is_repetition && self.is_overtaken(sender.key, message) {
            return Err(Error::Overtaken);
        }
        if message.sender == message.receiver {
            return Err(Error::ReceiverIsSender);
        }
        let receiver = self.user(message.receiver).filter(|receiver| !receiver.deleted);
        let receiver = receiver.ok_or(Error::ReceiverUnknown)?;
        let Some(target) = message.reply_to else { return Ok(receiver) };
        let target = self.loaded.reply_targets.get(&target);
        let is_visible = target.is_some_and(|it| it.is_visible_between(sender.key, receiver.key));
        if is_visible { Ok(receiver) } else { Err(Error::MessageNotFound) }
    }

    /// Whether a later message of the sender's is stored, or will be with this batch.
    fn is_overtaken(&self, sender: UserKey, message: &NewMessage) -> bool {
        let Some(client_ref) = message.client_ref.filter(|_| !message.ref_from_client) else {
            return false;
        };
        let Some(last_later) = client_ref.last_later() else { return false };
        let is_later = |other: ClientRef| {
            let is_of_version = other.0.get_version_num() == client_ref.0.get_version_num();
            is_of_version && client_ref < other && other <= last_later
        };
        self.loaded.overtaken.contains(&(sender, client_ref))
            || self
                .rows
                .messages
                .iter()
                .filter(|row| row.sender == sender && !row.ref_from_client)
                .any(|row| row.client_ref.is_some_and(is_later))
    }

    /// Makes the refusal of a repetition true: an earlier copy, which may be on its way still, finds it.
    fn refuse(&mut self, sender: UserState, message: &NewMessage) {
        // A client that chose its reference may send it again, to one who is known then.
        let is_final = message.is_repetition && !message.ref_from_client;
        let (Some(client_ref), true) = (message.client_ref, is_final) else { return };
        self.loaded.refused.insert((sender.key, client_ref));
        self.rows.refusals.push(RefusalRow { sender: sender.key, client_ref, refused: self.now });
    }
}
