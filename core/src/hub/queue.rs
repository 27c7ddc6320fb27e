//! The queue of one subscription.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::LiveEvent;
use crate::error::Error;

/// Events that wait for a slow subscriber: as many as a commit may have for one user, because reading
/// them from the store again costs more than holding them.
pub(super) const QUEUE_EVENTS: usize = 1_024;
/// The same in bytes of text, beyond which no further event is queued.
const QUEUE_BYTES: usize = 1024 * 1024;

/// The queue of one subscription.
#[derive(Debug)]
pub(super) struct Queue {
    received_only: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Text in the queue.
    bytes: usize,
    /// Events were lost: the store has them.
    behind: bool,
    /// Whether the subscription knows its position.
    started: bool,
    /// The last place in the sequence that it was told of, or began at. It never stands beyond a hole that
    /// nothing wakes the subscription for: the store would have nothing later to show.
    told: u64,
    /// The last place that stands beyond such a hole.
    beyond: u64,
    closed: Option<Error>,
    waker: Option<Waker>,
}

/// What stands in a queue.
#[derive(Debug)]
pub(crate) enum Entry {
    Event(LiveEvent),
    /// Places in the sequence that the subscriber did not ask for, first and last.
    Skipped(u64, u64),
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Self::Event(event) => event.message.body.len(),
            Self::Skipped(..) => 0,
        }
    }
}

/// What a subscription finds in its queue.
#[derive(Debug)]
pub(crate) enum Taken {
    Entry(Entry),
    Behind,
    Closed(Error),
}

/// A lock is held for a few instructions that do not panic; if one did, the data is still sound.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    pub(super) fn new(received_only: bool) -> Self {
        Self { received_only, state: Mutex::default() }
    }

    pub(super) fn start(&self, last_seq: u64) {
        let mut state = lock(&self.state);
        state.started = true;
        state.told = state.told.max(last_seq);
    }

    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Taken> {
        let mut state = lock(&self.state);
        if let Some(error) = &state.closed {
            return Poll::Ready(Taken::Closed(error.clone()));
        }
        if state.behind {
            state.behind = false;
            state.entries.clear();
            state.bytes = 0;
            return Poll::Ready(Taken::Behind);
        }
        if let Some(entry) = state.entries.pop_front() {
            state.bytes -= entry.bytes();
            if state.entries.is_empty() {
                // Idle subscriptions are many; each keeps nothing it does not need.
                state.entries = VecDeque::new();
            }
            return Poll::Ready(Taken::Entry(entry));
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Makes the subscription look into the store.
    pub(super) fn resync(&self) {
        self.update(|state| state.behind = true);
    }

    pub(super) fn close(&self, error: &Error) {
        self.update(|state| state.closed = Some(error.clone()));
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it leaves a hole that the subscription is not woken for.
    pub(super) fn push(&self, event: &LiveEvent) -> bool {
        if event.sent && self.received_only {
            // No reason to wake anyone.
            return lock(&self.state).skip(event.seq);
        }
        self.update(|state| state.push(Entry::Event(event.clone()), event.seq));
        false
    }

    /// The same.
    pub(super) fn push_sent(&self, seq: u64) -> bool {
        if self.received_only {
            return lock(&self.state).skip(seq);
        }
        self.update(|state| state.fall_behind(seq));
        false
    }

    pub(super) fn found_end(&self, last_seq: u64) {
        // Otherwise there is no reason to wake anyone.
        let is_behind = {
            let state = lock(&self.state);
            state.started && state.told < last_seq
        };
        if is_behind {
            self.update(|state| state.fall_behind(last_seq));
        }
    }
}

impl State {
    /// To be followed by a wake: a hole before it is seen when it is taken.
    fn push(&mut self, entry: Entry, seq: u64) {
        self.told = self.told.max(seq);
        self.enqueue(entry, seq);
    }

    fn enqueue(&mut self, entry: Entry, seq: u64) {
        if self.behind {
            return;
        }
        if self.entries.len() >= QUEUE_EVENTS || self.bytes >= QUEUE_BYTES {
            return self.fall_behind(seq);
        }
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
    }

    /// Whether there is a hole before it: then it is left out, to be found with what is missing. Before the start
    /// nobody knows, and what is published meanwhile is compared with the store after it.
    fn skip(&mut self, seq: u64) -> bool {
        if self.started {
            if seq > self.told + 1 {
                self.beyond = self.beyond.max(seq);
                return true;
            }
            self.told = self.told.max(seq);
        }
        match self.entries.back_mut() {
            Some(Entry::Skipped(_, last)) if *last + 1 == seq => *last = seq,
            _ => self.enqueue(Entry::Skipped(seq, seq), seq),
        }
        false
    }

    /// What will be read has all that was published before.
    fn fall_behind(&mut self, seq: u64) {
        self.told = self.told.max(seq).max(self.beyond);
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.behind = true;
    }
}
