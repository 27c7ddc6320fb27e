//! What a batch of message writes loads and stores, each table in one statement whatever the size
//! of the batch.
//!
//! * [`sqlite`], [`postgres`]: these statements, which differ most between the engines.
//! * [`thread`]: threads as a batch knows them.
//! * [`form`]: uploads that a library sends again by itself.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    vec,
};

use netrox_proto::ids::{ClientRef, UserId};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    history::{FeedStartRow, Start},
    message::{EarlierText, MessageRow, ParticipantsRow},
    quota::{Begun, FirstContacts},
    user::UserKey,
};
use crate::command::{Digest, NewAttachment};

mod form;
pub(super) mod postgres;
pub(super) mod sqlite;
mod thread;

use self::thread::{ThreadProgressRow, progress, reply_target_columns, thread_columns};
pub(crate) use self::{
    form::{FormRow, Forms},
    postgres::sends::Sends,
    thread::{Marks, Pair, Progress, ReplyTarget, ThreadProgress, ThreadState},
};
pub(super) use self::{postgres::sends::Turn, thread::look_ends_up};

/// What the writes of a batch name.
#[derive(Debug, Default)]
pub(crate) struct BatchQuery {
    pub(crate) users: Vec<UserId>,
    pub(crate) pairs: Vec<(UserId, UserId)>,
    pub(crate) client_refs: Vec<(UserId, ClientRef)>,
    /// Those of them that an earlier copy may have stored, if their client draws them in order.
    pub(crate) repetitions: Vec<(UserId, ClientRef)>,
    pub(crate) messages: Vec<i64>,
    /// Messages that are answered by new ones.
    pub(crate) reply_targets: Vec<i64>,
    /// Those whose threads are to be known with how far their users got.
    pub(crate) marked_pairs: Vec<(UserId, UserId)>,
    /// The same of messages.
    pub(crate) marked_messages: Vec<i64>,
    /// Of forms.
    pub(crate) boundaries: Vec<Digest>,
    /// How many messages may be stored.
    pub(crate) new_messages: usize,
    /// What counts of the conversations that were begun by whoever begins another; absent where they may be any number.
    pub(crate) first_contacts: Option<FirstContacts>,
    /// Those of whom is asked what their files take.
    pub(crate) stored_files_of: Vec<UserId>,
}

/// What the database holds of it.
#[derive(Debug, Default)]
pub(crate) struct BatchData {
    pub(crate) users: HashMap<UserId, UserState>,
    /// By the lower and the higher key.
    pub(crate) threads: HashMap<Pair, ThreadState>,
    pub(crate) client_refs: HashMap<(UserKey, ClientRef), StoredMessage>,
    /// Those that were refused when they were repeated.
    pub(crate) refused: HashSet<(UserKey, ClientRef)>,
    /// The repetitions whose sender has a later message.
    pub(crate) overtaken: HashSet<(UserKey, ClientRef)>,
    pub(crate) messages: HashMap<i64, ParticipantsRow>,
    pub(crate) reply_targets: HashMap<i64, ReplyTarget>,
    pub(crate) progress: HashMap<Pair, ThreadProgress>,
    pub(crate) forms: Forms,
    /// Who blocks whom, of the pairs that were asked for.
    pub(crate) blocks: HashSet<(UserKey, UserKey)>,
    /// Of those who would begin a conversation.
    pub(crate) begun: HashMap<UserKey, Begun>,
    /// Bytes.
    pub(crate) stored_files: HashMap<UserKey, i64>,
    /// Greater than all in use, as many as may be needed.
    pub(crate) message_ids: vec::IntoIter<i64>,
    pub(crate) thread_ids: vec::IntoIter<i64>,
}

/// A user, and the end of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct UserState {
    pub(crate) id: Uuid,
    pub(crate) key: UserKey,
    pub(crate) deleted: bool,
    pub(crate) last_seq: i64,
    /// In which the feed last moved.
    pub(crate) start: Start,
    /// Whether the user blocks anybody, or once did.
    pub(crate) has_blocks: bool,
}

/// A thread that was written to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActivityRow {
    /// With the instant of its newest message.
    pub(crate) thread: ThreadState,
    /// The newest that was not swallowed; 0 where there is none.
    pub(crate) last_message: i64,
}

/// The answer to a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct StoredMessage {
    pub(crate) id: i64,
    pub(crate) thread_id: i64,
    pub(crate) created: i64,
}

/// A reference that is taken: by a message, or by the refusal of one.
#[derive(FromRow)]
struct ClientRefRow {
    sender: UserKey,
    client_ref: Uuid,
    id: Option<i64>,
    thread_id: Option<i64>,
    created: Option<i64>,
}

/// Where storing a batch failed.
#[derive(Debug)]
pub(super) enum StoreError {
    /// Before the commit.
    Statement(sqlx::Error),
    /// In the commit.
    Commit(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Statement(error)
    }
}

/// What a batch inserts and changes.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    pub(crate) threads: Vec<NewThreadRow>,
    pub(crate) messages: Vec<NewMessageRow<'a>>,
    /// The bodies of the messages, in their order.
    pub(crate) bodies: Vec<u8>,
    /// Each message once, by its id: a statement that changes a row twice keeps one of both.
    pub(crate) changed: BTreeMap<i64, ChangedMessageRow>,
    /// Those whose feeds moved, with the new end.
    pub(crate) feeds: Vec<UserState>,
    /// Those of them that move for the first time in this start.
    pub(crate) feed_starts: Vec<FeedStartRow>,
    /// Those that were written to.
    pub(crate) activities: Vec<ActivityRow>,
    /// Those of them whose two users do not see the same.
    pub(crate) swallowed: Vec<SwallowedRow>,
    /// By who blocks whom, since when; `None` if no longer.
    pub(crate) blocks: BTreeMap<(UserKey, UserKey), Option<i64>>,
    /// Those whose marks moved, or whose state changed otherwise.
    pub(crate) thread_states: Vec<ThreadStateRow>,
    /// Files whose messages were deleted.
    pub(crate) erased_files: Vec<ErasedFileRow>,
    pub(crate) refusals: Vec<RefusalRow>,
    pub(crate) forms: Vec<FormRow>,
}

#[derive(Debug)]
pub(crate) struct NewThreadRow {
    pub(crate) id: i64,
    pub(crate) low_key: UserKey,
    pub(crate) high_key: UserKey,
    pub(crate) user_one: UserKey,
    pub(crate) created: i64,
}

#[derive(Debug)]
pub(crate) struct NewMessageRow<'a> {
    pub(crate) thread_id: i64,
    pub(crate) id: i64,
    pub(crate) sender: UserKey,
    pub(crate) receiver: UserKey,
    /// Where the body is in [`Rows::bodies`].
    pub(crate) body: Range<usize>,
    pub(crate) created: i64,
    pub(crate) sender_seq: u64,
    pub(crate) receiver_seq: Option<u64>,
    pub(crate) client_ref: Option<ClientRef>,
    /// The sender's own client chose it.
    pub(crate) ref_from_client: bool,
    pub(crate) reply_to: Option<i64>,
    pub(crate) meta: Option<&'a str>,
    /// The message before it in its thread is of the same sender.
    pub(crate) continues: bool,
    pub(crate) attachment: Option<&'a NewAttachment>,
    /// If the file is shown to its receiver at once.
    pub(crate) dispatched: Option<i64>,
}

impl NewMessageRow<'_> {
    /// Whether it has nothing that clients of the first generation do not send.
    pub(super) fn is_plain(&self) -> bool {
        !self.ref_from_client && self.reply_to.is_none() && self.meta.is_none()
    }
}

/// A file to be removed, as if its upload had been cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErasedFileRow {
    pub(crate) path: String,
    pub(crate) start: Start,
}

/// What a thread has that one of its users does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SwallowedRow {
    pub(crate) thread_id: i64,
    pub(crate) low_swallowed: Option<i64>,
    pub(crate) high_swallowed: Option<i64>,
    pub(crate) late_created: Option<i64>,
    pub(crate) late_one: Option<UserKey>,
    /// Whether it is known what the newest messages are that both may see. Else they are looked up when it is stored.
    pub(crate) knows_ends: bool,
    /// The new messages of the batch that their receiver does not see.
    pub(crate) messages: Vec<i64>,
}

/// What a user is to see of a thread, in its new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadStateRow {
    pub(crate) user: UserKey,
    pub(crate) thread_id: i64,
    pub(crate) seen_id: i64,
    pub(crate) delivered_id: i64,
    /// What the peer is shown of it, if that is not all.
    pub(crate) shown: Option<Marks>,
    /// The new place, if the feed of the user moved for it.
    pub(crate) seq: Option<u64>,
}

/// In one batch.
pub(crate) const MAX_MESSAGES: usize = 1_024;

/// A repetition that was refused: what is still on its way of the same message is refused, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RefusalRow {
    pub(crate) sender: UserKey,
    pub(crate) client_ref: ClientRef,
    pub(crate) refused: i64,
}

/// How long a refusal is kept, in microseconds. Nothing that was sent before is on its way for nearly as long.
const REFUSAL_KEPT: i64 = 3_600 * 1_000_000;
/// How many older ones are removed where others are added.
const FORGOTTEN_REFUSALS: i64 = 1_024;

/// A message that has changed, whatever it was that changed, in its new state.
#[derive(Debug)]
pub(crate) struct ChangedMessageRow {
    pub(crate) thread_id: i64,
    pub(crate) id: i64,
    pub(crate) sender: UserKey,
    pub(crate) receiver: UserKey,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) seen: bool,
    pub(crate) deleted: bool,
    pub(crate) dispatched: Option<i64>,
    pub(crate) body: String,
    pub(crate) meta: Option<String>,
    pub(crate) hidden_for_sender: bool,
    pub(crate) hidden_for_receiver: bool,
    pub(crate) receiver_sees: Option<String>,
    /// The new places, if the feeds of the sender and the receiver moved.
    pub(crate) sender_seq: Option<u64>,
    pub(crate) receiver_seq: Option<u64>,
    /// Where it first appeared to its receiver, if it has.
    pub(crate) receiver_first_seq: Option<u64>,
    /// Its places, new or not.
    pub(crate) last_sender_seq: i64,
    pub(crate) last_receiver_seq: Option<i64>,
}

impl Rows<'_> {
    /// A message that the batch changes again keeps the places that it has in feeds which have not moved since.
    pub(crate) fn change(&mut self, mut row: ChangedMessageRow) {
        if let Some(before) = self.changed.get(&row.id) {
            row.sender_seq = row.sender_seq.or(before.sender_seq);
            row.receiver_seq = row.receiver_seq.or(before.receiver_seq);
        }
        self.changed.insert(row.id, row);
    }
}

impl ChangedMessageRow {
    pub(crate) fn of(
        message: &MessageRow,
        sender_seq: Option<u64>,
        receiver_seq: Option<u64>,
    ) -> Self {
        let MessageRow { thread_id, id, created, updated, seen, deleted, .. } = *message;
        let MessageRow { hidden_for_sender, hidden_for_receiver, .. } = *message;
        let dispatched = message.attachment.dispatched();
        Self {
            thread_id,
            id,
            sender: message.sender,
            receiver: message.receiver,
            created,
            updated,
            seen,
            deleted,
            dispatched,
            body: message.body.clone(),
            meta: message.meta.clone(),
            hidden_for_sender,
            hidden_for_receiver,
            receiver_sees: message.receiver_sees.clone(),
            sender_seq,
            receiver_seq,
            receiver_first_seq: receiver_seq,
            last_sender_seq: message.sender_seq,
            last_receiver_seq: message.receiver_seq,
        }
    }

    pub(super) fn earlier_text(&self) -> Option<EarlierText> {
        EarlierText::parse(self.receiver_sees.as_deref())
    }
}

/// The pairs of keys of the users that were found, the lower key first, each once and in order.
fn key_pairs(pairs: &[(UserId, UserId)], users: &HashMap<UserId, UserState>) -> Vec<Pair> {
    let key = |id: &UserId| users.get(id).map(|user| user.key);
    let keys = pairs.iter().filter_map(|(one, two)| Some((key(one)?, key(two)?)));
    let mut keys: Vec<_> = keys.map(|(one, two)| (one.min(two), one.max(two))).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

impl BatchQuery {
    /// Those who would begin a conversation, each once, if that is limited.
    fn beginners(&self, loaded: &BatchData) -> Option<(Vec<UserKey>, FirstContacts)> {
        let contacts = self.first_contacts?;
        let key = |id: &UserId| loaded.users.get(id).map(|user| user.key);
        let pairs = self.pairs.iter().filter_map(|(one, two)| Some((key(one)?, key(two)?)));
        let is_new = |(one, two): &Pair| {
            one != two && !loaded.threads.contains_key(&(*one.min(two), *one.max(two)))
        };
        let mut senders: Vec<_> = pairs.filter(is_new).map(|(sender, _)| sender).collect();
        senders.sort_unstable();
        senders.dedup();
        (!senders.is_empty()).then_some((senders, contacts))
    }

    /// Who may block whom of those who were found, each once.
    fn possible_blocks(&self, loaded: &BatchData) -> Vec<(UserKey, UserKey)> {
        let user = |id: &UserId| loaded.users.get(id);
        let pairs = self.pairs.iter().chain(&self.marked_pairs);
        let pairs = pairs.filter_map(|(one, two)| Some((user(one)?, user(two)?)));
        let both = pairs.flat_map(|(one, two)| [(one, two), (two, one)]);
        let mut keys: Vec<_> = both
            .filter(|(blocker, _)| blocker.has_blocks)
            .map(|(blocker, blocked)| (blocker.key, blocked.key))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Those of whom is asked what their files take, each once.
    fn senders_of_files(&self, loaded: &BatchData) -> Vec<UserKey> {
        let users = self.stored_files_of.iter().filter_map(|id| loaded.users.get(id));
        let mut keys: Vec<_> = users.map(|user| user.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Adds the pairs of the messages that were found.
    fn add_pairs(&mut self, messages: &HashMap<i64, ParticipantsRow>) {
        let pair = |row: &ParticipantsRow| (row.sender_id(), row.receiver_id());
        self.pairs.extend(messages.values().map(pair));
        let marked = self.marked_messages.iter().filter_map(|id| messages.get(id));
        self.marked_pairs.extend(marked.map(pair));
    }
}

/// The references of the senders that were found.
fn key_refs(
    refs: &[(UserId, ClientRef)],
    users: &HashMap<UserId, UserState>,
) -> Vec<(UserKey, Uuid)> {
    refs.iter()
        .filter_map(|(sender, client_ref)| Some((users.get(sender)?.key, client_ref.0)))
        .collect()
}

/// The repetitions whose references say which are later, with the last of these.
fn later_refs(
    refs: &[(UserId, ClientRef)],
    users: &HashMap<UserId, UserState>,
) -> Vec<(UserKey, Uuid, Uuid)> {
    let later = |(sender, client_ref): &(UserId, ClientRef)| {
        Some((users.get(sender)?.key, client_ref.0, client_ref.last_later()?.0))
    };
    refs.iter().filter_map(later).collect()
}

fn overtaken(rows: Vec<(UserKey, Uuid)>) -> HashSet<(UserKey, ClientRef)> {
    rows.into_iter().map(|(sender, client_ref)| (sender, ClientRef(client_ref))).collect()
}

fn by_id(rows: Vec<UserState>) -> HashMap<UserId, UserState> {
    rows.into_iter().map(|row| (UserId(row.id), row)).collect()
}

fn by_pair(rows: Vec<ThreadState>) -> HashMap<Pair, ThreadState> {
    rows.into_iter().map(|row| (row.pair(), row)).collect()
}

impl BatchData {
    fn take_progress(&mut self, rows: Vec<ThreadProgressRow>) {
        for row in rows {
            let progress = ThreadProgress {
                thread_id: row.id,
                low_key: row.low_key,
                low: Progress {
                    last_id: row.low_last_id.max(row.low_swallowed.unwrap_or_default()),
                    seen_id: row.low_seen_id,
                    delivered_id: row.low_delivered_id,
                    shown: Marks::of(row.low_shown_seen_id, row.low_shown_delivered_id),
                    last_of_peer: Some(row.high_sent.unwrap_or(row.low_last_id)),
                },
                high: Progress {
                    last_id: row.high_last_id.max(row.high_swallowed.unwrap_or_default()),
                    seen_id: row.high_seen_id,
                    delivered_id: row.high_delivered_id,
                    shown: Marks::of(row.high_shown_seen_id, row.high_shown_delivered_id),
                    last_of_peer: Some(row.low_sent.unwrap_or(row.high_last_id)),
                },
            };
            self.progress.insert((row.low_key, row.high_key), progress);
        }
    }

    fn take_refs(&mut self, rows: Vec<ClientRefRow>) {
        for row in rows {
            let reference = (row.sender, ClientRef(row.client_ref));
            match (row.id, row.thread_id, row.created) {
                (Some(id), Some(thread_id), Some(created)) => {
                    let stored = StoredMessage { id, thread_id, created };
                    self.client_refs.insert(reference, stored);
                }
                _ => {
                    self.refused.insert(reference);
                }
            }
        }
    }
}
