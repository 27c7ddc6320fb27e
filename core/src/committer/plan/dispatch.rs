//! The file of a message that is dispatched to its receiver.

use std::sync::Arc;

use netrox_proto::ids::UserId;

use super::Plan;
use crate::{
    change::Subject,
    command::Dispatch,
    committer::{
        answer::Dispatched,
        write::{ChatWrite, Verb, Write},
    },
    error::Error,
    store::{
        batch::{BatchQuery, UserState},
        message::{Participant, ParticipantsRow},
    },
};

impl Verb for Dispatch {
    type Answer = Dispatched;

    fn into_write(self) -> Write {
        Write::Chat(ChatWrite::Dispatch(self))
    }
}

pub(super) fn ask(dispatch: &Dispatch, query: &mut BatchQuery) {
    query.users.push(dispatch.sender);
    query.messages.push(dispatch.message_id);
    query.marked_messages.push(dispatch.message_id);
}

impl Plan<'_> {
    pub(super) fn dispatch(&mut self, dispatch: &Dispatch) -> Result<Dispatched, Error> {
        let sender = self.acting(dispatch.sender)?;
        let (participant, mut row) = self.shown_message(dispatch.sender, dispatch.message_id)?;
        let message = &mut row.message;
        let is_own_file = participant == Participant::Sender
            && !message.deleted
            && !message.hidden_for_sender
            && message.attachment.path().is_some();
        if !is_own_file {
            return Err(Error::MessageNotFound);
        }
        if let Some(dispatched) = message.attachment.dispatched() {
            return Ok(Dispatched { at: dispatched, already: true });
        }
        let dispatched = self.now.max(message.created);
        message.attachment.dispatch(dispatched);
        let (receiver_id, sender_first_seq) = (row.receiver_id(), row.sender_first_seq());
        let receiver = self.user(receiver_id).ok_or(Error::Internal)?;
        if row.message.is_swallowed() || self.blocks(receiver.key, sender.key) {
            self.dispatch_swallowed(row, sender, receiver);
            return Ok(Dispatched { at: dispatched, already: false });
        }

        let sender_place = self.next_place(sender);
        let receiver_place = self.next_place(receiver);
        let places = (Some(sender_place.seq()), Some(receiver_place.seq()));
        let (to_sender, to_receiver) = self.store_change(row, places).into_wire_of_both();
        self.thread_shows(sender.key, receiver.key, dispatch.message_id);
        self.tell(dispatch.sender, sender_place, Some(sender_first_seq), Subject::Sent(to_sender));
        self.tell(receiver_id, receiver_place, None, Subject::Received(to_receiver));
        self.passes_dispatched(receiver, sender, dispatch.message_id);
        Ok(Dispatched { at: dispatched, already: false })
    }

    /// The receiver blocks the sender, or did when it was uploaded: the sender alone learns of it.
    fn dispatch_swallowed(
        &mut self,
        mut row: ParticipantsRow,
        sender: UserState,
        receiver: UserState,
    ) {
        let (id, sender_first_seq) = (row.message.id, row.sender_first_seq());
        if !row.message.is_swallowed() {
            row.message.hidden_for_receiver = true;
            row.message.receiver_sees = None;
            self.swallow_dispatched(sender.key, receiver.key, id);
        }
        let place = self.next_place(sender);
        let row = self.store_change(row, (Some(place.seq()), None));
        let to_sender = Subject::Sent(Arc::new(row.into_wire(Participant::Sender)));
        self.tell(UserId(sender.id), place, Some(sender_first_seq), to_sender);
    }

    /// A file that appears below what its receiver has been shown is not counted by who counts on from there: the state is told
    /// anew (PROTOCOL-2 section 2).
    fn passes_dispatched(&mut self, receiver: UserState, sender: UserState, message: i64) {
        self.forget_unread(receiver.key, sender.key);
        let pair = (receiver.key.min(sender.key), receiver.key.max(sender.key));
        let Some(progress) = self.loaded.progress.get_mut(&pair) else { return };
        let last_id = &mut progress.of(receiver.key).last_id;
        if message < *last_id {
            self.tell_thread(receiver, sender);
        } else {
            *last_id = message;
        }
    }
}
