//! What a batch of writes becomes, decided in memory: who may write, which ids and sequence numbers are
//! given, what each caller is answered and what each user learns. No database in here.
//!
//! A verb is a file: what it asks of the database, and what it decides: [`send`], [`dispatch`], [`edit`], [`delete`], [`mark`],
//! [`block`], [`erase`].
//! [`quota`] is what a send must be within.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use netrox_proto::{ids::UserId, request_id::RequestId, v1};

use super::{
    answer::{Answers, WriteResult, Written},
    upkeep::Erasable,
    write::{ChatWrite, UpkeepWrite, Write},
};
use crate::{
    change::{Change, Subject, ThreadSubject},
    command::MAX_ID,
    error::Error,
    quotas::Quotas,
    store::{
        batch::{
            ActivityRow, BatchData, BatchQuery, ChangedMessageRow, NewThreadRow, Pair, Progress,
            ReplyTarget, Rows, ThreadProgress, ThreadState, ThreadStateRow, UserState,
        },
        history::{FeedStartRow, Position, Start},
        message::{Participant, ParticipantsRow},
        thread_state::MOST_UNREAD,
        user::UserKey,
    },
};

mod block;
mod delete;
mod dispatch;
mod edit;
mod erase;
mod mark;
mod quota;
mod send;

/// What the writes of a batch have to know of the database.
pub(super) fn query(writes: &[Write], quotas: &Quotas, now: i64) -> BatchQuery {
    let mut query = BatchQuery::default();
    for write in writes {
        match write {
            Write::Chat(ChatWrite::Message(message)) => {
                send::ask(message, &mut query);
                quota::ask(message, quotas, now, &mut query);
            }
            Write::Chat(ChatWrite::Dispatch(dispatch)) => dispatch::ask(dispatch, &mut query),
            Write::Chat(ChatWrite::Edit(edit)) => edit::ask(edit, &mut query),
            Write::Chat(ChatWrite::Delete(deletion)) => delete::ask(deletion, &mut query),
            Write::Chat(ChatWrite::Mark(mark)) => mark::ask(mark, &mut query),
            Write::Chat(ChatWrite::Block(block)) => block::ask(block, &mut query),
            Write::Chat(ChatWrite::Erase(erase)) => erase::ask(erase, &mut query),
            Write::Upkeep(UpkeepWrite::CountFiles(user)) => quota::ask_files(*user, &mut query),
            Write::Upkeep(
                UpkeepWrite::BeginUpload(_)
                | UpkeepWrite::EndUpload(_)
                | UpkeepWrite::IndexMessages(_)
                | UpkeepWrite::RemoveMessages(_)
                | UpkeepWrite::NoteSeen(_)
                | UpkeepWrite::KeepRoll { .. }
                | UpkeepWrite::Probe
                | UpkeepWrite::TakeRoom
                | UpkeepWrite::GiveRoomBack,
            )
            | Write::Directory(_)
            | Write::Session(_) => {}
        }
    }
    query
}

/// The writes so far, as rows, answers and changes.
pub(super) struct Plan<'a> {
    loaded: BatchData,
    now: i64,
    quotas: Quotas,
    /// The start that feeds move in.
    start: Start,
    pub(super) rows: Rows<'a>,
    pub(super) changes: Vec<Change>,
    /// Of the write that is decided.
    pub(super) request: Option<RequestId>,
    /// What the batch changes.
    feeds: BTreeMap<UserKey, UserState>,
    threads: BTreeMap<Pair, ActivityRow>,
    /// Those of them whose two users do not see the same, with the new messages that the receiver does not see.
    uneven: BTreeMap<Pair, BTreeSet<i64>>,
    /// Messages and files that their receivers are not shown.
    pub(super) swallowed: usize,
    erasable: Erasable,
    states: BTreeMap<(UserKey, i64), ThreadStateRow>,
    /// The messages of the batch that a user is shown in a thread, of which it was asked how far its users got.
    shown: BTreeMap<(UserKey, i64), Vec<i64>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(loaded: BatchData, now: i64, start: Start) -> Self {
        Self {
            loaded,
            now,
            quotas: Quotas::default(),
            start,
            rows: Rows::default(),
            changes: Vec::new(),
            request: None,
            feeds: BTreeMap::new(),
            threads: BTreeMap::new(),
            uneven: BTreeMap::new(),
            swallowed: 0,
            erasable: Erasable::new(),
            states: BTreeMap::new(),
            shown: BTreeMap::new(),
        }
    }

    /// Of every sender.
    pub(super) fn within(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    /// What is erased of deleted users.
    pub(super) fn erasing(self, erasable: Erasable) -> Self {
        Self { erasable, ..self }
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
            ChatWrite::Edit(edit) => self.edit(edit).map(Written::Edited),
            ChatWrite::Delete(deletion) => {
                self.delete(deletion).map(|erases_file| Written::Deleted { erases_file })
            }
            ChatWrite::Mark(mark) => self.mark(mark).map(Written::Marked),
            ChatWrite::Block(block) => self.block(block).map(|()| Written::Nothing),
            ChatWrite::Erase(erase) => self.erase(erase).map(Written::Erased),
        }
    }

    /// The rows, when every write is in.
    pub(super) fn finish(&mut self) {
        self.rows.feeds = self.feeds.values().copied().collect();
        self.rows.activities = self.threads.values().copied().collect();
        self.rows.swallowed = self.swallowed_rows();
        self.rows.thread_states = self.states.values().copied().collect();
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

    /// The thread of a pair with its next message, which `one` sends to `two`, and whose instant is later than that of the last
    /// one, also when the clock steps back. `fate`: what becomes of it with `two`.
    fn thread_activity(
        &mut self,
        one: UserKey,
        two: UserKey,
        message: i64,
        fate: Fate,
    ) -> Result<Activity, Error> {
        let pair @ (low_key, high_key) = (one.min(two), one.max(two));
        let known = self.threads.get(&pair).map(|row| &row.thread);
        let known = known.or_else(|| self.loaded.threads.get(&pair));
        let continues = known.is_some_and(|thread| thread.is_turn_of(one));
        let mut thread = match known {
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
                self.count_conversation(one);
                // A mark that is decided after it finds it.
                self.loaded.progress.insert(pair, ThreadProgress::new(id, low_key));
                ThreadState::new(id, pair, one, created)
            }
        };
        let begins_late = thread.begins_late(one, fate != Fate::Swallowed);
        if begins_late {
            (thread.late_created, thread.late_one) = (Some(thread.last_activity), Some(one));
        }
        match fate {
            Fate::Shown | Fate::HeldBack => thread.sent(one, message, fate == Fate::Shown),
            Fate::Swallowed => {
                thread.swallowed(one, message);
                self.note_swallowed(pair, message);
            }
        }
        if begins_late {
            self.uneven.entry(pair).or_default();
        }
        let last_message = thread.last_message.unwrap_or_default();
        self.threads.insert(pair, ActivityRow { thread, last_message });
        let is_shown = fate == Fate::Shown;
        if let Some(progress) = self.loaded.progress.get_mut(&pair) {
            progress.of(one).last_id = message;
            if is_shown {
                progress.of(two).last_id = message;
                self.shown.entry((two, thread.id)).or_default().push(message);
            }
        }
        Ok(Activity { thread_id: thread.id, at: thread.last_activity, continues })
    }

    /// Notes that a file is shown to its receiver, where what is noted of the thread is known to be true.
    fn thread_shows(&mut self, sender: UserKey, receiver: UserKey, message: i64) {
        let pair = (sender.min(receiver), sender.max(receiver));
        let known = self.threads.get(&pair).map(|row| &row.thread);
        let Some(thread) = known.or_else(|| self.loaded.threads.get(&pair)) else { return };
        if let (mut thread, Some(last_message)) = (*thread, thread.last_message) {
            thread.shown(sender, message);
            self.threads.insert(pair, ActivityRow { thread, last_message });
        }
    }

    /// Tells a user that the state of a thread has changed for them.
    fn tell_thread(&mut self, user: UserState, peer: UserState) {
        let Some(thread_id) = self.keep_marks(user.key, peer.key) else { return };
        let place = self.next_place(user);
        if let Some(row) = self.states.get_mut(&(user.key, thread_id)) {
            row.seq = Some(place.seq());
        }
        let state = self.thread_state(user, peer);
        let thread = state.map_or(ThreadSubject::InStore(thread_id), ThreadSubject::State);
        self.tell(UserId(user.id), place, Some(0), Subject::Thread(thread));
    }

    /// What a user is to see of the thread with a peer, if nothing has to be counted for it: all that the peer sent before the
    /// batch is seen.
    fn thread_state(&mut self, user: UserState, peer: UserState) -> Option<Arc<v1::ThreadState>> {
        let pair = (user.key.min(peer.key), user.key.max(peer.key));
        let progress = self.loaded.progress.get_mut(&pair)?;
        let thread_id = progress.thread_id;
        let (own, of_peer) = (*progress.of(user.key), *progress.of(peer.key));
        if own.last_of_peer? > own.seen_id {
            return None;
        }
        let shown = self.shown.get(&(user.key, thread_id)).into_iter().flatten();
        let unread = shown.filter(|id| **id > own.seen_id).count();
        let user_key = user.key;
        let user = self.feeds.get(&user_key).copied().unwrap_or(user);
        Some(Arc::new(v1::ThreadState {
            thread_id,
            peer_id: UserId(peer.id).to_string(),
            last_id: own.last_id,
            unread: i32::try_from(unread).unwrap_or(i32::MAX).min(MOST_UNREAD as i32),
            seen_id: own.seen_id,
            delivered_id: own.delivered_id,
            // A mark may be on what the user never saw.
            peer_seen_id: of_peer.shown_marks().seen_id.min(own.last_id),
            peer_delivered_id: of_peer.shown_marks().delivered_id.min(own.last_id),
            blocked: self.loaded.blocks.contains(&(user_key, peer.key)),
            rev: user.last_seq.cast_unsigned(),
        }))
    }

    /// Notes that the batch changes what a user has not seen in the thread with a peer: it is to be counted.
    fn forget_unread(&mut self, user: UserKey, peer: UserKey) {
        if let Some(progress) = self.loaded.progress.get_mut(&(user.min(peer), user.max(peer))) {
            progress.of(user).last_of_peer = None;
        }
    }

    /// Whether a user was ever shown a message of the thread with a peer.
    fn has_thread(&mut self, user: UserKey, peer: UserKey) -> bool {
        let progress = self.loaded.progress.get_mut(&(user.min(peer), user.max(peer)));
        progress.is_some_and(|progress| progress.of(user).last_id > 0)
    }

    /// Stores how far a user got in the thread with a peer; gives the thread.
    fn keep_marks(&mut self, user: UserKey, peer: UserKey) -> Option<i64> {
        let progress = self.loaded.progress.get_mut(&(user.min(peer), user.max(peer)))?;
        let (thread_id, own) = (progress.thread_id, *progress.of(user));
        let Progress { seen_id, delivered_id, shown, .. } = own;
        let state = self.states.entry((user, thread_id));
        let row = ThreadStateRow { user, thread_id, seen_id, delivered_id, shown, seq: None };
        let seq = state.or_insert(row).seq;
        self.states.insert((user, thread_id), ThreadStateRow { seq, ..row });
        Some(thread_id)
    }

    /// The user who asks, if they are there.
    fn acting(&self, id: UserId) -> Result<UserState, Error> {
        let user = self.user(id).ok_or(Error::UserUnknown)?;
        if user.deleted { Err(Error::UserDeleted) } else { Ok(user) }
    }

    /// A message that the user has sent, or was shown.
    fn shown_message(
        &self,
        user: UserId,
        id: i64,
    ) -> Result<(Participant, ParticipantsRow), Error> {
        let row = self.loaded.messages.get(&id).ok_or(Error::MessageNotFound)?;
        match row.participant(user) {
            Some(Participant::Sender) => Ok((Participant::Sender, row.clone())),
            Some(Participant::Receiver) if row.message.receiver_seq.is_some() => {
                Ok((Participant::Receiver, row.clone()))
            }
            Some(Participant::Receiver) | None => Err(Error::MessageNotFound),
        }
    }

    /// Stores a changed message, with its new places; gives it with these.
    fn store_change(
        &mut self,
        mut row: ParticipantsRow,
        (sender_seq, receiver_seq): (Option<u64>, Option<u64>),
    ) -> ParticipantsRow {
        row.take_places(sender_seq, receiver_seq);
        let receiver_first_seq = row.receiver_first_seq();
        let changed = ChangedMessageRow::of(&row.message, sender_seq, receiver_seq);
        self.rows.change(ChangedMessageRow { receiver_first_seq, ..changed });
        if let Some(target) = self.loaded.reply_targets.get_mut(&row.message.id) {
            *target = ReplyTarget::of(&row.message);
        }
        self.loaded.messages.insert(row.message.id, row.clone());
        row
    }

    /// Whether a message is too old to be changed; never if the window is 0.
    fn is_past(&self, created: i64, window: Option<i64>) -> bool {
        window.is_some_and(|window| window == 0 || self.now.saturating_sub(created) > window)
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

/// What becomes of a message with its receiver, when it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Shown,
    /// One with a file, until it is dispatched.
    HeldBack,
    /// The receiver blocks the sender: it is the sender's alone.
    Swallowed,
}

/// What a thread becomes with its next message.
#[derive(Clone, Copy)]
struct Activity {
    thread_id: i64,
    /// The instant of the message.
    at: i64,
    /// The message before it is of the same sender.
    continues: bool,
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
