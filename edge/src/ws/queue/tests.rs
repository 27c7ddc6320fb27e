use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use super::*;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn is_bounded_in_frames_and_in_bytes() {
    let queue = Outgoing::new(Generation::V1, 2, 10, Place::of_nobody());
    queue.set_stalled(None);
    assert_eq!(queue.push("12345678901234567890".into()), Push::Done);
    assert_eq!(queue.push("1".into()), Push::Full { stalled_since: None });
    assert!(queue.pop().is_some());
    assert_eq!(queue.push("1".into()), Push::Done);
    assert_eq!(queue.push("2345678901".into()), Push::Full { stalled_since: None });
    assert_eq!(queue.push("2".into()), Push::Done);
    assert_eq!(queue.push("3".into()), Push::Full { stalled_since: None });
    assert_eq!(queue.pop(), Some("1".into()));
    assert_eq!(queue.pop(), Some("2".into()));
    assert_eq!(queue.pop(), None);
}

#[test]
fn what_is_told_first_comes_before_what_waits_but_for_the_first_of_all() {
    let queue = Outgoing::new(Generation::V2, 4, 10, Place::of_nobody());
    let all = || std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>();
    queue.push("hello".into());
    queue.push("1".into());
    assert_eq!(queue.push_first("2".into()), Push::Done);
    assert_eq!(all(), ["hello", "2", "1"]);
    for frame in ["1", "2", "3"] {
        queue.push(frame.into());
    }
    assert_eq!(queue.push_first("4".into()), Push::Done);
    assert!(matches!(queue.push_first("5".into()), Push::Full { .. }));
    assert_eq!(all(), ["4", "1", "2", "3"]);
    queue.close(CloseReason::Draining);
    assert_eq!(queue.push_first("6".into()), Push::Done);
    assert!(queue.is_empty());
}

#[test]
fn the_first_reason_to_close_counts_and_takes_answers_only() {
    let queue = Outgoing::new(Generation::V1, 4, 10, Place::of_nobody());
    queue.push("1".into());
    queue.close(CloseReason::Draining);
    queue.close(CloseReason::TooSlow);
    assert_eq!(queue.push("2".into()), Push::Done);
    assert_eq!(queue.push_answer("3".into()), Push::Done);
    assert_eq!(queue.pop(), Some("1".into()));
    assert_eq!(queue.pop(), Some("3".into()));
    let cx = Context::from_waker(Waker::noop());
    assert_eq!(queue.poll_close(&cx), Some(CloseReason::Draining));
}

#[test]
fn what_ends_it_at_once_does_so_whatever_was_the_reason_before() {
    let queue = Outgoing::new(Generation::V1, 4, 10, Place::of_nobody());
    queue.push("1".into());
    queue.close(CloseReason::Draining);
    queue.close(CloseReason::TokenRevoked);
    queue.close(CloseReason::SessionEnded);
    assert!(queue.is_empty());
    let cx = Context::from_waker(Waker::noop());
    assert_eq!(queue.poll_close(&cx), Some(CloseReason::TokenRevoked));
}

#[test]
fn a_consumer_too_slow_gets_nothing_more() {
    let queue = Outgoing::new(Generation::V1, 2, 10, Place::of_nobody());
    queue.push("1".into());
    queue.close(CloseReason::TooSlow);
    assert!(queue.is_empty());
}

#[test]
fn wakes_the_session_for_a_first_frame_and_for_a_close() {
    let queue = Outgoing::new(Generation::V1, 4, 10, Place::of_nobody());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let cx = Context::from_waker(&waker);
    queue.poll_close(&cx);
    queue.push("1".into());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    queue.poll_close(&cx);
    queue.push("2".into());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    queue.close(CloseReason::TooSlow);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
}

#[test]
fn the_feed_waits_for_room_for_a_stall_or_for_the_end() {
    let full = || {
        let queue = Outgoing::new(Generation::V1, 2, 10, Place::of_nobody());
        queue.set_stalled(None);
        queue.push("1".into());
        queue.push("2".into());
        queue
    };
    let changes: [fn(&Outgoing); 4] = [
        |queue| assert!(queue.pop().is_some()),
        |queue| queue.set_stalled(Some(Instant::now())),
        |queue| queue.close(CloseReason::Draining),
        Outgoing::seal,
    ];
    for change in changes {
        let queue = full();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        let mut changed = pin!(queue.changed(1, None));
        assert!(changed.as_mut().poll(&mut cx).is_pending());
        change(&queue);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(changed.as_mut().poll(&mut cx).is_ready());
    }
}
