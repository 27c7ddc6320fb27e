//! How far a user got in a thread: what reached a device, what was seen.

use super::Plan;
use crate::{
    command::{Mark, MarkKind},
    committer::{
        answer::Marked,
        write::{ChatWrite, Verb, Write},
    },
    error::Error,
    store::batch::BatchQuery,
};

impl Verb for Mark {
    type Answer = Marked;

    fn into_write(self) -> Write {
        Write::Chat(ChatWrite::Mark(self))
    }
}

pub(super) fn ask(mark: &Mark, query: &mut BatchQuery) {
    query.users.extend([mark.user, mark.peer]);
    query.marked_pairs.push((mark.user, mark.peer));
}

impl Plan<'_> {
    /// Marks never go back. The user's other devices learn of what was seen, the peer of both.
    pub(super) fn mark(&mut self, mark: &Mark) -> Result<Marked, Error> {
        let user = self.acting(mark.user)?;
        let peer = self.user(mark.peer).ok_or(Error::UserUnknown)?;
        let pair = (user.key.min(peer.key), user.key.max(peer.key));
        let is_apart = self.are_apart(user.key, peer.key);
        let progress = self.loaded.progress.get_mut(&pair).ok_or(Error::ThreadNotFound)?;
        let thread_id = progress.thread_id;
        let own = progress.of(user.key);
        if own.last_id == 0 {
            return Err(Error::ThreadNotFound);
        }
        if mark.up_to > own.last_id {
            let problem = "beyond the last message of the thread";
            return Err(Error::InvalidField { field: "up_to_id", problem });
        }
        let before = *own;
        own.delivered_id = own.delivered_id.max(mark.up_to);
        if mark.kind == MarkKind::Seen {
            own.seen_id = own.seen_id.max(mark.up_to);
        }
        // Under a block the peer goes on to see what there was; from the next mark without one on, what there is.
        own.shown = match is_apart {
            true if own.marks() != before.marks() => Some(before.shown_marks()),
            true => before.shown,
            false => None,
        };
        let after = *own;
        let changes = after != before;
        if after.seen_id != before.seen_id {
            self.tell_thread(user, peer);
        } else if changes {
            self.keep_marks(user.key, peer.key);
        }
        let state = self.thread_state(user, peer);
        // Who was never shown a message of it has no thread.
        if changes && !is_apart && self.has_thread(peer.key, user.key) {
            self.tell_thread(peer, user);
        }
        Ok(Marked { user: user.key, thread_id, state })
    }
}
