use std::task::Waker;

use super::{
    queue::{QUEUE_CHANGES, Skipped},
    *,
};
use crate::{
    change::{FeedScope, Subject},
    delivery::due::{Due, DueFeeds},
};

const START: Start = Start(7);

fn at(seq: u64) -> Position {
    Position { start: START, seq }
}

fn change(seq: u64, sent: bool) -> Change {
    let subject =
        if sent { Subject::Sent(Arc::default()) } else { Subject::Received(Arc::default()) };
    Change { to: user(), place: at(seq), prior: START, first_seq: seq, subject, request: None }
}

/// As another core tells of it.
fn sent_elsewhere(seq: u64) -> Change {
    Change { subject: Subject::SentElsewhere, ..change(seq, true) }
}

/// A hub that others write beside, and whose feeds it wants to have compared.
fn clustered() -> (Hub, Due) {
    let due = Due::default();
    (Hub::new(Some(due.clone())), due)
}

fn register(hub: &Hub, received_only: bool) -> Registration {
    let scope = if received_only { FeedScope::Received } else { FeedScope::Messages };
    hub.register(user(), scope.into(), || None).expect("open")
}

/// What is asked of the store; the hub remembers what it was told until then.
fn ask(hub: &Hub, due: &Due) -> FeedStarts {
    match due.take() {
        DueFeeds::All => hub.ask_all().0,
        DueFeeds::Of(users) => hub.ask(users),
    }
}

/// What the store has of the feed, which moved in later starts.
fn end(position: Position, later: &[(Start, i64)]) -> FeedEnd {
    FeedEnd::of_test(position, false, later)
}

fn user() -> UserId {
    UserId(uuid::Uuid::from_u128(1))
}

fn take(registration: &Registration) -> Option<Next> {
    match registration.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => Some(taken),
        Poll::Pending => None,
    }
}

/// The first and the last place.
fn skipped(registration: &Registration) -> (u64, u64) {
    match take(registration) {
        Some(Next::Entry(Entry::Skipped(Skipped { first, last, .. }))) => (first, last.seq),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_subscriber_did_not_ask_for_is_one_entry() {
    let hub = Hub::default();
    let registration = register(&hub, true);
    for seq in 1..=3 {
        hub.publish(&change(seq, true));
    }
    hub.publish(&change(4, false));
    assert_eq!(skipped(&registration), (1, 3));
    assert!(matches!(take(&registration), Some(Next::Entry(Entry::Change(_)))));
    assert!(take(&registration).is_none());
}

#[test]
fn a_full_queue_is_dropped_and_starts_anew() {
    let hub = Hub::default();
    let registration = register(&hub, false);
    for seq in 0..=QUEUE_CHANGES as u64 {
        hub.publish(&change(seq, false));
    }
    assert!(matches!(take(&registration), Some(Next::Behind)));
    hub.publish(&change(1_000, false));
    assert!(matches!(
        take(&registration),
        Some(Next::Entry(Entry::Change(Change { place: Position { seq: 1_000, .. }, .. })))
    ));
}

#[test]
fn a_feed_that_ends_later_in_the_store_is_read() {
    let (hub, due) = clustered();
    let registration = register(&hub, true);
    hub.found_end(user(), &end(at(9), &[]));
    assert!(take(&registration).is_none(), "its position is not known yet");
    registration.start(at(5));
    assert_eq!(ask(&hub, &due), [(user(), START)]);
    hub.publish(&change(6, true));
    hub.found_end(user(), &end(at(6), &[]));
    assert_eq!(skipped(&registration), (6, 6));
    hub.found_end(user(), &end(at(7), &[]));
    assert!(matches!(take(&registration), Some(Next::Behind)));
    hub.found_end(user(), &end(at(7), &[]));
    assert!(take(&registration).is_none(), "it reads the store already");
    hub.found_end(user(), &FeedEnd::of_test(at(7), true, &[]));
    assert!(matches!(take(&registration), Some(Next::Closed(Error::UserDeleted))));
}

/// The hint of what another core committed before the user's own message was lost.
#[test]
fn a_message_of_the_users_own_does_not_hide_what_was_lost_before_it() {
    for received_only in [true, false] {
        let (hub, due) = clustered();
        let registration = register(&hub, received_only);
        registration.start(at(1));
        ask(&hub, &due);
        hub.publish(&change(3, true));
        if received_only {
            assert!(take(&registration).is_none(), "the hint may be a moment late");
            assert_eq!(ask(&hub, &due), [(user(), START)]);
            hub.found_end(user(), &end(at(3), &[]));
            assert!(matches!(take(&registration), Some(Next::Behind)));
        } else {
            // Whoever takes it sees the hole.
            assert!(matches!(take(&registration), Some(Next::Entry(Entry::Change(_)))));
        }
        hub.found_end(user(), &end(at(3), &[]));
        assert!(take(&registration).is_none(), "it reads the store already");
    }
}

#[test]
fn places_on_both_sides_of_a_hole_are_not_joined() {
    let (hub, _) = clustered();
    let registration = register(&hub, true);
    registration.start(at(1));
    hub.publish(&sent_elsewhere(2));
    hub.publish(&sent_elsewhere(4));
    hub.publish(&sent_elsewhere(5));
    // It was looked up before the last was published.
    hub.found_end(user(), &end(at(4), &[]));
    assert!(matches!(take(&registration), Some(Next::Behind)));
    hub.publish(&sent_elsewhere(6));
    assert_eq!(skipped(&registration), (6, 6));
}

#[test]
fn a_hint_that_is_late_is_delivered_at_once() {
    let (hub, _) = clustered();
    let registration = register(&hub, true);
    registration.start(at(1));
    hub.publish(&change(3, true));
    hub.publish(&change(2, false));
    assert!(matches!(
        take(&registration),
        Some(Next::Entry(Entry::Change(Change { place: Position { seq: 2, .. }, .. })))
    ));
    hub.found_end(user(), &end(at(3), &[]));
    assert!(matches!(take(&registration), Some(Next::Behind)), "its place was left out");
}

/// What came before the position was known proves nothing about what is missing before it.
#[test]
fn what_is_published_before_the_start_hides_nothing() {
    let (hub, _) = clustered();
    let registration = register(&hub, true);
    hub.publish(&change(6, true));
    registration.start(at(4));
    hub.found_end(user(), &end(at(6), &[]));
    assert!(matches!(take(&registration), Some(Next::Behind)));
}

/// A database that went back gives the same places again.
#[test]
fn a_subscription_whose_position_is_lost_is_ended() {
    let later = Start(9);
    let found = |position: Position, later: &[(Start, i64)]| {
        let (hub, due) = clustered();
        let registration = register(&hub, true);
        registration.start(at(5));
        ask(&hub, &due);
        // What comes between the question and the answer is not in the answer.
        hub.publish(&change(6, true));
        hub.found_end(user(), &end(position, later));
        loop {
            match take(&registration) {
                Some(Next::Closed(Error::EpochChanged)) => return true,
                Some(_) => {}
                None => return false,
            }
        }
    };
    let place = |seq| Position { start: later, seq };
    assert!(!found(at(5), &[]));
    assert!(found(at(4), &[]), "the feed ends before it");
    assert!(found(place(9), &[(later, 4)]), "others have its place now");
    assert!(!found(place(9), &[(later, 5)]), "nothing of it was lost");
    assert!(found(place(9), &[(Start(8), 4), (later, 8)]));
}

#[test]
fn a_start_that_the_store_does_not_have_ends_whoever_was_told_of_it() {
    let (hub, due) = clustered();
    let registration = register(&hub, true);
    registration.start(at(5));
    let asked = ask(&hub, &due);
    hub.lost_start(&asked, Start(8));
    assert!(take(&registration).is_none());
    hub.lost_start(&asked, START);
    assert!(matches!(take(&registration), Some(Next::Closed(Error::EpochChanged))));
}

#[test]
fn what_does_not_follow_in_another_start_is_read_from_the_store() {
    let (hub, _) = clustered();
    let registration = register(&hub, true);
    registration.start(at(5));
    let later = |seq| Position { start: Start(9), seq };
    // Of the user's own, which are no reason to wake anyone otherwise.
    let own = |seq, prior| Change { place: later(seq), prior, ..change(seq, true) };
    hub.publish(&own(6, START));
    assert_eq!(skipped(&registration), (6, 6), "it is the next");
    hub.publish(&own(7, Start(9)));
    assert_eq!(skipped(&registration), (7, 7));
    let much_later = Position { start: Start(11), seq: 8 };
    let own = Change { place: much_later, prior: Start(10), ..change(8, true) };
    hub.publish(&own);
    assert!(matches!(take(&registration), Some(Next::Behind)), "it follows another");
    // A hint of the history that was lost, late.
    hub.publish(&change(8, false));
    assert!(matches!(take(&registration), Some(Next::Behind)));
}

/// The first message after the server was started again comes before the subscription knows where its feed ends.
#[test]
fn what_is_published_before_the_start_of_another_history_is_not_mixed_with_it() {
    let (hub, due) = clustered();
    let registration = register(&hub, true);
    let later = |seq| Position { start: Start(9), seq };
    hub.publish(&Change { place: later(15), ..change(15, false) });
    registration.start(at(14));
    ask(&hub, &due);
    hub.found_end(user(), &end(later(15), &[(Start(9), 14)]));
    assert!(matches!(take(&registration), Some(Next::Behind)), "it is read from the store");
    assert!(take(&registration).is_none());
}

/// A core of 0.1.0 tells no start: what it commits after a later start says nothing of the history.
#[test]
fn a_hint_without_a_start_beyond_a_hole_does_not_move_the_position() {
    for sent in [true, false] {
        let (hub, due) = clustered();
        let registration = register(&hub, true);
        registration.start(at(10));
        let place = Position { start: Start::default(), seq: 12 };
        hub.publish(&Change { place, prior: Start::default(), ..change(12, sent) });
        ask(&hub, &due);
        let found = Position { start: Start(9), seq: 12 };
        hub.found_end(user(), &end(found, &[(Start(9), 10)]));
        let mut taken = Vec::new();
        taken.extend(std::iter::from_fn(|| take(&registration)));
        assert!(matches!(taken.last(), Some(Next::Behind)), "{taken:?}");
    }
}

#[test]
fn a_subscriber_to_everything_reads_from_the_store_what_was_sent_elsewhere() {
    let hub = Hub::default();
    let registration = register(&hub, false);
    hub.publish(&sent_elsewhere(4));
    assert!(matches!(take(&registration), Some(Next::Behind)));
}

#[test]
fn a_change_is_not_new() {
    let hub = Hub::default();
    for received_only in [true, false] {
        let registration = register(&hub, received_only);
        hub.publish(&Change { first_seq: 2, ..change(4, false) });
        match take(&registration) {
            Some(Next::Entry(Entry::Skipped(skipped))) if received_only => {
                assert_eq!((skipped.first, skipped.last), (4, at(4)));
            }
            Some(Next::Entry(Entry::Change(change))) if !received_only => {
                assert_eq!(change.first_seq, 2);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_dropped_registration_leaves_nothing_behind() {
    let hub = Hub::default();
    drop(register(&hub, false));
    assert!(lock(&hub.0.registry).users.is_empty());
    hub.close(&Error::ShuttingDown);
    assert!(hub.register(user(), FeedScope::Messages.into(), || None).is_err());
}

#[test]
fn what_the_store_shows_and_nobody_tells_is_missed() {
    let (hub, _) = clustered();
    let registration = register(&hub, true);
    registration.start(at(1));
    // A comparison of all, which finds the end of the feed there.
    let compare = |seq| {
        let has_missed = lock(&hub.0.registry).users[&user()].has_missed();
        hub.found_end(user(), &end(at(seq), &[]));
        has_missed
    };
    // What it lacks at first is of the time before it listened.
    assert!(!compare(2));
    assert!(!compare(2));
    assert!(!compare(3));
    assert!(compare(3), "nobody told it");
    // A hint that is a moment later than the comparison.
    assert!(!compare(4));
    hub.publish(&change(4, false));
    assert!(!compare(5));
    hub.publish(&sent_elsewhere(5));
    assert!(!compare(5));
    // The next one is told, and this one never was.
    assert!(!compare(6));
    hub.publish(&change(7, false));
    assert!(compare(7));
}
