mod block;
mod mark;
mod quota;

use std::collections::HashSet;

use netrox_proto::ids::ClientRef;
use uuid::Uuid;

use super::*;
use crate::{
    command::{Dispatch, NewAttachment, NewMessage},
    committer::Stored,
    store::{
        batch::StoredMessage,
        message::{AttachmentColumns, MessageRow, ParticipantsRow},
    },
};

const NOW: i64 = 1_000_000;

fn user(number: u8) -> UserId {
    UserId(Uuid::from_u128(number.into()))
}

/// Users 1 to 3, of whom the third is deleted; 1 and 2 have a thread.
fn loaded(last_activity: i64) -> BatchData {
    let mut loaded = BatchData::default();
    for number in 1..=3u8 {
        let key = UserKey(number.into());
        let row = UserState {
            id: user(number).0,
            key,
            deleted: number == 3,
            last_seq: 10,
            start: Start(1),
            has_blocks: false,
        };
        loaded.users.insert(user(number), row);
    }
    let pair = (UserKey(1), UserKey(2));
    loaded.threads.insert(pair, ThreadState::new(7, pair, UserKey(1), last_activity));
    loaded.message_ids = vec![101, 102, 103].into_iter();
    loaded.thread_ids = vec![8].into_iter();
    loaded
}

fn plan<'a>(last_activity: i64) -> Plan<'a> {
    Plan::new(loaded(last_activity), NOW, Start(1))
}

fn text(sender: u8, receiver: u8) -> NewMessage {
    NewMessage::text(user(sender), user(receiver), "hello".into())
}

fn stored(stored: Result<Stored, Error>) -> StoredMessage {
    match stored {
        Ok(Stored::Now(stored, _) | Stored::Again(stored)) => stored,
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
    let first = stored(plan.send(&one));
    let second = stored(plan.send(&two));
    assert_eq!((first.id, second.id), (101, 102));
    assert_eq!((first.created, second.created), (NOW + 5_001, NOW + 5_002));
    plan.finish();
    let activity = |row: &ActivityRow| (row.thread.id, row.thread.last_activity, row.last_message);
    let activities: Vec<_> = plan.rows.activities.iter().map(activity).collect();
    assert_eq!(activities, [(7, NOW + 5_002, 102)]);
    assert!(plan.rows.threads.is_empty());
}

#[test]
fn every_change_takes_one_place_in_the_feed_of_each_participant() {
    let mut plan = plan(0);
    let writes = [text(1, 2), text(1, 2), text(2, 1)];
    for write in &writes {
        stored(plan.send(write));
    }
    plan.finish();
    assert_eq!(feeds(&plan), [(UserKey(1), 13), (UserKey(2), 13)]);
    for number in [1, 2] {
        let seqs = plan.changes.iter().filter(|change| change.to == user(number));
        assert_eq!(seqs.map(|change| change.place.seq).collect::<Vec<_>>(), [11, 12, 13]);
    }
}

#[test]
fn where_a_feed_stood_is_noted_when_it_first_moves_in_a_start() {
    let mut plan = Plan::new(loaded(0), NOW, Start(2));
    let writes = [text(1, 2), text(2, 1)];
    for write in &writes {
        stored(plan.send(write));
    }
    plan.finish();
    let noted = |user| FeedStartRow { user: UserKey(user), start: Start(2), last_seq: 10 };
    assert_eq!(plan.rows.feed_starts, [noted(1), noted(2)]);
    assert!(plan.rows.feeds.iter().all(|user| user.start == Start(2)));
    assert!(plan.changes.iter().all(|change| change.place.start == Start(2)));
}

#[test]
fn a_feed_that_moved_in_a_later_start_stays_in_it() {
    let mut plan = Plan::new(loaded(0), NOW, Start(0));
    let write = text(1, 2);
    stored(plan.send(&write));
    plan.finish();
    assert!(plan.rows.feed_starts.is_empty());
    assert!(plan.changes.iter().all(|change| change.place.start == Start(1)));
}

#[test]
fn a_refused_write_leaves_no_trace_and_the_others_stand() {
    let mut plan = plan(0);
    let writes = [text(1, 9), text(1, 3), text(9, 1), text(3, 1), text(1, 2)];
    let answers: Vec<_> = writes.iter().map(|write| plan.send(write)).collect();
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
    let id = stored(plan.send(&first)).id;
    assert_eq!(stored(plan.send(&again)).id, id);
    assert_ne!(stored(plan.send(&of_another)).id, id);
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
            stored(plan.send(&second));
        }
        let before = plan.rows.messages.len();
        let (repetition, of_another) = (repeated(&first), repeated(&of_another));
        assert!(matches!(plan.send(&repetition), Err(Error::Overtaken)));
        assert_eq!(plan.rows.messages.len(), before);
        stored(plan.send(&of_another));
    }
}

#[test]
fn what_was_refused_when_it_was_repeated_is_refused_whenever_it_comes() {
    for refused in [text(1, 9), text(1, 3), text(3, 1)] {
        let mut plan = plan(0);
        let refused = NewMessage { client_ref: reference(4), ..refused };
        let repetition = repeated(&refused);
        assert!(plan.send(&repetition).is_err());
        assert_eq!(refusals(&plan), [reference(4).expect("a reference")]);
        for copy in [&refused, &repetition] {
            assert!(matches!(plan.send(copy), Err(Error::Overtaken)), "within the batch");
        }
        assert_eq!(plan.rows.refusals.len(), 1);
    }
    let mut plan = plan(0);
    let message = NewMessage { client_ref: reference(4), ..text(1, 2) };
    plan.loaded.refused.insert((UserKey(1), reference(4).expect("a reference")));
    assert!(matches!(plan.send(&message), Err(Error::Overtaken)), "an earlier batch");
}

#[test]
fn a_first_copy_that_is_refused_may_be_sent_again() {
    let mut plan = plan(0);
    let unknown = NewMessage { client_ref: reference(4), ..text(1, 9) };
    assert!(plan.send(&unknown).is_err());
    // Nobody is remembered who is not there.
    let nobody = repeated(&NewMessage { client_ref: reference(4), ..text(9, 1) });
    assert!(plan.send(&nobody).is_err());
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
            let answer = plan.send(message);
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
    stored(plan.send(&file));
    plan.finish();
    assert_eq!(plan.rows.messages[0].receiver_seq, None);
    assert_eq!(feeds(&plan), [(UserKey(1), 11)]);
    let missing = Dispatch { sender: user(1), message_id: 5 };
    assert!(matches!(plan.dispatch(&missing), Err(Error::MessageNotFound)));
}

/// A file of user 1 for user 2, the message 50.
fn with_file() -> BatchData {
    let mut loaded = loaded(0);
    let attachment =
        AttachmentColumns { path: Some("attachments/a".into()), ..AttachmentColumns::default() };
    let message = MessageRow {
        id: 50,
        thread_id: 7,
        sender: UserKey(1),
        receiver: UserKey(2),
        body: "a file".into(),
        created: NOW + 9,
        updated: NOW + 9,
        seen: false,
        deleted: false,
        attachment: attachment.into(),
        reply_to: None,
        meta: None,
        sender_seq: 9,
        receiver_seq: None,
        hidden_for_sender: false,
        hidden_for_receiver: false,
        receiver_sees: None,
        client_ref: None,
    };
    loaded.messages.insert(50, ParticipantsRow::of_test(message, user(1), user(2)));
    loaded
}

#[test]
fn a_dispatch_shows_the_file_to_its_receiver_as_new_and_to_its_sender_as_changed() {
    let mut plan = Plan::new(with_file(), NOW, Start(1));
    let dispatch = Dispatch { sender: user(1), message_id: 50 };
    let done = plan.dispatch(&dispatch).expect("dispatched");
    assert_eq!((done.at, done.already), (NOW + 9, false), "not before it was sent");
    let again = plan.dispatch(&dispatch).expect("dispatched before");
    assert_eq!((again.at, again.already), (NOW + 9, true));
    plan.finish();
    assert_eq!(feeds(&plan), [(UserKey(1), 11), (UserKey(2), 11)]);
    let row = &plan.rows.changed[&50];
    assert_eq!((row.id, row.dispatched, row.updated), (50, Some(NOW + 9), NOW + 9));
    assert_eq!((row.sender_seq, row.receiver_seq), (Some(11), Some(11)));
    let told: Vec<_> =
        plan.changes.iter().map(|change| (change.to, change.first_seq, change.is_new())).collect();
    assert_eq!(told, [(user(1), 9, false), (user(2), 11, true)]);
}

#[test]
fn nobody_dispatches_the_file_of_another_or_one_that_is_deleted() {
    let mut plan = Plan::new(with_file(), NOW, Start(1));
    let of_another = plan.dispatch(&Dispatch { sender: user(2), message_id: 50 });
    assert!(matches!(of_another, Err(Error::MessageNotFound)));
    let mut loaded = with_file();
    loaded.messages.get_mut(&50).expect("there").message.deleted = true;
    let mut plan = Plan::new(loaded, NOW, Start(1));
    let deleted = plan.dispatch(&Dispatch { sender: user(1), message_id: 50 });
    assert!(matches!(deleted, Err(Error::MessageNotFound)));
    assert!(plan.changes.is_empty() && plan.rows.changed.is_empty());
}

#[test]
fn the_first_writer_of_a_new_thread_is_user_one() {
    let mut plan = Plan::new(
        BatchData { threads: std::collections::HashMap::new(), ..loaded(0) },
        NOW,
        Start(1),
    );
    let (one, two) = (text(2, 1), text(1, 2));
    assert_eq!(stored(plan.send(&one)).thread_id, 8);
    assert_eq!(stored(plan.send(&two)).thread_id, 8);
    plan.finish();
    let NewThreadRow { id, low_key, high_key, user_one, created } = plan.rows.threads[0];
    assert_eq!(
        (id, low_key, high_key, user_one, created),
        (8, UserKey(1), UserKey(2), UserKey(2), NOW)
    );
}
