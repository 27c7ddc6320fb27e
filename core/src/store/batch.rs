//! What a batch of message writes loads and stores, each table in one statement whatever the size
//! of the batch.
//!
//! * [`sqlite`], [`postgres`]: these statements, which differ most between the engines.
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
    message::{MessageRow, ParticipantsRow},
    user::UserKey,
};
use crate::command::{Digest, NewAttachment};

mod form;
pub(super) mod postgres;
pub(super) mod sqlite;

pub(crate) use self::{
    form::{FormRow, Forms},
    postgres::sends::Sends,
};

/// What the writes of a batch name.
#[derive(Debug, Default)]
pub(crate) struct BatchQuery {
    pub(crate) users: Vec<UserId>,
    pub(crate) pairs: Vec<(UserId, UserId)>,
    pub(crate) client_refs: Vec<(UserId, ClientRef)>,
    /// Those of them that an earlier copy may have stored, if their client draws them in order.
    pub(crate) repetitions: Vec<(UserId, ClientRef)>,
    pub(crate) messages: Vec<i64>,
    /// Of forms.
    pub(crate) boundaries: Vec<Digest>,
    /// How many messages may be stored.
    pub(crate) new_messages: usize,
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
    pub(crate) forms: Forms,
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
}

/// The two users of a thread, the lower key first.
pub(crate) type Pair = (UserKey, UserKey);

#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct ThreadState {
    pub(crate) id: i64,
    pub(crate) low_key: UserKey,
    pub(crate) high_key: UserKey,
    pub(crate) last_activity: i64,
}

impl ThreadState {
    pub(crate) fn pair(&self) -> Pair {
        (self.low_key, self.high_key)
    }
}

/// A thread that was written to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActivityRow {
    /// With the instant of its newest message.
    pub(crate) thread: ThreadState,
    /// The id of it.
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
    pub(crate) attachment: Option<&'a NewAttachment>,
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
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) seen: bool,
    pub(crate) deleted: bool,
    pub(crate) dispatched: Option<i64>,
    /// The new places, if the feeds of the sender and the receiver moved.
    pub(crate) sender_seq: Option<u64>,
    pub(crate) receiver_seq: Option<u64>,
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
        let dispatched = message.attachment.dispatched;
        Self {
            thread_id,
            id,
            created,
            updated,
            seen,
            deleted,
            dispatched,
            sender_seq,
            receiver_seq,
        }
    }
}

impl BatchQuery {
    /// The pairs of keys of the users that were found, the lower key first, each once and in order.
    fn key_pairs(&self, users: &HashMap<UserId, UserState>) -> Vec<Pair> {
        let key = |id: &UserId| users.get(id).map(|user| user.key);
        let mut pairs: Vec<_> = self
            .pairs
            .iter()
            .filter_map(|(one, two)| Some((key(one)?, key(two)?)))
            .map(|(one, two)| (one.min(two), one.max(two)))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
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
