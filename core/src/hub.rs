//! The live subscriptions of this core, by user.
//!
//! Publishing never waits and never fails: a subscription whose queue is full is marked behind, and
//! reads the store instead. The same mends any hole in the sequence.
//!
//! In a cluster the hub tells the bus which users have subscriptions here, and keeps whose feeds are to be
//! compared with the store.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use netrox_proto::{ids::UserId, v1};
use tokio::sync::Notify;
use tokio_util::sync::DropGuard;

use crate::{bus::Bus, error::Error};

/// Events that wait for a slow subscriber: as many as a commit may have for one user, because reading
/// them from the store again costs more than holding them.
const QUEUE_EVENTS: usize = 1_024;
/// The same in bytes of text, beyond which no further event is queued.
const QUEUE_BYTES: usize = 1024 * 1024;

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
pub(crate) struct Hub(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    registry: Mutex<Registry>,
    /// Whether other cores write to the database.
    is_clustered: bool,
    bus: OnceLock<Bus>,
    check_wanted: Notify,
}

#[derive(Debug, Default)]
struct Registry {
    users: HashMap<UserId, Listeners>,
    /// Those whose feeds are to be compared with the store.
    to_check: HashSet<UserId>,
    check_all: bool,
    closed: Option<Error>,
}

/// The subscriptions of one user.
#[derive(Debug, Default)]
struct Listeners {
    slots: Vec<Arc<Slot>>,
    /// Held while anyone listens.
    _on_bus: Option<DropGuard>,
}

/// Whose feeds are to be compared with the store.
#[derive(Debug)]
pub(crate) enum ToCheck {
    All(Vec<UserId>),
    Some(Vec<UserId>),
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
        let mut registry = lock(&self.0.registry);
        if let Some(error) = &registry.closed {
            return Err(error.clone());
        }
        let listeners = registry.users.entry(user).or_insert_with(|| Listeners {
            slots: Vec::new(),
            _on_bus: self.0.bus.get().map(|bus| bus.listen(user, self)),
        });
        listeners.slots.push(Arc::clone(&slot));
        Ok(Registration { hub: self.clone(), user, slot })
    }

    /// Tells everyone, on this core and on the others, what was committed.
    pub(crate) fn publish_committed(&self, events: &[(UserId, LiveEvent)]) {
        for (user, event) in events {
            self.publish(*user, event);
        }
        if let Some(bus) = self.0.bus.get() {
            bus.publish(events);
        }
    }

    /// Ends the subscriptions of a user who was deleted, here and elsewhere.
    pub(crate) fn user_deleted(&self, user: UserId) {
        self.close_user(user, &Error::UserDeleted);
        if let Some(bus) = self.0.bus.get() {
            bus.publish_look(user);
        }
    }

    /// Tells the subscriptions of this core.
    pub(crate) fn publish(&self, user: UserId, event: &LiveEvent) {
        let mut hole = false;
        self.each_slot(user, |slot| hole |= slot.push(event));
        self.check_hole(user, hole);
    }

    /// The same where all that is known of it is that the user sent it.
    pub(crate) fn publish_sent(&self, user: UserId, seq: u64) {
        let mut hole = false;
        self.each_slot(user, |slot| hole |= slot.push_sent(seq));
        self.check_hole(user, hole);
    }

    /// A hole before a message of the user's own may be a hint of another core that was lost, or one that is a
    /// moment later than ours. The check gathers for longer than that, and asks for many users at once, where a
    /// subscription that is woken would read the store for each.
    fn check_hole(&self, user: UserId, hole: bool) {
        if hole {
            self.check(user);
        }
    }

    fn each_slot(&self, user: UserId, mut act: impl FnMut(&Slot)) {
        if let Some(listeners) = lock(&self.0.registry).users.get(&user) {
            listeners.slots.iter().for_each(|slot| act(slot));
        }
    }

    /// Makes every subscription look into the store where it may be behind.
    pub(crate) fn resync(&self) {
        if self.0.is_clustered {
            // One query for many, instead of one each all at once.
            return self.check_all();
        }
        for listeners in lock(&self.0.registry).users.values() {
            listeners.slots.iter().for_each(|slot| slot.update(|state| state.behind = true));
        }
    }

    /// Ends the subscriptions of a user.
    fn close_user(&self, user: UserId, error: &Error) {
        self.each_slot(user, |slot| slot.update(|state| state.closed = Some(error.clone())));
    }

    /// Ends all subscriptions, and refuses further ones.
    pub(crate) fn close(&self, error: &Error) {
        let mut registry = lock(&self.0.registry);
        registry.closed = Some(error.clone());
        for slot in registry.users.values().flat_map(|listeners| &listeners.slots) {
            slot.update(|state| state.closed = Some(error.clone()));
        }
    }
}

/// With other cores.
impl Hub {
    pub(crate) fn clustered() -> Self {
        Self(Arc::new(Shared { is_clustered: true, ..Shared::default() }))
    }

    /// To be called before anyone subscribes.
    pub(crate) fn use_bus(&self, bus: Bus) {
        // The first stays.
        let _ = self.0.bus.set(bus);
    }

    /// Has the feed of a user compared with the store.
    pub(crate) fn check(&self, user: UserId) {
        if self.0.is_clustered {
            lock(&self.0.registry).to_check.insert(user);
            self.0.check_wanted.notify_one();
        }
    }

    /// Has all live feeds compared with the store.
    pub(crate) fn check_all(&self) {
        lock(&self.0.registry).check_all = true;
        self.0.check_wanted.notify_one();
    }

    /// Returns when there is something to compare.
    pub(crate) async fn check_wanted(&self) {
        self.0.check_wanted.notified().await;
    }

    pub(crate) fn take_to_check(&self) -> ToCheck {
        let mut registry = lock(&self.0.registry);
        let some = std::mem::take(&mut registry.to_check);
        if std::mem::take(&mut registry.check_all) {
            ToCheck::All(registry.users.keys().copied().collect())
        } else {
            ToCheck::Some(some.into_iter().collect())
        }
    }

    /// The store was found to have changes of a user up to `last_seq`.
    pub(crate) fn found_end(&self, user: UserId, last_seq: u64, deleted: bool) {
        if deleted {
            self.close_user(user, &Error::UserDeleted);
        } else {
            self.each_slot(user, |slot| slot.found_end(last_seq));
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

    /// Whether it leaves a hole that the subscription is not woken for.
    fn push(&self, event: &LiveEvent) -> bool {
        if event.sent && self.received_only {
            // No reason to wake anyone.
            return lock(&self.state).skip(event.seq);
        }
        self.update(|state| state.push(Entry::Event(event.clone()), event.seq));
        false
    }

    /// The same.
    fn push_sent(&self, seq: u64) -> bool {
        if self.received_only {
            return lock(&self.state).skip(seq);
        }
        self.update(|state| state.fall_behind(seq));
        false
    }

    fn found_end(&self, last_seq: u64) {
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

impl SlotState {
    /// To be followed by a wake: a hole before it is seen when it is taken.
    fn push(&mut self, entry: Entry, seq: u64) {
        self.told = self.told.max(seq);
        self.enqueue(entry, seq);
    }

    fn enqueue(&mut self, entry: Entry, seq: u64) {
        if self.behind {
            return;
        }
        if self.queue.len() >= QUEUE_EVENTS || self.bytes >= QUEUE_BYTES {
            return self.fall_behind(seq);
        }
        self.bytes += entry.bytes();
        self.queue.push_back(entry);
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
        match self.queue.back_mut() {
            Some(Entry::Skipped(_, last)) if *last + 1 == seq => *last = seq,
            _ => self.enqueue(Entry::Skipped(seq, seq), seq),
        }
        false
    }

    /// What will be read has all that was published before.
    fn fall_behind(&mut self, seq: u64) {
        self.told = self.told.max(seq).max(self.beyond);
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.behind = true;
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
    /// To be called once, when it is known where the user's feed ends.
    pub(crate) fn start(&self, last_seq: u64) {
        let mut state = lock(&self.slot.state);
        state.started = true;
        state.told = state.told.max(last_seq);
        drop(state);
        // What was committed meanwhile may not have come over the bus yet.
        self.hub.check(self.user);
    }

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
            state.bytes = 0;
            return Poll::Ready(Taken::Behind);
        }
        if let Some(entry) = state.queue.pop_front() {
            state.bytes -= entry.bytes();
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
        let mut registry = lock(&self.hub.0.registry);
        if let Some(listeners) = registry.users.get_mut(&self.user) {
            listeners.slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
            if listeners.slots.is_empty() {
                registry.users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests;
