//! A message that is deleted: for both of its users, or for the one who asks.

use std::sync::Arc;

use netrox_proto::ids::UserId;

use super::{Plan, edit::ForWhom};
use crate::{
    change::Subject,
    command::Deletion,
    committer::write::{ChatWrite, Verb, Write},
    error::Error,
    store::{
        batch::{BatchQuery, ErasedFileRow, UserState},
        message::{Participant, ParticipantsRow},
    },
};

impl Verb for Deletion {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Chat(ChatWrite::Delete(self))
    }
}

pub(super) fn ask(deletion: &Deletion, query: &mut BatchQuery) {
    query.users.push(deletion.user);
    query.messages.push(deletion.message_id);
    query.marked_messages.push(deletion.message_id);
}

impl Plan<'_> {
    /// Gives whether a file is to be removed.
    pub(super) fn delete(&mut self, deletion: &Deletion) -> Result<bool, Error> {
        let user = self.acting(deletion.user)?;
        let (participant, row) = self.shown_message(deletion.user, deletion.message_id)?;
        if deletion.for_everyone {
            self.delete_for_everyone(deletion, participant, row)
        } else {
            self.hide(user, participant, row).map(|()| false)
        }
    }

    fn delete_for_everyone(
        &mut self,
        deletion: &Deletion,
        participant: Participant,
        row: ParticipantsRow,
    ) -> Result<bool, Error> {
        let message = &row.message;
        if message.deleted {
            return Ok(false);
        }
        if message.is_hidden_for(participant) {
            return Err(Error::MessageNotFound);
        }
        if participant == Participant::Receiver {
            return Err(Error::MessageNotAllowed);
        }
        if self.is_past(message.created, deletion.window) {
            return Err(Error::TooLate);
        }
        self.erase_message(row)
    }

    /// Erases a message for both of its users, who learn that it is deleted. Gives whether a file is to be removed.
    pub(super) fn erase_message(&mut self, row: ParticipantsRow) -> Result<bool, Error> {
        let message = &row.message;
        let file = message.attachment.path().map(str::to_owned);
        let (erases_file, start) = (file.is_some(), self.start);
        self.rows.erased_files.extend(file.map(|path| ErasedFileRow { path, start }));
        let (sender, size) = (message.sender, message.attachment.size());
        let counted = message.counts_for_receiver().then_some(row.clone());
        // The path stays in the row: it tells a directory of files that it is of this database.
        self.change_message(row, ForWhom::Both, |message| {
            message.deleted = true;
            message.receiver_sees = None;
            message.body = String::new();
            message.meta = None;
            message.reply_to = None;
            message.attachment.erase_name();
        })?;
        if erases_file {
            self.count_file(sender, -size);
        }
        if let Some(row) = counted {
            self.is_no_longer_unread(&row)?;
        }
        Ok(erases_file)
    }

    /// For one of the two, for ever.
    fn hide(
        &mut self,
        user: UserState,
        participant: Participant,
        mut row: ParticipantsRow,
    ) -> Result<(), Error> {
        if row.message.is_hidden_for(participant) {
            return Ok(());
        }
        let counted = participant == Participant::Receiver && row.message.counts_for_receiver();
        let before = row.clone();
        let place = self.next_place(user);
        let seq = Some(place.seq());
        let (places, first_seq) = match participant {
            Participant::Sender => {
                row.message.hidden_for_sender = true;
                ((seq, None), Some(row.sender_first_seq()))
            }
            Participant::Receiver => {
                row.message.hidden_for_receiver = true;
                ((None, seq), row.receiver_first_seq())
            }
        };
        let on_wire = Arc::new(self.store_change(row, places).into_wire(participant));
        let subject = match participant {
            Participant::Sender => Subject::Sent(on_wire),
            Participant::Receiver => Subject::Received(on_wire),
        };
        self.tell(UserId(user.id), place, first_seq, subject);
        if counted {
            self.is_no_longer_unread(&before)?;
        }
        Ok(())
    }

    /// The state of the receiver's thread has changed, if the message had not been seen.
    fn is_no_longer_unread(&mut self, row: &ParticipantsRow) -> Result<(), Error> {
        let receiver = self.user(row.receiver_id()).ok_or(Error::Internal)?;
        let sender = self.user(row.sender_id()).ok_or(Error::Internal)?;
        self.forget_unread(receiver.key, sender.key);
        let pair = (receiver.key.min(sender.key), receiver.key.max(sender.key));
        let progress = self.loaded.progress.get_mut(&pair);
        let seen_id = progress.map(|progress| progress.of(receiver.key).seen_id);
        if seen_id.is_some_and(|seen_id| seen_id < row.message.id) {
            self.tell_thread(receiver, sender);
        }
        Ok(())
    }
}
