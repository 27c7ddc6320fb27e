use std::task::Waker;

use super::{queue::QUEUE_EVENTS, *};

fn event(seq: u64, sent: bool) -> LiveEvent {
    LiveEvent { seq, sent, message: Arc::default() }
}

fn user() -> UserId {
    UserId(uuid::Uuid::from_u128(1))
}

fn take(registration: &Registration) -> Option<Taken> {
    match registration.poll_take(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => Some(taken),
        Poll::Pending => None,
    }
}

#[test]
fn what_a_subscriber_did_not_ask_for_is_one_entry() {
    let hub = Hub::default();
    let registration = hub.register(user(), true).expect("open");
    for seq in 1..=3 {
        hub.publish(user(), &event(seq, true));
    }
    hub.publish(user(), &event(4, false));
    assert!(matches!(take(&registration), Some(Taken::Entry(Entry::Skipped(1, 3)))));
    assert!(matches!(take(&registration), Some(Taken::Entry(Entry::Event(_)))));
    assert!(take(&registration).is_none());
}

#[test]
fn a_full_queue_is_dropped_and_starts_anew() {
    let hub = Hub::default();
    let registration = hub.register(user(), false).expect("open");
    for seq in 0..=QUEUE_EVENTS as u64 {
        hub.publish(user(), &event(seq, false));
    }
    assert!(matches!(take(&registration), Some(Taken::Behind)));
    hub.publish(user(), &event(1_000, false));
    assert!(matches!(
        take(&registration),
        Some(Taken::Entry(Entry::Event(LiveEvent { seq: 1_000, .. })))
    ));
}

#[test]
fn a_feed_that_ends_later_in_the_store_is_read() {
    let hub = Hub::clustered();
    let registration = hub.register(user(), true).expect("open");
    hub.found_end(user(), 9, false);
    assert!(take(&registration).is_none(), "its position is not known yet");
    registration.start(5);
    assert!(matches!(hub.take_to_check(), ToCheck::Some(users) if users == [user()]));
    hub.publish(user(), &event(6, true));
    hub.found_end(user(), 6, false);
    assert!(matches!(take(&registration), Some(Taken::Entry(Entry::Skipped(6, 6)))));
    hub.found_end(user(), 7, false);
    assert!(matches!(take(&registration), Some(Taken::Behind)));
    hub.found_end(user(), 7, false);
    assert!(take(&registration).is_none(), "it reads the store already");
    hub.found_end(user(), 7, true);
    assert!(matches!(take(&registration), Some(Taken::Closed(Error::UserDeleted))));
}

/// The hint of what another core committed before the user's own message was lost.
#[test]
fn a_message_of_the_users_own_does_not_hide_what_was_lost_before_it() {
    for received_only in [true, false] {
        let hub = Hub::clustered();
        let registration = hub.register(user(), received_only).expect("open");
        registration.start(1);
        hub.take_to_check();
        hub.publish(user(), &event(3, true));
        if received_only {
            assert!(take(&registration).is_none(), "the hint may be a moment late");
            assert!(matches!(hub.take_to_check(), ToCheck::Some(users) if users == [user()]));
            hub.found_end(user(), 3, false);
            assert!(matches!(take(&registration), Some(Taken::Behind)));
        } else {
            // Whoever takes it sees the hole.
            assert!(matches!(take(&registration), Some(Taken::Entry(Entry::Event(_)))));
        }
        hub.found_end(user(), 3, false);
        assert!(take(&registration).is_none(), "it reads the store already");
    }
}

#[test]
fn places_on_both_sides_of_a_hole_are_not_joined() {
    let hub = Hub::clustered();
    let registration = hub.register(user(), true).expect("open");
    registration.start(1);
    hub.publish_sent(user(), 2);
    hub.publish_sent(user(), 4);
    hub.publish_sent(user(), 5);
    // It was looked up before the last was published.
    hub.found_end(user(), 4, false);
    assert!(matches!(take(&registration), Some(Taken::Behind)));
    hub.publish_sent(user(), 6);
    assert!(matches!(take(&registration), Some(Taken::Entry(Entry::Skipped(6, 6)))));
}

#[test]
fn a_hint_that_is_late_is_delivered_at_once() {
    let hub = Hub::clustered();
    let registration = hub.register(user(), true).expect("open");
    registration.start(1);
    hub.publish(user(), &event(3, true));
    hub.publish(user(), &event(2, false));
    assert!(matches!(
        take(&registration),
        Some(Taken::Entry(Entry::Event(LiveEvent { seq: 2, .. })))
    ));
    hub.found_end(user(), 3, false);
    assert!(matches!(take(&registration), Some(Taken::Behind)), "its place was left out");
}

/// What came before the position was known proves nothing about what is missing before it.
#[test]
fn what_is_published_before_the_start_hides_nothing() {
    let hub = Hub::clustered();
    let registration = hub.register(user(), true).expect("open");
    hub.publish(user(), &event(6, true));
    registration.start(4);
    hub.found_end(user(), 6, false);
    assert!(matches!(take(&registration), Some(Taken::Behind)));
}

#[test]
fn a_dropped_registration_leaves_nothing_behind() {
    let hub = Hub::default();
    drop(hub.register(user(), false).expect("open"));
    assert!(lock(&hub.0.registry).users.is_empty());
    hub.close(&Error::ShuttingDown);
    assert!(hub.register(user(), false).is_err());
}
