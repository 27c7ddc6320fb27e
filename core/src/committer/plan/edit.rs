//! A message that its sender changes.

use std::sync::Arc;

use netrox_proto::v1;

use super::Plan;
use crate::{
    change::Subject,
    command::Edit,
    committer::write::{ChatWrite, Verb, Write},
    error::Error,
    store::{
        batch::BatchQuery,
        message::{MessageRow, Participant, ParticipantsRow},
    },
};

/// Who learns of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForWhom {
    Both,
    /// Whom the receiver blocks.
    Sender,
}

impl Verb for Edit {
    type Answer = Arc<v1::Message>;

    fn into_write(self) -> Write {
        Write::Chat(ChatWrite::Edit(self))
    }
}

pub(super) fn ask(edit: &Edit, query: &mut BatchQuery) {
    query.users.push(edit.user);
    query.messages.push(edit.message_id);
}

impl Plan<'_> {
    pub(super) fn edit(&mut self, edit: &Edit) -> Result<Arc<v1::Message>, Error> {
        self.acting(edit.user)?;
        let (participant, row) = self.shown_message(edit.user, edit.message_id)?;
        let message = &row.message;
        if message.is_hidden_for(participant) {
            return Err(Error::MessageNotFound);
        }
        if participant == Participant::Receiver {
            return Err(Error::MessageNotAllowed);
        }
        if message.deleted {
            return Err(Error::TooLate);
        }
        if edit.body.is_empty() && message.attachment.path().is_none() {
            return Err(Error::InvalidField { field: "body", problem: "empty" });
        }
        let meta = edit.meta.as_ref().unwrap_or(&message.meta).clone();
        let is_blocked = self.blocks(message.receiver, message.sender);
        // Without a block, what the receiver was not shown then is shown now.
        let is_news = message.receiver_sees.is_some() && !is_blocked;
        if message.body == edit.body && message.meta == meta && !is_news {
            return Ok(Arc::new(row.into_wire(participant)));
        }
        if self.is_past(message.created, edit.window) {
            return Err(Error::TooLate);
        }
        let body = edit.body.clone();
        // Of what was swallowed, the receiver sees nothing in any case.
        let is_held = is_blocked && !message.is_swallowed();
        let receiver_sees = is_held.then(|| message.as_receiver_sees());
        let for_whom = if is_held { ForWhom::Sender } else { ForWhom::Both };
        self.change_message(row, for_whom, |message| {
            message.body = body;
            message.meta = meta;
            message.receiver_sees = receiver_sees;
        })
    }

    /// Changes a message: its sender learns of it, and its receiver, if it is for both and they were shown it. Who has hidden it
    /// learns that it has changed, and not to what. Gives it as its sender sees it.
    pub(super) fn change_message(
        &mut self,
        mut row: ParticipantsRow,
        for_whom: ForWhom,
        change: impl FnOnce(&mut MessageRow),
    ) -> Result<Arc<v1::Message>, Error> {
        change(&mut row.message);
        row.message.updated = self.now.max(row.message.updated + 1);
        let (sender_id, receiver_id) = (row.sender_id(), row.receiver_id());
        let sender = self.user(sender_id).ok_or(Error::Internal)?;
        let receiver = self.user(receiver_id).ok_or(Error::Internal)?;
        let is_shown = row.message.receiver_seq.is_some() && for_whom == ForWhom::Both;
        let sender_place = self.next_place(sender);
        let receiver_place = is_shown.then(|| self.next_place(receiver));
        let places = (Some(sender_place.seq()), receiver_place.map(|place| place.seq()));
        let (sender_first_seq, receiver_first_seq) =
            (row.sender_first_seq(), row.receiver_first_seq());
        let row = self.store_change(row, places);
        let to_receiver = row.message.hidden_for_receiver.then(|| row.clone());
        let on_wire = Arc::new(row.into_wire(Participant::Sender));
        let to_sender = Subject::Sent(Arc::clone(&on_wire));
        self.tell(sender_id, sender_place, Some(sender_first_seq), to_sender);
        if let Some(place) = receiver_place {
            let hidden = to_receiver.map(|row| Arc::new(row.into_wire(Participant::Receiver)));
            let to_receiver = hidden.unwrap_or_else(|| Arc::clone(&on_wire));
            self.tell(receiver_id, place, receiver_first_seq, Subject::Received(to_receiver));
        }
        Ok(on_wire)
    }
}
