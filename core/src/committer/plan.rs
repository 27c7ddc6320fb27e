//! What a batch of writes becomes, decided in memory: who may write, which ids and sequence numbers are
//! given, what each caller is answered and what each user learns. No database in here.

use std::{collections::BTreeMap, sync::Arc};

use netrox_proto::{
    ids::{ClientRef, UserId},
    time::timestamp,
    v1,
};

use super::{Dispatched, Write, Written};
use crate::{
    change::{Change, Subject},
    command::{Dispatch, MAX_ID, NewAttachment, NewMessage},
    error::Error,
    store::{
        batch::{
            ActivityRow, DispatchRow, FormRow, Loaded, NewMessageRow, NewThreadRow, Pair,
            RefusalRow, Rows, StoredMessage, ThreadState, UserState, Wanted,
        },
        history::{FeedStartRow, Position, Start},
        user::UserKey,
    },
};

/// What the writes of a batch have to know of the database.
pub(super) fn wanted<'a>(writes: impl IntoIterator<Item = &'a Write>) -> Wanted {
    let mut wanted = Wanted::default();
    for write in writes {
        match write {
            Write::Message(message) => {
                wanted.users.extend([message.sender, message.receiver]);
                wanted.pairs.push((message.sender, message.receiver));
                wanted.new_messages += 1;
                if let Some(client_ref) = message.client_ref {
                    wanted.client_refs.push((message.sender, client_ref));
                    if message.is_repetition {
                        wanted.repetitions.push((message.sender, client_ref));
                    }
                }
                wanted.boundaries.extend(message.form.map(|form| form.boundary));
            }
            Write::Dispatch(dispatch) => {
                wanted.users.push(dispatch.sender);
                wanted.messages.push(dispatch.message_id);
            }
            _ => {}
        }
    }
    wanted
}

/// The writes so far, as rows, answers and changes.
pub(super) struct Plan<'a> {
    loaded: Loaded,
    now: i64,
    /// The start that feeds move in.
    start: Start,
    pub(super) rows: Rows<'a>,
    pub(super) changes: Vec<Change>,
    /// What the batch changes.
    feeds: BTreeMap<UserKey, UserState>,
    threads: BTreeMap<Pair, ActivityRow>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(loaded: Loaded, now: i64, start: Start) -> Self {
        Self {
            loaded,
            now,
            start,
            rows: Rows::default(),
            changes: Vec::new(),
            feeds: BTreeMap::new(),
            threads: BTreeMap::new(),
        }
    }

    pub(super) fn message(&mut self, message: &'a NewMessage) -> Result<Written, Error> {
        let sender = self.user(message.sender).ok_or(Error::UserUnknown)?;
        if let Some(client_ref) = message.client_ref {
            let reference = (sender.key, client_ref);
            if let Some(stored) = self.loaded.client_refs.get(&reference) {
                return Ok(Written::Message(*stored));
            }
            if self.loaded.refused.contains(&reference) {
                return Err(Error::Overtaken);
            }
        }
        if let Some(form) = &message.form
            && let Some(message) = self.loaded.forms.find(form, self.now)
        {
            return Ok(Written::SentBefore(message));
        }
        let receiver = match self.receiver(sender, message) {
            Ok(receiver) => receiver,
            Err(error) => {
                self.refuse(sender, message);
                return Err(error);
            }
        };

        let id = next_id(&mut self.loaded.message_ids)?;
        let (thread_id, created) = self.thread_activity(sender.key, receiver.key, id)?;
        let sender_place = self.next_place(sender);
        let receiver_place = message.attachment.is_none().then(|| self.next_place(receiver));
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
            attachment: message.attachment.as_ref(),
        });
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
            attachment: message.attachment.as_ref().map(NewAttachment::undispatched),
        });
        if let Some(form) = message.form {
            let row = FormRow { form, message_id: Some(id), sent: self.now };
            self.rows.forms.extend(self.loaded.forms.keep(row, &on_wire));
        }
        self.tell(message.sender, sender_place, None, Subject::Sent(Arc::clone(&on_wire)));
        if let Some(place) = receiver_place {
            self.tell(message.receiver, place, None, Subject::Received(on_wire));
        }
        Ok(Written::Message(stored))
    }

    /// To whom it may be sent.
    fn receiver(&self, sender: UserState, message: &NewMessage) -> Result<UserState, Error> {
        if sender.deleted {
            return Err(Error::UserDeleted);
        }
        if message.is_repetition && self.is_overtaken(sender.key, message) {
            return Err(Error::Overtaken);
        }
        let receiver = self.user(message.receiver).filter(|receiver| !receiver.deleted);
        receiver.ok_or(Error::ReceiverUnknown)
    }

    /// Whether a later message of the sender's is stored, or will be with this batch.
    fn is_overtaken(&self, sender: UserKey, message: &NewMessage) -> bool {
        let Some(client_ref) = message.client_ref else { return false };
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
                .any(|row| row.sender == sender && row.client_ref.is_some_and(is_later))
    }

    /// Makes the refusal of a repetition true: an earlier copy, which may be on its way still, finds it.
    fn refuse(&mut self, sender: UserState, message: &NewMessage) {
        let (Some(client_ref), true) = (message.client_ref, message.is_repetition) else { return };
        self.loaded.refused.insert((sender.key, client_ref));
        self.rows.refusals.push(RefusalRow { sender: sender.key, client_ref, refused: self.now });
    }

    pub(super) fn dispatch(&mut self, dispatch: &Dispatch) -> Result<Written, Error> {
        let sender = self.user(dispatch.sender).ok_or(Error::UserUnknown)?;
        if sender.deleted {
            return Err(Error::UserDeleted);
        }
        let row =
            self.loaded.messages.get_mut(&dispatch.message_id).ok_or(Error::MessageNotFound)?;
        let message = &mut row.message;
        if message.sender != sender.key || message.deleted || message.attachment.path.is_none() {
            return Err(Error::MessageNotFound);
        }
        if let Some(dispatched) = message.attachment.dispatched {
            return Ok(Written::Dispatched(Dispatched { at: dispatched, already: true }));
        }
        let dispatched = self.now.max(message.created);
        message.attachment.dispatched = Some(dispatched);
        let (receiver_id, row) = (row.receiver_id(), row.clone());
        let receiver = self.user(receiver_id).ok_or(Error::Internal)?;

        let sender_place = self.next_place(sender);
        let receiver_place = self.next_place(receiver);
        self.rows.dispatches.push(DispatchRow {
            thread_id: row.message.thread_id,
            id: row.message.id,
            dispatched,
            sender_seq: sender_place.seq(),
            receiver_seq: receiver_place.seq(),
        });
        let sender_first_seq = row.sender_first_seq();
        let on_wire = Arc::new(row.into_wire());
        let to_sender = Subject::Sent(Arc::clone(&on_wire));
        self.tell(dispatch.sender, sender_place, Some(sender_first_seq), to_sender);
        self.tell(receiver_id, receiver_place, None, Subject::Received(on_wire));
        Ok(Written::Dispatched(Dispatched { at: dispatched, already: false }))
    }

    /// The rows, when every write is in.
    pub(super) fn finish(&mut self) {
        self.rows.feeds = self.feeds.values().copied().collect();
        self.rows.activities = self.threads.values().copied().collect();
    }

    fn user(&self, id: UserId) -> Option<UserState> {
        self.loaded.users.get(&id).copied()
    }

    fn next_place(&mut self, user: UserState) -> Place {
        let user = self.feeds.entry(user.key).or_insert(user);
        let prior = user.start;
        if user.start < self.start {
            user.start = self.start;
            let UserState { key, start, last_seq, .. } = *user;
            self.rows.feed_starts.push(FeedStartRow { user: key, start, last_seq });
        }
        user.last_seq += 1;
        let at = Position { start: user.start, seq: user.last_seq.cast_unsigned() };
        Place { at, prior }
    }

    /// The thread of a pair, and the instant of its next message, which has the id `last_message`: later than that of the
    /// last one, also when the clock steps back.
    fn thread_activity(
        &mut self,
        one: UserKey,
        two: UserKey,
        last_message: i64,
    ) -> Result<(i64, i64), Error> {
        let pair @ (low_key, high_key) = (one.min(two), one.max(two));
        let known = self.threads.get(&pair).map(|row| &row.thread);
        let known = known.or_else(|| self.loaded.threads.get(&pair));
        let thread = match known {
            Some(thread) => {
                ThreadState { last_activity: self.now.max(thread.last_activity + 1), ..*thread }
            }
            None => {
                let id = next_id(&mut self.loaded.thread_ids)?;
                let created = self.now;
                self.rows.threads.push(NewThreadRow {
                    id,
                    low_key,
                    high_key,
                    user_one: one,
                    created,
                });
                ThreadState { id, low_key, high_key, last_activity: created }
            }
        };
        self.threads.insert(pair, ActivityRow { thread, last_message });
        Ok((thread.id, thread.last_activity))
    }

    /// `first_seq` is that of a subject which has appeared before.
    fn tell(
        &mut self,
        to: UserId,
        Place { at, prior }: Place,
        first_seq: Option<u64>,
        subject: Subject,
    ) {
        let first_seq = first_seq.unwrap_or(at.seq);
        self.changes.push(Change { to, place: at, prior, first_seq, subject });
    }
}

/// A new place in a feed.
#[derive(Clone, Copy)]
struct Place {
    at: Position,
    /// The start of the place before it.
    prior: Start,
}

impl Place {
    fn seq(self) -> u64 {
        self.at.seq
    }
}

/// There are as many as the batch has writes.
fn next_id(ids: &mut std::vec::IntoIter<i64>) -> Result<i64, Error> {
    ids.next().filter(|id| *id <= MAX_ID).ok_or_else(|| {
        tracing::error!("identifiers are used up");
        Error::Internal
    })
}

#[cfg(test)]
mod tests;
