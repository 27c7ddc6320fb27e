//! The file of a message that is dispatched to its receiver.

use std::sync::Arc;

use super::Plan;
use crate::{
    change::Subject,
    command::Dispatch,
    committer::{
        answer::{Dispatched, Written},
        write::{ChatWrite, Verb, Write},
    },
    error::Error,
    store::batch::{BatchQuery, ChangedMessageRow},
};

impl Verb for Dispatch {
    type Answer = Dispatched;

    fn into_write(self) -> Write {
        Write::Chat(ChatWrite::Dispatch(self))
    }

    fn answer(written: Written) -> Option<Dispatched> {
        let Written::Dispatched(dispatched) = written else { return None };
        Some(dispatched)
    }
}

pub(super) fn ask(dispatch: &Dispatch, query: &mut BatchQuery) {
    query.users.push(dispatch.sender);
    query.messages.push(dispatch.message_id);
}

impl Plan<'_> {
    pub(super) fn dispatch(&mut self, dispatch: &Dispatch) -> Result<Dispatched, Error> {
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
            return Ok(Dispatched { at: dispatched, already: true });
        }
        let dispatched = self.now.max(message.created);
        message.attachment.dispatched = Some(dispatched);
        let (receiver_id, row) = (row.receiver_id(), row.clone());
        let receiver = self.user(receiver_id).ok_or(Error::Internal)?;

        let sender_place = self.next_place(sender);
        let receiver_place = self.next_place(receiver);
        let (sender_seq, receiver_seq) = (sender_place.seq(), receiver_place.seq());
        let changed = ChangedMessageRow::of(&row.message, Some(sender_seq), Some(receiver_seq));
        self.rows.change(changed);
        let sender_first_seq = row.sender_first_seq();
        let on_wire = Arc::new(row.into_wire());
        let to_sender = Subject::Sent(Arc::clone(&on_wire));
        self.tell(dispatch.sender, sender_place, Some(sender_first_seq), to_sender);
        self.tell(receiver_id, receiver_place, None, Subject::Received(on_wire));
        Ok(Dispatched { at: dispatched, already: false })
    }
}
