//! Who blocks whom, and what that does to what is sent (PROTOCOL-2 section 6).

use std::collections::BTreeSet;

use super::Plan;
use crate::{
    command::Block,
    committer::write::{ChatWrite, Verb, Write},
    error::Error,
    store::{
        batch::{ActivityRow, BatchQuery, Pair, SwallowedRow, ThreadState},
        user::UserKey,
    },
};

impl Verb for Block {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Chat(ChatWrite::Block(self))
    }
}

pub(super) fn ask(block: &Block, query: &mut BatchQuery) {
    query.users.extend([block.user, block.peer]);
    query.marked_pairs.push((block.user, block.peer));
}

impl Plan<'_> {
    /// The user's own devices alone learn of it, if the user has a thread with the peer.
    pub(super) fn block(&mut self, block: &Block) -> Result<(), Error> {
        let user = self.acting(block.user)?;
        let peer = self.user(block.peer).ok_or(Error::UserUnknown)?;
        if self.blocks(user.key, peer.key) == block.blocks {
            return Ok(());
        }
        let pair = (user.key, peer.key);
        if block.blocks {
            self.loaded.blocks.insert(pair);
            self.feeds.entry(user.key).or_insert(user).has_blocks = true;
        } else {
            self.loaded.blocks.remove(&pair);
        }
        self.rows.blocks.insert(pair, block.blocks.then_some(self.now));
        if self.has_thread(user.key, peer.key) {
            self.tell_thread(user, peer);
        }
        Ok(())
    }

    /// Whether what one sends does not reach the other.
    pub(super) fn blocks(&self, blocker: UserKey, blocked: UserKey) -> bool {
        self.loaded.blocks.contains(&(blocker, blocked))
    }

    /// Whether either does: neither learns then how far the other got.
    pub(super) fn are_apart(&self, one: UserKey, two: UserKey) -> bool {
        self.blocks(one, two) || self.blocks(two, one)
    }

    /// Notes a message that is swallowed when it is stored.
    pub(super) fn note_swallowed(&mut self, pair: Pair, message: i64) {
        self.uneven.entry(pair).or_default().insert(message);
        self.swallowed += 1;
    }

    /// Notes that a file is swallowed when it is dispatched: until then the thread counted it for both.
    pub(super) fn swallow_dispatched(&mut self, sender: UserKey, receiver: UserKey, message: i64) {
        self.swallowed += 1;
        let pair = (sender.min(receiver), sender.max(receiver));
        let known = self.threads.get(&pair).map(|row| &row.thread);
        let Some(mut thread) = known.or_else(|| self.loaded.threads.get(&pair)).copied() else {
            return;
        };
        thread.swallowed(sender, message);
        if [thread.last_message, thread.low_sent, thread.high_sent].contains(&Some(message)) {
            thread.forget_ends();
        }
        let last_message = thread.last_message.unwrap_or_default();
        self.threads.insert(pair, ActivityRow { thread, last_message });
        self.uneven.entry(pair).or_default();
    }

    /// What is stored of threads whose two users do not see the same of them.
    pub(super) fn swallowed_rows(&self) -> Vec<SwallowedRow> {
        let row = |(pair, messages): (&Pair, &BTreeSet<i64>)| {
            let thread = self.threads.get(pair)?.thread;
            let ThreadState { id, low_swallowed, high_swallowed, .. } = thread;
            let ThreadState { late_created, late_one, .. } = thread;
            Some(SwallowedRow {
                thread_id: id,
                low_swallowed,
                high_swallowed,
                late_created,
                late_one,
                knows_ends: thread.knows_ends(),
                messages: messages.iter().copied().collect(),
            })
        };
        self.uneven.iter().filter_map(row).collect()
    }
}
