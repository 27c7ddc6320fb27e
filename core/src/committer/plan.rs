//! What a batch of writes becomes, decided in memory: who may write, which ids and sequence numbers are
//! given, what each caller is answered and what each user learns. No database in here.

use std::{collections::BTreeMap, sync::Arc};

use netrox_proto::{
    ids::{ClientRef, UserId},
    time::timestamp,
    v1,
};

use super::{Dispatched, Write, Written};
use crate::{
    command::{Dispatch, MAX_ID, NewAttachment, NewMessage},
    error::Error,
    hub::LiveEvent,
    store::{
        batch::{
            DispatchRow, Loaded, NewMessageRow, NewThreadRow, Pair, RefusalRow, Rows,
            StoredMessage, ThreadState, UserState, Wanted,
        },
        history::{FeedStartRow, Position, Start},
        user::UserKey,
    },
};

/// What the writes of a batch have to know of the database.
pub(super) fn wanted<'a>(writes: impl IntoIterator<Item = &'a Write>) -> Wanted {
    let mut wanted = Wanted::default();
    for write in writes {
        match write {
            Write::Message(message) => {
                wanted.users.extend([message.sender, message.receiver]);
                wanted.pairs.push((message.sender, message.receiver));
                wanted.new_messages += 1;
                if let Some(client_ref) = message.client_ref {
                    wanted.client_refs.push((message.sender, client_ref));
                    if message.is_repetition {
                        wanted.repetitions.push((message.sender, client_ref));
                    }
                }
            }
            Write::Dispatch(dispatch) => {
                wanted.users.push(dispatch.sender);
                wanted.messages.push(dispatch.message_id);
            }
            _ => {}
        }
    }
    wanted
}

/// The writes so far, as rows, answers and events.
pub(super) struct Plan<'a> {
    loaded: Loaded,
    now: i64,
    /// The start that feeds move in.
    start: Start,
    pub(super) rows: Rows<'a>,
    pub(super) events: Vec<(UserId, LiveEvent)>,
    /// What the batch changes.
    feeds: BTreeMap<UserKey, UserState>,
    threads: BTreeMap<Pair, ThreadState>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(loaded: Loaded, now: i64, start: Start) -> Self {
        Self {
            loaded,
            now,
            start,
            rows: Rows::default(),
            events: Vec::new(),
            feeds: BTreeMap::new(),
            threads: BTreeMap::new(),
        }
    }

    pub(super) fn message(&mut self, message: &'a NewMessage) -> Result<Written, Error> {
        let sender = self.user(message.sender).ok_or(Error::UserUnknown)?;
        if let Some(client_ref) = message.client_ref {
            let reference = (sender.key, client_ref);
            if let Some(stored) = self.loaded.client_refs.get(&reference) {
                return Ok(Written::Message(*stored));
            }
            if self.loaded.refused.contains(&reference) {
                return Err(Error::Overtaken);
            }
        }
        let receiver = match self.receiver(sender, message) {
            Ok(receiver) => receiver,
            Err(error) => {
                self.refuse(sender, message);
                return Err(error);
            }
        };

        let id = next_id(&mut self.loaded.message_ids)?;
        let (thread_id, created) = self.thread_activity(sender.key, receiver.key)?;
        let sender_place = self.next_place(sender);
        let receiver_place = message.attachment.is_none().then(|| self.next_place(receiver));
        let start = self.rows.bodies.len();
        self.rows.bodies.extend_from_slice(message.body.as_bytes());
        self.rows.messages.push(NewMessageRow {
            thread_id,
            id,
            sender: sender.key,
            receiver: receiver.key,
            body: start..self.rows.bodies.len(),
            created,
            sender_seq: sender_place.seq(),
            receiver_seq: receiver_place.map(|place| place.seq()),
            client_ref: message.client_ref,
            attachment: message.attachment.as_ref(),
        });
        let stored = StoredMessage { id, thread_id, created };
        if let Some(client_ref) = message.client_ref {
            self.loaded.client_refs.insert((sender.key, client_ref), stored);
        }
        let on_wire = Arc::new(v1::Message {
            id,
            thread_id,
            sender_id: message.sender.to_string(),
            receiver_id: message.receiver.to_string(),
            body: message.body.clone(),
            created: Some(timestamp(created)),
            updated: Some(timestamp(created)),
            seen: false,
            deleted: false,
            attachment: message.attachment.as_ref().map(NewAttachment::undispatched),
        });
        self.publish(message.sender, sender_place, None, true, &on_wire);
        if let Some(place) = receiver_place {
            self.publish(message.receiver, place, None, false, &on_wire);
        }
        Ok(Written::Message(stored))
    }

    /// To whom it may be sent.
    fn receiver(&self, sender: UserState, message: &NewMessage) -> Result<UserState, Error> {
        if sender.deleted {
            return Err(Error::UserDeleted);
        }
        if message.is_repetition && self.is_overtaken(sender.key, message) {
            return Err(Error::Overtaken);
        }
        let receiver = self.user(message.receiver).filter(|receiver| !receiver.deleted);
        receiver.ok_or(Error::ReceiverUnknown)
    }

    /// Whether a later message of the sender's is stored, or will be with this batch.
    fn is_overtaken(&self, sender: UserKey, message: &NewMessage) -> bool {
        let Some(client_ref) = message.client_ref else { return false };
        let Some(last_later) = client_ref.last_later() else { return false };
        let is_later = |other: ClientRef| {
            let is_of_version = other.0.get_version_num() == client_ref.0.get_version_num();
            is_of_version && client_ref < other && other <= last_later
        };
        self.loaded.overtaken.contains(&(sender, client_ref))
            || self
                .rows
                .messages
                .iter()
                .any(|row| row.sender == sender && row.client_ref.is_some_and(is_later))
    }

    /// Makes the refusal of a repetition true: an earlier copy, which may be on its way still, finds it.
    fn refuse(&mut self, sender: UserState, message: &NewMessage) {
        let (Some(client_ref), true) = (message.client_ref, message.is_repetition) else { return };
        self.loaded.refused.insert((sender.key, client_ref));
        self.rows.refusals.push(RefusalRow { sender: sender.key, client_ref, refused: self.now });
    }

    pub(super) fn dispatch(&mut self, dispatch: &Dispatch) -> Result<Written, Error> {
        let sender = self.user(dispatch.sender).ok_or(Error::UserUnknown)?;
        if sender.deleted {
            return Err(Error::UserDeleted);
        }
        let row =
            self.loaded.messages.get_mut(&dispatch.message_id).ok_or(Error::MessageNotFound)?;
        let message = &mut row.message;
        if message.sender != sender.key || message.deleted || message.attachment.path.is_none() {
            return Err(Error::MessageNotFound);
        }
        if let Some(dispatched) = message.attachment.dispatched {
            return Ok(Written::Dispatched(Dispatched { at: dispatched, already: true }));
        }
        let dispatched = self.now.max(message.created);
        message.attachment.dispatched = Some(dispatched);
        let (receiver_id, row) = (row.receiver_id(), row.clone());
        let receiver = self.user(receiver_id).ok_or(Error::Internal)?;

        let sender_place = self.next_place(sender);
        let receiver_place = self.next_place(receiver);
        self.rows.dispatches.push(DispatchRow {
            thread_id: row.message.thread_id,
            id: row.message.id,
            dispatched,
            sender_seq: sender_place.seq(),
            receiver_seq: receiver_place.seq(),
        });
        let sender_first_seq = row.sender_first_seq();
        let on_wire = Arc::new(row.into_wire());
        self.publish(dispatch.sender, sender_place, Some(sender_first_seq), true, &on_wire);
        self.publish(receiver_id, receiver_place, None, false, &on_wire);
        Ok(Written::Dispatched(Dispatched { at: dispatched, already: false }))
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

    /// The thread of a pair, and the instant of its next message: later than that of the last one,
    /// also when the clock steps back.
    fn thread_activity(&mut self, one: UserKey, two: UserKey) -> Result<(i64, i64), Error> {
        let pair @ (low_key, high_key) = (one.min(two), one.max(two));
        let known = self.threads.get(&pair).or_else(|| self.loaded.threads.get(&pair));
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
        self.threads.insert(pair, thread);
        Ok((thread.id, thread.last_activity))
    }

    /// `first_seq` is that of a message which has appeared before.
    fn publish(
        &mut self,
        user: UserId,
        Place { at, prior }: Place,
        first_seq: Option<u64>,
        sent: bool,
        message: &Arc<v1::Message>,
    ) {
        let (message, first_seq) = (Arc::clone(message), first_seq.unwrap_or(at.seq));
        self.events.push((user, LiveEvent { place: at, prior, first_seq, sent, message }));
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
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn user(number: u8) -> UserId {
        UserId(Uuid::from_u128(number.into()))
    }

    /// Users 1 to 3, of whom the third is deleted; 1 and 2 have a thread.
    fn loaded(last_activity: i64) -> Loaded {
        let mut loaded = Loaded::default();
        for number in 1..=3u8 {
            let key = UserKey(number.into());
            let row = UserState {
                id: user(number).0,
                key,
                deleted: number == 3,
                last_seq: 10,
                start: Start(1),
            };
            loaded.users.insert(user(number), row);
        }
        let (low_key, high_key) = (UserKey(1), UserKey(2));
        loaded
            .threads
            .insert((low_key, high_key), ThreadState { id: 7, low_key, high_key, last_activity });
        loaded.message_ids = vec![101, 102, 103].into_iter();
        loaded.thread_ids = vec![8].into_iter();
        loaded
    }

    fn plan<'a>(last_activity: i64) -> Plan<'a> {
        Plan::new(loaded(last_activity), NOW, Start(1))
    }

    fn text(sender: u8, receiver: u8) -> NewMessage {
        NewMessage {
            sender: user(sender),
            receiver: user(receiver),
            body: "hello".into(),
            client_ref: None,
            is_repetition: false,
            attachment: None,
        }
    }

    fn stored(written: Result<Written, Error>) -> StoredMessage {
        match written {
            Ok(Written::Message(stored)) => stored,
            other => panic!("{other:?}"),
        }
    }

    fn feeds(plan: &Plan<'_>) -> Vec<(UserKey, i64)> {
        plan.rows.feeds.iter().map(|user| (user.key, user.last_seq)).collect()
    }

    #[test]
    fn ids_and_times_grow_in_a_conversation_when_the_clock_steps_back() {
        let mut plan = plan(NOW + 5_000);
        let (one, two) = (text(1, 2), text(2, 1));
        let first = stored(plan.message(&one));
        let second = stored(plan.message(&two));
        assert_eq!((first.id, second.id), (101, 102));
        assert_eq!((first.created, second.created), (NOW + 5_001, NOW + 5_002));
        plan.finish();
        let activities =
            plan.rows.activities.iter().map(|thread| (thread.id, thread.last_activity));
        assert_eq!(activities.collect::<Vec<_>>(), [(7, NOW + 5_002)]);
        assert!(plan.rows.threads.is_empty());
    }

    #[test]
    fn every_change_takes_one_place_in_the_feed_of_each_participant() {
        let mut plan = plan(0);
        let writes = [text(1, 2), text(1, 2), text(2, 1)];
        for write in &writes {
            stored(plan.message(write));
        }
        plan.finish();
        assert_eq!(feeds(&plan), [(UserKey(1), 13), (UserKey(2), 13)]);
        for number in [1, 2] {
            let seqs = plan.events.iter().filter(|(to, _)| *to == user(number));
            assert_eq!(seqs.map(|(_, event)| event.place.seq).collect::<Vec<_>>(), [11, 12, 13]);
        }
    }

    #[test]
    fn where_a_feed_stood_is_noted_when_it_first_moves_in_a_start() {
        let mut plan = Plan::new(loaded(0), NOW, Start(2));
        let writes = [text(1, 2), text(2, 1)];
        for write in &writes {
            stored(plan.message(write));
        }
        plan.finish();
        let noted = |user| FeedStartRow { user: UserKey(user), start: Start(2), last_seq: 10 };
        assert_eq!(plan.rows.feed_starts, [noted(1), noted(2)]);
        assert!(plan.rows.feeds.iter().all(|user| user.start == Start(2)));
        assert!(plan.events.iter().all(|(_, event)| event.place.start == Start(2)));
    }

    #[test]
    fn a_feed_that_moved_in_a_later_start_stays_in_it() {
        let mut plan = Plan::new(loaded(0), NOW, Start(0));
        let write = text(1, 2);
        stored(plan.message(&write));
        plan.finish();
        assert!(plan.rows.feed_starts.is_empty());
        assert!(plan.events.iter().all(|(_, event)| event.place.start == Start(1)));
    }

    #[test]
    fn a_refused_write_leaves_no_trace_and_the_others_stand() {
        let mut plan = plan(0);
        let writes = [text(1, 9), text(1, 3), text(9, 1), text(3, 1), text(1, 2)];
        let answers: Vec<_> = writes.iter().map(|write| plan.message(write)).collect();
        plan.finish();
        assert!(matches!(answers[0], Err(Error::ReceiverUnknown)));
        assert!(matches!(answers[1], Err(Error::ReceiverUnknown)));
        assert!(matches!(answers[2], Err(Error::UserUnknown)));
        assert!(matches!(answers[3], Err(Error::UserDeleted)));
        assert!(answers[4].is_ok());
        assert_eq!((plan.rows.messages.len(), plan.rows.messages[0].id), (1, 101));
    }

    #[test]
    fn a_client_ref_is_stored_once_also_within_a_batch() {
        let mut plan = plan(0);
        let client_ref = Some(ClientRef(Uuid::from_u128(5)));
        let first = NewMessage { client_ref, ..text(1, 2) };
        let again = NewMessage { client_ref, body: "other".into(), ..text(1, 2) };
        let of_another = NewMessage { client_ref, ..text(2, 1) };
        let id = stored(plan.message(&first)).id;
        assert_eq!(stored(plan.message(&again)).id, id);
        assert_ne!(stored(plan.message(&of_another)).id, id);
        assert_eq!(plan.rows.messages.len(), 2);
    }

    /// The reference of this number of an edge that was started once.
    fn reference(number: u64) -> Option<ClientRef> {
        Some(ClientRef(Uuid::from_u64_pair(0x8123, 1 << 63 | number)))
    }

    fn repeated(message: &NewMessage) -> NewMessage {
        NewMessage { is_repetition: true, ..message.clone() }
    }

    fn refusals(plan: &Plan<'_>) -> Vec<ClientRef> {
        plan.rows.refusals.iter().map(|row| row.client_ref).collect()
    }

    #[test]
    fn a_repetition_is_not_stored_after_a_later_message() {
        for is_in_database in [true, false] {
            let mut plan = plan(0);
            let [first, second] =
                [4, 5].map(|number| NewMessage { client_ref: reference(number), ..text(1, 2) });
            let of_another = NewMessage { client_ref: first.client_ref, ..text(2, 1) };
            if is_in_database {
                plan.loaded.overtaken.insert((UserKey(1), first.client_ref.expect("a reference")));
            } else {
                stored(plan.message(&second));
            }
            let before = plan.rows.messages.len();
            let (repetition, of_another) = (repeated(&first), repeated(&of_another));
            assert!(matches!(plan.message(&repetition), Err(Error::Overtaken)));
            assert_eq!(plan.rows.messages.len(), before);
            stored(plan.message(&of_another));
        }
    }

    #[test]
    fn what_was_refused_when_it_was_repeated_is_refused_whenever_it_comes() {
        for refused in [text(1, 9), text(1, 3), text(3, 1)] {
            let mut plan = plan(0);
            let refused = NewMessage { client_ref: reference(4), ..refused };
            let repetition = repeated(&refused);
            assert!(plan.message(&repetition).is_err());
            assert_eq!(refusals(&plan), [reference(4).expect("a reference")]);
            for copy in [&refused, &repetition] {
                assert!(matches!(plan.message(copy), Err(Error::Overtaken)), "within the batch");
            }
            assert_eq!(plan.rows.refusals.len(), 1);
        }
        let mut plan = plan(0);
        let message = NewMessage { client_ref: reference(4), ..text(1, 2) };
        plan.loaded.refused.insert((UserKey(1), reference(4).expect("a reference")));
        assert!(matches!(plan.message(&message), Err(Error::Overtaken)), "an earlier batch");
    }

    #[test]
    fn a_first_copy_that_is_refused_may_be_sent_again() {
        let mut plan = plan(0);
        let unknown = NewMessage { client_ref: reference(4), ..text(1, 9) };
        assert!(plan.message(&unknown).is_err());
        // Nobody is remembered who is not there.
        let nobody = repeated(&NewMessage { client_ref: reference(4), ..text(9, 1) });
        assert!(plan.message(&nobody).is_err());
        assert!(refusals(&plan).is_empty());
    }

    /// Every order in which copies of three messages of one edge can come, in one batch or in one each: two that were
    /// sent once, of which one may be repeated, and the one between them.
    #[test]
    fn whatever_is_told_of_a_message_stays_true_in_every_order() {
        let copies: Vec<_> = [(1, false), (1, true), (2, false), (2, true), (3, false)]
            .into_iter()
            .map(|(number, is_repetition)| NewMessage {
                client_ref: reference(number),
                is_repetition,
                body: number.to_string(),
                ..text(1, 2)
            })
            .collect();
        for order in orders(copies.len()) {
            for batches in 0..1 << (copies.len() - 1) {
                let mut world = Model::default();
                let mut batch = Vec::new();
                for (place, copy) in order.iter().enumerate() {
                    batch.push(&copies[*copy]);
                    if batches & (1 << place) != 0 {
                        world.commit(&std::mem::take(&mut batch));
                    }
                }
                world.commit(&batch);
                world.check(&format!("{order:?} in {batches:b}"));
            }
        }
    }

    fn orders(count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![Vec::new()];
        }
        let insert = |order: Vec<usize>| {
            (0..count).map(move |place| {
                let mut order = order.clone();
                order.insert(place, count - 1);
                order
            })
        };
        orders(count - 1).into_iter().flat_map(insert).collect()
    }

    /// What a database would hold of the sends of user 1.
    #[derive(Default)]
    struct Model {
        stored: Vec<ClientRef>,
        refused: HashSet<(UserKey, ClientRef)>,
        /// What was told of repetitions: whether it is stored.
        told: Vec<(ClientRef, bool)>,
    }

    impl Model {
        fn commit(&mut self, batch: &[&NewMessage]) {
            let mut loaded = loaded(0);
            loaded.message_ids = (101..120).collect::<Vec<_>>().into_iter();
            loaded.refused = self.refused.clone();
            for client_ref in &self.stored {
                let stored = StoredMessage { id: 1, thread_id: 7, created: 0 };
                loaded.client_refs.insert((UserKey(1), *client_ref), stored);
            }
            for message in batch.iter().filter(|message| message.is_repetition) {
                let client_ref = message.client_ref.expect("a reference");
                if self.stored.iter().any(|later| *later > client_ref) {
                    loaded.overtaken.insert((UserKey(1), client_ref));
                }
            }
            let mut plan = Plan::new(loaded, NOW, Start(1));
            for message in batch {
                let client_ref = message.client_ref.expect("a reference");
                let answer = plan.message(message);
                if message.is_repetition {
                    self.told.push((client_ref, answer.is_ok()));
                }
            }
            plan.finish();
            let rows = &plan.rows;
            self.stored.extend(rows.messages.iter().filter_map(|row| row.client_ref));
            self.refused.extend(rows.refusals.iter().map(|row| (row.sender, row.client_ref)));
        }

        fn check(&self, what: &str) {
            for (client_ref, is_stored) in &self.told {
                let copies = self.stored.iter().filter(|stored| *stored == client_ref).count();
                assert_eq!(copies, usize::from(*is_stored), "{client_ref} {what}");
            }
        }
    }

    #[test]
    fn a_file_is_announced_to_its_sender_only() {
        let mut plan = plan(0);
        let attachment = Some(NewAttachment {
            path: "attachments/a".into(),
            file_name: "a".into(),
            size: 1,
            content_type: "image/png".into(),
        });
        let file = NewMessage { attachment, ..text(1, 2) };
        stored(plan.message(&file));
        plan.finish();
        assert_eq!(plan.rows.messages[0].receiver_seq, None);
        assert_eq!(feeds(&plan), [(UserKey(1), 11)]);
        let missing = Dispatch { sender: user(1), message_id: 5 };
        assert!(matches!(plan.dispatch(&missing), Err(Error::MessageNotFound)));
    }

    #[test]
    fn the_first_writer_of_a_new_thread_is_user_one() {
        let mut plan = Plan::new(
            Loaded { threads: std::collections::HashMap::new(), ..loaded(0) },
            NOW,
            Start(1),
        );
        let (one, two) = (text(2, 1), text(1, 2));
        assert_eq!(stored(plan.message(&one)).thread_id, 8);
        assert_eq!(stored(plan.message(&two)).thread_id, 8);
        plan.finish();
        let NewThreadRow { id, low_key, high_key, user_one, created } = plan.rows.threads[0];
        assert_eq!(
            (id, low_key, high_key, user_one, created),
            (8, UserKey(1), UserKey(2), UserKey(2), NOW)
        );
    }
}
