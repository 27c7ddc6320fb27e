//! The live subscriptions of this core, by user.
//!
//! Publishing never waits and never fails: a subscription whose queue is full is marked behind, and
//! reads the store instead. The same mends any hole in the sequence.
//!
//! In a cluster the hub tells the bus which users have subscriptions here, and keeps whose feeds are to be
//! compared with the store.
//!
//! * [`queue`]: the queue of one subscription.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll},
};

use netrox_proto::{ids::UserId, v1};
use tokio::sync::Notify;
use tokio_util::sync::DropGuard;

pub(crate) use self::queue::{Entry, Taken};
use self::queue::{Queue, lock};
use crate::{
    delivery::{bus::Bus, tally::Tally},
    error::Error,
    store::{
        feed::FeedEnd,
        history::{Position, Start},
    },
};

mod queue;

/// A change that one user should learn of.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveEvent {
    pub(crate) place: Position,
    /// The start that the place before it is in.
    pub(crate) prior: Start,
    /// Where the message first appeared to the user: it is new where that is its place.
    pub(crate) first_seq: u64,
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
    tally: Tally,
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
    queues: Vec<Arc<Queue>>,
    /// Held while anyone listens.
    _on_bus: Option<DropGuard>,
}

/// Whose feeds are to be compared with the store, each with the earliest start that one of the user's subscriptions was told
/// of last.
#[derive(Debug)]
pub(crate) enum ToCheck {
    All(Vec<(UserId, Start)>),
    Some(Vec<(UserId, Start)>),
}

impl Listeners {
    /// Has their queues keep what they were told, to be compared with what is read after this.
    fn ask(&self) -> Start {
        let starts = self.queues.iter().filter_map(|queue| queue.ask());
        starts.min().unwrap_or(Start(i64::MAX))
    }

    /// Whether any of them had to learn from the store, when this was last called, what nobody has told it since.
    fn has_missed(&self) -> bool {
        // Each is asked.
        self.queues.iter().filter(|queue| queue.take_missed()).count() > 0
    }
}

impl Hub {
    /// Events published from now on are queued, until the registration is dropped.
    pub(crate) fn register(
        &self,
        user: UserId,
        received_only: bool,
    ) -> Result<Registration, Error> {
        let queue = Arc::new(Queue::new(received_only));
        let mut registry = lock(&self.0.registry);
        if let Some(error) = &registry.closed {
            return Err(error.clone());
        }
        let listeners = registry.users.entry(user).or_insert_with(|| Listeners {
            queues: Vec::new(),
            _on_bus: self.0.bus.get().map(|bus| bus.listen(user, self)),
        });
        listeners.queues.push(Arc::clone(&queue));
        Ok(Registration { hub: self.clone(), user, queue })
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
        self.each_queue(user, |queue| hole |= queue.push(event));
        self.check_hole(user, hole);
    }

    /// The same where all that is known of it is that the user sent it; `prior` as in [`LiveEvent`].
    pub(crate) fn publish_sent(&self, user: UserId, place: Position, prior: Start) {
        let mut hole = false;
        self.each_queue(user, |queue| hole |= queue.push_sent(place, prior));
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

    fn each_queue(&self, user: UserId, mut act: impl FnMut(&Queue)) {
        if let Some(listeners) = lock(&self.0.registry).users.get(&user) {
            listeners.queues.iter().for_each(|queue| act(queue));
        }
    }

    /// Makes every subscription look into the store where it may be behind.
    pub(crate) fn resync(&self) {
        if self.0.is_clustered {
            // One query for many, instead of one each all at once.
            return self.check_all();
        }
        for listeners in lock(&self.0.registry).users.values() {
            listeners.queues.iter().for_each(|queue| queue.resync());
        }
    }

    /// Ends the subscriptions of a user.
    fn close_user(&self, user: UserId, error: &Error) {
        self.each_queue(user, |queue| queue.close(error));
    }

    /// Ends all subscriptions, and refuses further ones.
    pub(crate) fn close(&self, error: &Error) {
        let mut registry = lock(&self.0.registry);
        registry.closed = Some(error.clone());
        for queue in registry.users.values().flat_map(|listeners| &listeners.queues) {
            queue.close(error);
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

    /// The bus was connected, or has lost something and said so.
    pub(crate) fn bus_changed(&self) {
        self.0.tally.changed();
        self.check_all();
    }

    /// The bus has brought something that another core stored.
    pub(crate) fn bus_brought(&self) {
        self.0.tally.came();
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
            let missed = registry.users.values().filter(|listeners| listeners.has_missed());
            let missed = missed.count() as u64;
            let all = registry.users.iter();
            let all = all.map(|(user, listeners)| (*user, listeners.ask())).collect();
            drop(registry);
            if self.0.bus.get().is_some_and(Bus::is_connected) {
                self.0.tally.missed(missed);
            }
            ToCheck::All(all)
        } else {
            let listening = |user| Some((user, registry.users.get(&user)?.ask()));
            ToCheck::Some(some.into_iter().filter_map(listening).collect())
        }
    }

    /// What the store has of a user's feed.
    pub(crate) fn found_end(&self, user: UserId, end: &FeedEnd) {
        if end.deleted {
            self.close_user(user, &Error::UserDeleted);
        } else {
            self.each_queue(user, |queue| queue.found_end(end));
        }
    }

    /// Ends the subscriptions of some users that were told of a start which the store does not have.
    pub(crate) fn lost_start(&self, users: &[(UserId, Start)], start: Start) {
        for (user, _) in users {
            self.each_queue(*user, |queue| queue.lost_start(start));
        }
    }
}

/// A place in the hub; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    hub: Hub,
    user: UserId,
    queue: Arc<Queue>,
}

impl Registration {
    /// To be called once, when it is known where the user's feed ends.
    pub(crate) fn start(&self, end: Position) {
        self.queue.start(end);
        // What was committed meanwhile may not have come over the bus yet.
        self.hub.check(self.user);
    }

    /// The next entry. After [`Taken::Behind`] the queue starts anew: what is published from then on is
    /// in it again, so that reading the store after it leaves no hole.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Taken> {
        self.queue.poll_take(context)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut registry = lock(&self.hub.0.registry);
        if let Some(listeners) = registry.users.get_mut(&self.user) {
            listeners.queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
            if listeners.queues.is_empty() {
                registry.users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests;
