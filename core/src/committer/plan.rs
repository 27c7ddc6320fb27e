//! What a batch of writes becomes, decided in memory: who may write, which ids and sequence numbers are
//! given, what each caller is answered and what each user learns. No database in here.
//!
//! A verb is a file: what it asks of the database, and what it decides: [`send`], [`dispatch`].

use std::collections::BTreeMap;

use netrox_proto::{ids::UserId, request_id::RequestId};

use super::{
    answer::{Answers, WriteResult, Written},
    write::{ChatWrite, Write},
};
use crate::{
    change::{Change, Subject},
    command::MAX_ID,
    error::Error,
    store::{
        batch::{
            ActivityRow, BatchData, BatchQuery, NewThreadRow, Pair, Rows, ThreadState, UserState,
        },
        history::{FeedStartRow, Position, Start},
        user::UserKey,
    },
};

mod dispatch;
mod send;

/// What the writes of a batch have to know of the database.
pub(super) fn query(writes: &[Write]) -> BatchQuery {
    let mut query = BatchQuery::default();
    for write in writes {
        match write {
            Write::Chat(ChatWrite::Message(message)) => send::ask(message, &mut query),
            Write::Chat(ChatWrite::Dispatch(dispatch)) => dispatch::ask(dispatch, &mut query),
            Write::Directory(_) | Write::Upkeep(_) => {}
        }
    }
    query
}

/// The writes so far, as rows, answers and changes.
pub(super) struct Plan<'a> {
    loaded: BatchData,
    now: i64,
    /// The start that feeds move in.
    start: Start,
    pub(super) rows: Rows<'a>,
    pub(super) changes: Vec<Change>,
    /// Of the write that is decided.
    pub(super) request: Option<RequestId>,
    /// What the batch changes.
    feeds: BTreeMap<UserKey, UserState>,
    threads: BTreeMap<Pair, ActivityRow>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(loaded: BatchData, now: i64, start: Start) -> Self {
        Self {
            loaded,
            now,
            start,
            rows: Rows::default(),
            changes: Vec::new(),
            request: None,
            feeds: BTreeMap::new(),
            threads: BTreeMap::new(),
        }
    }

    /// Those of a batch that are decided here. `requests` are what asked for the writes, beside them.
    pub(super) fn decide_all(
        &mut self,
        writes: &'a [Write],
        requests: &[Option<RequestId>],
        answers: &mut Answers,
    ) {
        for (index, write) in writes.iter().enumerate() {
            let Write::Chat(write) = write else { continue };
            self.request = requests.get(index).cloned().flatten();
            answers.set(index, self.decide(write));
        }
    }

    /// To be called for each write, in their order.
    fn decide(&mut self, write: &'a ChatWrite) -> WriteResult {
        match write {
            ChatWrite::Message(message) => self.send(message).map(Written::Message),
            ChatWrite::Dispatch(dispatch) => self.dispatch(dispatch).map(Written::Dispatched),
        }
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
        self.changes.push(Change {
            to,
            place: at,
            prior,
            first_seq,
            subject,
            request: self.request.clone(),
        });
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
