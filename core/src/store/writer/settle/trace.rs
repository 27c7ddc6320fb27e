//! What tells later whether a transaction was committed: its number, and a row that it stored or changed.

use std::cmp::Ordering;

use netrox_proto::ids::{ClientRef, UserId};
use sqlx::FromRow;
use tokio::time::Instant;

use super::{super::Open, CommitOutcome};
use crate::store::{
    batch::{Rows, ThreadStateRow},
    engine::on,
    user::UserKey,
};

const FIND_PLACES: &str = "\
    select coalesce(sender_first_seq, sender_seq) as sender_first_seq, sender_seq, receiver_seq,
        updated, seen, deleted, dispatched, hidden_for_sender is not null as hidden_for_sender,
        hidden_for_receiver is not null as hidden_for_receiver
    from messages where thread_id = $1 and id = $2 and created = $3";

const FIND_STATE: &str = "\
    select coalesce(seq, 0) as seq, seen_id, delivered_id from thread_states
    where user_key = $1 and thread_id = $2";

const FIND_BLOCK: &str = "select created from blocks where blocker = $1 and blocked = $2";

/// What tells later whether a transaction was committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    /// PostgreSQL knows it by this number. After a crash the server may give a number again, or an id,
    /// that was not written to the disk: neither proves anything alone.
    pub(super) number: Option<String>,
    /// The last row that it stored or changed.
    pub(super) row: Option<RowTrace>,
    /// Of a call that was to store and commit all of it.
    pub(super) sends: Option<Box<SendsTrace>>,
}

#[derive(Debug, Clone)]
pub(super) struct SendsTrace {
    /// The server carries it out before that, or not at all.
    until: Instant,
    pub(super) references: Vec<(UserId, ClientRef)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum RowTrace {
    Message(MessageTrace),
    /// The place that the state of a thread took, with the marks that were set.
    ThreadState {
        user: UserKey,
        thread_id: i64,
        state: StateTrace,
    },
    /// One that has no thread; `created` is `None` where it was ended.
    Block {
        blocker: UserKey,
        blocked: UserKey,
        created: Option<i64>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(super) struct StateTrace {
    seq: i64,
    seen_id: i64,
    delivered_id: i64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct MessageTrace {
    thread_id: i64,
    id: i64,
    created: i64,
    places: PlacesTrace,
}

/// The places that a message took.
#[derive(Debug, Clone, Copy)]
enum PlacesTrace {
    /// Its first one with its sender, which it keeps whatever changes later.
    New { sender_seq: u64 },
    /// The latest ones, until it changes again, and what it was changed to.
    Changed { sender_seq: Option<u64>, receiver_seq: Option<u64>, state: MessageState },
}

/// What changes of a message may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
struct MessageState {
    updated: i64,
    seen: bool,
    deleted: bool,
    dispatched: Option<i64>,
    hidden_for_sender: bool,
    hidden_for_receiver: bool,
}

/// The places of a message that is there.
#[derive(Debug, Clone, Copy, FromRow)]
struct PlacesRow {
    sender_first_seq: i64,
    sender_seq: i64,
    receiver_seq: Option<i64>,
    #[sqlx(flatten)]
    state: MessageState,
}

impl Trace {
    pub(in crate::store::writer) fn of_postgres(number: String) -> Self {
        Self { number: Some(number), ..Self::default() }
    }

    pub(in crate::store::writer) fn of_sends(
        until: Instant,
        references: Vec<(UserId, ClientRef)>,
    ) -> Self {
        Self { sends: Some(Box::new(SendsTrace { until, references })), ..Self::default() }
    }

    /// Until when it may take its turn behind what comes later. Nobody is told before that that its outcome is unknown.
    pub(crate) fn may_begin_until(&self) -> Option<Instant> {
        self.sends.as_ref().map(|sends| sends.until)
    }

    /// To be called before the commit.
    pub(in crate::store::writer) fn note(&mut self, rows: &Rows<'_>) {
        let new = rows.messages.last().map(|row| MessageTrace {
            thread_id: row.thread_id,
            id: row.id,
            created: row.created,
            places: PlacesTrace::New { sender_seq: row.sender_seq },
        });
        let changed = rows.changed.values().last().map(|row| MessageTrace {
            thread_id: row.thread_id,
            id: row.id,
            created: row.created,
            places: PlacesTrace::Changed {
                sender_seq: row.sender_seq,
                receiver_seq: row.receiver_seq,
                state: MessageState {
                    updated: row.updated,
                    seen: row.seen,
                    deleted: row.deleted,
                    dispatched: row.dispatched,
                    hidden_for_sender: row.hidden_for_sender,
                    hidden_for_receiver: row.hidden_for_receiver,
                },
            },
        });
        let state = |row: &ThreadStateRow| {
            let ThreadStateRow { user, thread_id, seq, seen_id, delivered_id, .. } = *row;
            let state = StateTrace { seq: seq?.cast_signed(), seen_id, delivered_id };
            Some(RowTrace::ThreadState { user, thread_id, state })
        };
        let state = rows.thread_states.iter().rev().find_map(state);
        let block = rows.blocks.iter().next_back().map(|((blocker, blocked), created)| {
            RowTrace::Block { blocker: *blocker, blocked: *blocked, created: *created }
        });
        self.row = new.or(changed).map(RowTrace::Message).or(state).or(block);
    }
}

impl PlacesTrace {
    /// What became of the transaction that took them, if it was not one that the server ended.
    fn judge(self, found: Option<PlacesRow>) -> CommitOutcome {
        let Some(found) = found else { return CommitOutcome::NotStored };
        let (ours, theirs) = match self {
            Self::New { sender_seq } => (Some(sender_seq), Some(found.sender_first_seq)),
            Self::Changed { sender_seq: ours @ Some(_), .. } => (ours, Some(found.sender_seq)),
            Self::Changed { sender_seq: None, receiver_seq, .. } => {
                (receiver_seq, found.receiver_seq)
            }
        };
        let Some(ours) = ours else { return CommitOutcome::Unknown };
        let Some(theirs) = theirs else { return CommitOutcome::NotStored };
        match (theirs.cast_unsigned().cmp(&ours), self) {
            // Another change has taken the place, in a history that lost this one.
            (Ordering::Equal, Self::Changed { state, .. }) if state != found.state => {
                CommitOutcome::Unknown
            }
            (Ordering::Equal, _) => CommitOutcome::Stored,
            (Ordering::Less, _) | (Ordering::Greater, Self::New { .. }) => CommitOutcome::NotStored,
            // It has changed since, perhaps in a history that lost what was changed here.
            (Ordering::Greater, Self::Changed { .. }) => CommitOutcome::Unknown,
        }
    }
}

impl StateTrace {
    /// One that has a later place may have ours before it, or not.
    fn judge(self, found: Option<Self>) -> CommitOutcome {
        let Some(found) = found else { return CommitOutcome::NotStored };
        match found.seq.cmp(&self.seq) {
            Ordering::Less => CommitOutcome::NotStored,
            Ordering::Equal if found == self => CommitOutcome::Stored,
            // Another change has taken the place, in a history that lost this one.
            Ordering::Equal | Ordering::Greater => CommitOutcome::Unknown,
        }
    }
}

/// A block that is not there may have been ended since: what it was is the same then.
fn judge_block(ours: Option<i64>, found: Option<i64>) -> CommitOutcome {
    match (ours, found) {
        (None, None) => CommitOutcome::Stored,
        (Some(ours), Some(found)) if ours == found => CommitOutcome::Stored,
        (Some(_), None) | (None, Some(_)) => CommitOutcome::NotStored,
        (Some(_), Some(_)) => CommitOutcome::Unknown,
    }
}

impl Open {
    pub(super) async fn judge(&mut self, row: RowTrace) -> Result<CommitOutcome, sqlx::Error> {
        let MessageTrace { thread_id, id, created, places } = match row {
            RowTrace::Message(message) => message,
            RowTrace::ThreadState { user, thread_id, state } => {
                let found = on!(
                    &mut self.connection,
                    fetch_optional,
                    sqlx::query_as(FIND_STATE).bind(user).bind(thread_id)
                )?;
                return Ok(state.judge(found));
            }
            RowTrace::Block { blocker, blocked, created } => {
                let found: Option<i64> = on!(
                    &mut self.connection,
                    fetch_optional,
                    sqlx::query_scalar(FIND_BLOCK).bind(blocker).bind(blocked)
                )?;
                return Ok(judge_block(created, found));
            }
        };
        let found = on!(
            &mut self.connection,
            fetch_optional,
            sqlx::query_as(FIND_PLACES).bind(thread_id).bind(id).bind(created)
        )?;
        Ok(places.judge(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: MessageState = MessageState {
        updated: 7,
        seen: false,
        deleted: false,
        dispatched: Some(9),
        hidden_for_sender: false,
        hidden_for_receiver: false,
    };

    fn found(sender_first_seq: i64, sender_seq: i64, receiver_seq: i64) -> Option<PlacesRow> {
        let receiver_seq = Some(receiver_seq);
        Some(PlacesRow { sender_first_seq, sender_seq, receiver_seq, state: STATE })
    }

    #[test]
    fn a_new_message_is_known_by_its_first_place_whatever_changed_it_since() {
        let new = PlacesTrace::New { sender_seq: 5 };
        assert_eq!(new.judge(None), CommitOutcome::NotStored);
        assert_eq!(new.judge(found(5, 5, 3)), CommitOutcome::Stored);
        assert_eq!(new.judge(found(5, 8, 9)), CommitOutcome::Stored);
        assert_eq!(new.judge(found(4, 5, 3)), CommitOutcome::NotStored);
        assert_eq!(new.judge(found(6, 6, 3)), CommitOutcome::NotStored);
    }

    #[test]
    fn a_change_is_known_until_the_next() {
        let changed = |sender_seq, receiver_seq| PlacesTrace::Changed {
            sender_seq,
            receiver_seq,
            state: STATE,
        };
        let (of_sender, of_receiver) = (changed(Some(5), None), changed(None, Some(5)));
        for (change, found) in [
            (of_sender, [found(1, 4, 9), found(1, 5, 9), found(1, 6, 9)]),
            (of_receiver, [found(1, 9, 4), found(1, 9, 5), found(1, 9, 6)]),
        ] {
            let outcomes = found.map(|found| change.judge(found));
            assert_eq!(
                outcomes,
                [CommitOutcome::NotStored, CommitOutcome::Stored, CommitOutcome::Unknown]
            );
        }
        // It had not been shown to its receiver before.
        let unseen =
            PlacesRow { sender_first_seq: 1, sender_seq: 1, receiver_seq: None, state: STATE };
        assert_eq!(of_receiver.judge(Some(unseen)), CommitOutcome::NotStored);
    }

    #[test]
    fn a_mark_is_known_until_the_next() {
        let state = |seq, seen_id| StateTrace { seq, seen_id, delivered_id: 9 };
        let judge = |found| state(5, 7).judge(found);
        assert_eq!(judge(None), CommitOutcome::NotStored);
        assert_eq!(judge(Some(state(4, 6))), CommitOutcome::NotStored);
        assert_eq!(judge(Some(state(5, 7))), CommitOutcome::Stored);
        assert_eq!(judge(Some(state(5, 6))), CommitOutcome::Unknown);
        assert_eq!(judge(Some(state(6, 7))), CommitOutcome::Unknown);
    }

    #[test]
    fn a_block_without_a_thread_is_known_by_its_time() {
        assert_eq!(judge_block(Some(5), Some(5)), CommitOutcome::Stored);
        assert_eq!(judge_block(Some(5), None), CommitOutcome::NotStored);
        assert_eq!(judge_block(Some(5), Some(4)), CommitOutcome::Unknown);
        assert_eq!(judge_block(None, None), CommitOutcome::Stored);
        assert_eq!(judge_block(None, Some(4)), CommitOutcome::NotStored);
    }

    #[test]
    fn a_place_that_another_change_has_taken_proves_nothing() {
        let state = MessageState { dispatched: Some(8), ..STATE };
        let change = PlacesTrace::Changed { sender_seq: Some(5), receiver_seq: None, state };
        assert_eq!(change.judge(found(1, 5, 9)), CommitOutcome::Unknown);
    }
}
