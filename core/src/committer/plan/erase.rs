//! Messages of a user who was deleted with all that they have sent.

use super::Plan;
use crate::{
    command::Erase,
    committer::{
        answer::Erased,
        write::{ChatWrite, Verb, Write},
    },
    error::Error,
    store::batch::BatchQuery,
};

impl Verb for Erase {
    type Answer = Erased;

    fn into_write(self) -> Write {
        Write::Chat(ChatWrite::Erase(self))
    }
}

/// At its end there is nothing to ask.
pub(super) fn ask(erase: &Erase, query: &mut BatchQuery) {
    if !erase.messages.is_empty() {
        query.users.push(erase.user);
        query.messages.extend_from_slice(&erase.messages);
        query.marked_messages.extend_from_slice(&erase.messages);
    }
}

impl Plan<'_> {
    /// Without regard to windows, and to what the user has hidden. What was deleted or removed meanwhile is passed over, and so is what
    /// was sent after the user came back.
    pub(super) fn erase(&mut self, erase: &Erase) -> Result<Erased, Error> {
        let Some(through) = self.erasable.get(&erase.user).copied() else {
            return Ok(Erased::default());
        };
        let mut erased = Erased { was_there: true, ..Erased::default() };
        for id in erase.messages.iter().filter(|id| **id <= through) {
            let row = self.loaded.messages.get(id);
            let row = row.filter(|row| row.sender_id() == erase.user && !row.message.deleted);
            let Some(row) = row.cloned() else { continue };
            erased.files += usize::from(self.erase_message(row)?);
            erased.messages += 1;
        }
        Ok(erased)
    }
}
