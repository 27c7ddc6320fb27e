//! The live subscriptions of this core, by user.
//!
//! Publishing never waits and never fails: a subscription whose queue is full is marked behind, and
//! reads the store instead. The same mends any hole in the sequence.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use netrox_proto::{ids::UserId, v1};

use crate::error::Error;

/// Events that wait for a slow subscriber.
const QUEUE_EVENTS: usize = 256;

/// A change that one user should learn of.
#[derive(Debug, Clone)]
pub(crate) struct LiveEvent {
    pub(crate) seq: u64,
    /// Whether the user is the message's sender.
    pub(crate) sent: bool,
    pub(crate) message: Arc<v1::Message>,
}

/// A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    users: HashMap<UserId, Vec<Arc<Slot>>>,
    closed: Option<Error>,
}

/// The queue of one subscription.
#[derive(Debug)]
struct Slot {
    received_only: bool,
    state: Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    queue: VecDeque<Entry>,
    /// Events were lost: the store has them.
    behind: bool,
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

/// What a subscription finds in its queue.
#[derive(Debug)]
pub(crate) enum Taken {
    Entry(Entry),
    Behind,
    Closed(Error),
}

/// A lock is held for a few instructions that do not panic; if one did, the data is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Events published from now on are queued, until the registration is dropped.
    pub(crate) fn register(
        &self,
        user: UserId,
        received_only: bool,
    ) -> Result<Registration, Error> {
        let slot = Arc::new(Slot { received_only, state: Mutex::default() });
        let mut registry = lock(&self.0);
        if let Some(error) = &registry.closed {
            return Err(error.clone());
        }
        registry.users.entry(user).or_default().push(Arc::clone(&slot));
        Ok(Registration { hub: self.clone(), user, slot })
    }

    pub(crate) fn publish(&self, user: UserId, event: &LiveEvent) {
        let registry = lock(&self.0);
        let Some(slots) = registry.users.get(&user) else { return };
        for slot in slots {
            slot.push(event);
        }
    }

    /// Makes every subscription look into the store.
    pub(crate) fn resync(&self) {
        for slot in lock(&self.0).users.values().flatten() {
            slot.update(|state| state.behind = true);
        }
    }

    /// Ends the subscriptions of a user.
    pub(crate) fn close_user(&self, user: UserId, error: &Error) {
        for slot in lock(&self.0).users.get(&user).into_iter().flatten() {
            slot.update(|state| state.closed = Some(error.clone()));
        }
    }

    /// Ends all subscriptions, and refuses further ones.
    pub(crate) fn close(&self, error: &Error) {
        let mut registry = lock(&self.0);
        registry.closed = Some(error.clone());
        for slot in registry.users.values().flatten() {
            slot.update(|state| state.closed = Some(error.clone()));
        }
    }
}

impl Slot {
    fn update(&self, change: impl FnOnce(&mut SlotState)) {
        let mut state = lock(&self.state);
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn push(&self, event: &LiveEvent) {
        if event.sent && self.received_only {
            // No reason to wake anyone.
            lock(&self.state).skip(event.seq);
        } else {
            self.update(|state| state.push(Entry::Event(event.clone())));
        }
    }
}

impl SlotState {
    fn push(&mut self, entry: Entry) {
        if self.behind {
            return;
        }
        if self.queue.len() >= QUEUE_EVENTS {
            self.queue = VecDeque::new();
            self.behind = true;
            return;
        }
        self.queue.push_back(entry);
    }

    fn skip(&mut self, seq: u64) {
        match self.queue.back_mut() {
            Some(Entry::Skipped(_, last)) if *last + 1 == seq => *last = seq,
            _ => self.push(Entry::Skipped(seq, seq)),
        }
    }
}

/// A place in the hub; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    hub: Hub,
    user: UserId,
    slot: Arc<Slot>,
}

impl Registration {
    /// The next entry. After [`Taken::Behind`] the queue starts anew: what is published from then on is
    /// in it again, so that reading the store after it leaves no hole.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Taken> {
        let mut state = lock(&self.slot.state);
        if let Some(error) = &state.closed {
            return Poll::Ready(Taken::Closed(error.clone()));
        }
        if state.behind {
            state.behind = false;
            state.queue.clear();
            return Poll::Ready(Taken::Behind);
        }
        if let Some(entry) = state.queue.pop_front() {
            if state.queue.is_empty() {
                // Idle subscriptions are many; each keeps nothing it does not need.
                state.queue = VecDeque::new();
            }
            return Poll::Ready(Taken::Entry(entry));
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut registry = lock(&self.hub.0);
        if let Some(slots) = registry.users.get_mut(&self.user) {
            slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
            if slots.is_empty() {
                registry.users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

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
    fn a_dropped_registration_leaves_nothing_behind() {
        let hub = Hub::default();
        drop(hub.register(user(), false).expect("open"));
        assert!(lock(&hub.0).users.is_empty());
        hub.close(&Error::ShuttingDown);
        assert!(hub.register(user(), false).is_err());
    }
}
