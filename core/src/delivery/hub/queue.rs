//! The queue of one subscription.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::lane::Lane;
use crate::{
    change::{Change, FeedScope, Subject, ThreadSubject, Typing, Wanted},
    error::Error,
    store::{
        feed::FeedEnd,
        history::{Position, Start},
    },
};
use netrox_proto::ids::UserId;

/// Changes that wait for a slow subscriber: as many as a commit may have for one user, because reading
/// them from the store again costs more than holding them.
pub(super) const QUEUE_CHANGES: usize = 1_024;
/// The same in bytes of text, beyond which no further change is queued.
const QUEUE_BYTES: usize = 1024 * 1024;

/// The queue of one subscription.
#[derive(Debug)]
pub(super) struct Queue {
    wanted: Wanted,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Text in the queue.
    bytes: usize,
    /// Changes were lost: the store has them.
    behind: bool,
    /// Whether the subscription knows its position.
    started: bool,
    /// The last place in the sequence that it was told of, or began at. It never stands beyond a hole that
    /// nothing wakes the subscription for: the store would have nothing later to show.
    told: Position,
    /// The same when the store was asked for the end of the feed; the beginning where it was not.
    asked: Position,
    /// The last place that stands beyond such a hole.
    beyond: u64,
    /// The place that the store was found to have, where the subscription had not been told of it; 0 if there is none.
    found: u64,
    /// How often all were compared since it began: what it lacks at first nobody had to tell it.
    rounds: u8,
    /// Behind all changes.
    signals: Lane,
    closed: Option<Error>,
    waker: Option<Waker>,
}

/// What a subscription wants to have of a change.
enum Interest {
    Whole,
    /// The same, but only the store has it.
    InStore,
    /// It did not ask for it.
    Place,
}

/// What stands in a queue.
#[derive(Debug)]
pub(crate) enum Entry {
    Change(Change),
    Skipped(Skipped),
}

/// Places in the sequence that the subscriber did not ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) first: u64,
    pub(crate) last: Position,
    /// The start that the place before them is in.
    pub(crate) prior: Start,
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Self::Change(change) => change.text_len(),
            Self::Skipped(_) => 0,
        }
    }
}

/// What a subscription finds in its queue.
#[derive(Debug)]
pub(crate) enum Next {
    Entry(Entry),
    Signal(Typing),
    Behind,
    Closed(Error),
}

/// A lock is held for a few instructions that do not panic; if one did, the data is still sound.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self { wanted, state: Mutex::default() }
    }

    pub(super) fn start(&self, end: Position) {
        let mut state = lock(&self.state);
        state.started = true;
        let told = state.told;
        if told.start == end.start {
            state.told.seq = told.seq.max(end.seq);
        } else if told != Position::default() {
            // Of two starts, the places are never compared: the store knows what is between them.
            state.behind = true;
            state.told = if told.start > end.start { told } else { end };
        } else {
            state.told = end;
        }
    }

    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Next> {
        let mut state = lock(&self.state);
        if let Some(error) = &state.closed {
            return Poll::Ready(Next::Closed(error.clone()));
        }
        if state.behind {
            state.behind = false;
            state.entries.clear();
            state.bytes = 0;
            return Poll::Ready(Next::Behind);
        }
        if let Some(entry) = state.entries.pop_front() {
            state.bytes -= entry.bytes();
            if state.entries.is_empty() {
                // Idle subscriptions are many; each keeps nothing it does not need.
                state.entries = VecDeque::new();
            }
            return Poll::Ready(Next::Entry(entry));
        }
        if let Some(typing) = state.signals.pop() {
            return Poll::Ready(Next::Signal(typing));
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
        wake(state);
    }

    /// Drops what a peer said and nobody has taken.
    pub(super) fn forget(&self, peer: UserId) {
        lock(&self.state).signals.forget_user(peer);
    }

    /// Whether a signal had to go for it.
    pub(super) fn signal(&self, typing: Typing) -> bool {
        if !self.wanted.typing {
            return false;
        }
        let mut state = lock(&self.state);
        let shed = state.signals.push(typing);
        wake(state);
        shed
    }

    /// Whether it leaves a hole that the subscription is not woken for.
    pub(super) fn push(&self, change: &Change) -> bool {
        let Change { place, prior, .. } = *change;
        let mut state = lock(&self.state);
        state.is_told(place);
        if let Subject::Received(message) = &change.subject {
            // Who has written types no more.
            state.signals.forget(&message.sender_id);
        }
        match self.interest(change) {
            _ if state.is_elsewhere(place, prior) => state.fall_behind(place),
            Interest::Whole => state.push(Entry::Change(change.clone()), place),
            Interest::InStore => state.fall_behind(place),
            // No reason to wake anyone.
            Interest::Place => return state.skip(place, prior),
        }
        wake(state);
        false
    }

    fn interest(&self, change: &Change) -> Interest {
        match (&change.subject, self.wanted.scope) {
            (Subject::Received(_), FeedScope::Received) if change.is_new() => Interest::Whole,
            (
                Subject::Received(_) | Subject::Sent(_) | Subject::SentElsewhere,
                FeedScope::Received,
            )
            | (Subject::Thread(_), FeedScope::Received | FeedScope::Messages) => Interest::Place,
            (
                Subject::Received(_) | Subject::Sent(_),
                FeedScope::Messages | FeedScope::MessagesAndThreads,
            )
            | (
                Subject::Thread(ThreadSubject::State(_) | ThreadSubject::InStore(_)),
                FeedScope::MessagesAndThreads,
            ) => Interest::Whole,
            (Subject::SentElsewhere, FeedScope::Messages | FeedScope::MessagesAndThreads)
            | (Subject::Thread(ThreadSubject::Elsewhere), FeedScope::MessagesAndThreads) => {
                Interest::InStore
            }
        }
    }

    /// Keeps what it was told until the store has been read; gives the start of it.
    pub(super) fn ask(&self) -> Option<Start> {
        let mut state = lock(&self.state);
        state.asked = if state.started { state.told } else { Position::default() };
        state.started.then_some(state.told.start)
    }

    pub(super) fn found_end(&self, end: &FeedEnd) {
        let place = end.position();
        let (is_lost, is_behind) = {
            let mut state = lock(&self.state);
            let is_lost = end.has_lost(std::mem::take(&mut state.asked));
            let is_behind = state.told.seq < place.seq || state.told.start < place.start;
            (is_lost, state.started && is_behind)
        };
        if is_lost {
            self.close(&Error::EpochChanged);
        } else if is_behind {
            // Otherwise there is no reason to wake anyone.
            self.update(|state| {
                if state.rounds > 1 {
                    state.found = place.seq;
                }
                state.fall_behind(place);
            });
        }
    }

    /// Whether it had to learn from the store what nobody has told it since. To be called before each comparison of all.
    pub(super) fn take_missed(&self) -> bool {
        let mut state = lock(&self.state);
        state.rounds = if state.started { state.rounds.saturating_add(1) } else { 0 };
        std::mem::take(&mut state.found) > 0
    }

    pub(super) fn lost_start(&self, start: Start) {
        if lock(&self.state).asked.start == start {
            self.close(&Error::EpochChanged);
        }
    }
}

/// The subscription, once the lock is released.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl State {
    /// Whether a place is in another start than what was told last, and not the next after it: then the store knows what is
    /// missing between the two, or that they belong to different histories.
    fn is_elsewhere(&self, place: Position, prior: Start) -> bool {
        let is_next = prior == self.told.start && place.seq == self.told.seq + 1;
        self.started && self.here(place).start != self.told.start && !is_next
    }

    /// What was found just before it was told was not missed.
    fn is_told(&mut self, place: Position) {
        if place.seq <= self.found {
            self.found = 0;
        }
    }

    /// A core of 0.1.0 does not tell the start.
    fn here(&self, place: Position) -> Position {
        if place.start == Start::default() {
            return Position { start: self.told.start, ..place };
        }
        place
    }

    /// To be called with what is not elsewhere. Without a start it says nothing of what is beyond a hole.
    fn tell(&mut self, place: Position) {
        if place.start == Start::default() && self.started && place.seq > self.told.seq + 1 {
            return;
        }
        let start = self.told.start.max(place.start);
        self.told = Position { start, seq: self.told.seq.max(place.seq) };
    }

    /// To be followed by a wake: a hole before it is seen when it is taken.
    fn push(&mut self, entry: Entry, place: Position) {
        self.tell(place);
        self.enqueue(entry, place.seq);
    }

    fn enqueue(&mut self, entry: Entry, seq: u64) {
        if self.behind {
            return;
        }
        if self.entries.len() >= QUEUE_CHANGES || self.bytes >= QUEUE_BYTES {
            return self.fall_behind(Position { seq, ..self.told });
        }
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
    }

    /// Whether there is a hole before it: then it is left out, to be found with what is missing. Before the start
    /// nobody knows, and what is published meanwhile is compared with the store after it.
    fn skip(&mut self, place: Position, prior: Start) -> bool {
        let seq = place.seq;
        if self.started {
            if seq > self.told.seq + 1 {
                if place.start != Start::default() {
                    self.beyond = self.beyond.max(seq);
                }
                return true;
            }
            self.tell(place);
        }
        match self.entries.back_mut() {
            Some(Entry::Skipped(skipped))
                if skipped.last.seq + 1 == seq && skipped.last.start == place.start =>
            {
                skipped.last = place;
            }
            _ => self.enqueue(Entry::Skipped(Skipped { first: seq, last: place, prior }), seq),
        }
        false
    }

    /// What will be read has all that was published before.
    fn fall_behind(&mut self, place: Position) {
        if place.start > self.told.start {
            // Places of the start before say nothing of those in this one.
            (self.told, self.beyond) = (place, 0);
        } else if place.start == self.told.start {
            self.told.seq = self.told.seq.max(place.seq).max(self.beyond);
        }
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.behind = true;
    }
}
