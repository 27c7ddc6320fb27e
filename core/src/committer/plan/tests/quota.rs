use std::time::Duration;

use super::*;
use crate::{
    quotas::NewConversations,
    store::quota::{Begun, FirstContacts},
};

/// In microseconds.
const PERIOD: i64 = 600;

fn quotas(count: u32, storage_bytes: Option<u64>) -> Quotas {
    let period = Duration::from_micros(PERIOD.unsigned_abs());
    Quotas { new_conversations: Some(NewConversations { count, period }), storage_bytes }
}

/// User 2 knows nobody but user 1, and user 4 is nobody's yet.
fn known(begun: Begun) -> BatchData {
    let mut known = loaded(0);
    let (id, key) = (user(4).0, UserKey(4));
    let (last_seq, start, has_blocks) = (0, Start(1), false);
    let row = UserState { id, key, deleted: false, last_seq, start, has_blocks };
    known.users.insert(user(4), row);
    known.begun.insert(UserKey(1), begun);
    known.thread_ids = vec![8, 9].into_iter();
    known
}

fn wait(result: Result<Stored, Error>) -> i64 {
    match result {
        Err(Error::ConversationsLimited { wait }) => wait.as_micros() as i64,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_next_conversation_may_begin_when_the_oldest_is_over() {
    for (oldest, expected) in [(NOW - 400, 200), (NOW - 599, 1), (NOW, PERIOD), (NOW + 5, 605)] {
        let begun = Begun { count: 2, oldest: Some(oldest) };
        let mut plan = Plan::new(known(begun), NOW, Start(1)).within(quotas(2, None));
        let (new, old) = (text(1, 4), text(1, 2));
        assert_eq!(wait(plan.send(&new)), expected);
        stored(plan.send(&old));
        plan.finish();
        assert_eq!((plan.rows.threads.len(), plan.rows.messages.len()), (0, 1));
    }
}

#[test]
fn conversations_of_the_same_batch_count() {
    let mut known = known(Begun { count: 0, oldest: None });
    known.users.get_mut(&user(3)).expect("known").deleted = false;
    let mut plan = Plan::new(known, NOW, Start(1)).within(quotas(1, None));
    let (first, again, second) = (text(1, 4), text(4, 1), text(1, 3));
    stored(plan.send(&first));
    // The other's reply begins none, nor does a second one to the same.
    stored(plan.send(&again));
    stored(plan.send(&first));
    assert_eq!(wait(plan.send(&second)), PERIOD);
}

#[test]
fn a_refused_repetition_of_an_edge_stays_refused() {
    let begun = Begun { count: 1, oldest: Some(NOW) };
    let mut plan = Plan::new(known(begun), NOW, Start(1)).within(quotas(1, None));
    let first = NewMessage { client_ref: Some(ClientRef(Uuid::from_u128(7))), ..text(1, 4) };
    let repetition = NewMessage { is_repetition: true, ..first.clone() };
    wait(plan.send(&repetition));
    assert_eq!(plan.rows.refusals.len(), 1);
    assert!(matches!(plan.send(&first), Err(Error::Overtaken)));
}

fn file(bytes: i64) -> NewMessage {
    let attachment = NewAttachment {
        path: "path".into(),
        file_name: "name".into(),
        size: bytes,
        content_type: "text/plain".into(),
    };
    NewMessage { attachment: Some(attachment), ..text(1, 2) }
}

#[test]
fn files_of_the_same_batch_take_storage() {
    let mut known = loaded(0);
    known.stored_files.insert(UserKey(1), 100);
    let mut plan = Plan::new(known, NOW, Start(1)).within(quotas(1, Some(1_000)));
    let (large, fits, empty, one) = (file(901), file(900), file(0), file(1));
    assert!(matches!(plan.send(&large), Err(Error::StorageExceeded { limit: 1_000 })));
    stored(plan.send(&fits));
    stored(plan.send(&empty));
    assert!(matches!(plan.send(&one), Err(Error::StorageExceeded { .. })));
}

#[test]
fn without_quotas_nothing_is_asked() {
    let (message, mut query) = (file(1), BatchQuery::default());
    super::super::quota::ask(&message, &Quotas::default(), NOW, &mut query);
    assert_eq!((query.first_contacts, query.stored_files_of.len()), (None, 0));
    super::super::quota::ask(&message, &quotas(3, Some(1)), NOW, &mut query);
    let contacts = FirstContacts { since: NOW - PERIOD, most: 3 };
    assert_eq!((query.first_contacts, query.stored_files_of.len()), (Some(contacts), 1));
}
