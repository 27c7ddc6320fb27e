//! The live subscriptions of this core, by user.
//!
//! Publishing never waits and never fails: a subscription whose queue is full is marked behind, and
//! reads the store instead. The same mends any hole in the sequence.
//!
//! * [`queue`]: the queue of one subscription; [`lane`]: its signals.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use netrox_proto::ids::UserId;

pub(crate) use self::queue::{Entry, Next};
use self::queue::{Queue, lock};
use super::{bus::Listening, due::Due};
use crate::{
    change::{Change, Typing, Wanted},
    error::Error,
    store::{
        feed::FeedEnd,
        history::{Position, Start},
    },
};

mod lane;
mod queue;

/// A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    registry: Mutex<Registry>,
    /// Where other cores write to the database: what they committed may have gone missing on its way.
    due: Option<Due>,
}

#[derive(Debug, Default)]
struct Registry {
    users: HashMap<UserId, Listeners>,
    closed: Option<Error>,
}

/// The subscriptions of one user.
#[derive(Debug, Default)]
struct Listeners {
    queues: Vec<Arc<Queue>>,
    /// So many want to have it heard what is sent to the user, and nothing else.
    attentions: usize,
    /// Held while anyone listens.
    _on_bus: Option<Listening>,
}

/// Users with live subscriptions, each with the earliest start that one of these was told of last.
pub(super) type FeedStarts = Vec<(UserId, Start)>;

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
    pub(super) fn new(due: Option<Due>) -> Self {
        Self(Arc::new(Shared { due, ..Shared::default() }))
    }

    /// Changes published from now on are queued, until the registration is dropped. `listen` is called if nobody has
    /// listened for the user, and what it gives is dropped when nobody does any more.
    pub(super) fn register(
        &self,
        user: UserId,
        wanted: Wanted,
        listen: impl FnOnce() -> Option<Listening>,
    ) -> Result<Registration, Error> {
        let queue = Arc::new(Queue::new(wanted));
        let mut registry = lock(&self.0.registry);
        if let Some(error) = &registry.closed {
            return Err(error.clone());
        }
        let listeners = registry
            .users
            .entry(user)
            .or_insert_with(|| Listeners { _on_bus: listen(), ..Listeners::default() });
        listeners.queues.push(Arc::clone(&queue));
        Ok(Registration { hub: self.clone(), user, queue })
    }

    /// Has what is sent to a user be heard on this core. As of [`Self::register`].
    pub(super) fn attend(
        &self,
        user: UserId,
        listen: impl FnOnce() -> Option<Listening>,
    ) -> Attention {
        let mut registry = lock(&self.0.registry);
        let listeners = registry
            .users
            .entry(user)
            .or_insert_with(|| Listeners { _on_bus: listen(), ..Listeners::default() });
        listeners.attentions += 1;
        Attention { hub: self.clone(), user }
    }

    /// Tells the subscriptions of this core.
    pub(super) fn publish(&self, change: &Change) {
        let mut hole = false;
        self.each_queue(change.to, |queue| hole |= queue.push(change));
        // A hole before a message of the user's own may be a hint of another core that was lost, or one that is a
        // moment later than ours. The check gathers for longer than that, and asks for many users at once, where a
        // subscription that is woken would read the store for each.
        if hole {
            self.look(change.to);
        }
    }

    /// Tells those subscriptions of this core that asked for it. Gives how many signals had to go for it.
    pub(super) fn signal(&self, typing: Typing) -> usize {
        let mut shed = 0;
        self.each_queue(typing.to, |queue| shed += usize::from(queue.signal(typing)));
        shed
    }

    /// Nothing that either of two users said goes to the other any more.
    pub(super) fn part(&self, one: UserId, two: UserId) {
        self.each_queue(one, |queue| queue.forget(two));
        self.each_queue(two, |queue| queue.forget(one));
    }

    /// Has the feed of a user compared with the store.
    pub(super) fn look(&self, user: UserId) {
        if let Some(due) = &self.0.due {
            due.add(user);
        }
    }

    /// Whether anyone listens for the user.
    pub(super) fn is_awaited_by(&self, user: UserId) -> bool {
        lock(&self.0.registry).users.contains_key(&user)
    }

    fn each_queue(&self, user: UserId, mut act: impl FnMut(&Queue)) {
        if let Some(listeners) = lock(&self.0.registry).users.get(&user) {
            listeners.queues.iter().for_each(|queue| act(queue));
        }
    }

    /// Makes every subscription look into the store.
    pub(super) fn resync(&self) {
        for listeners in lock(&self.0.registry).users.values() {
            listeners.queues.iter().for_each(|queue| queue.resync());
        }
    }

    /// Ends the subscriptions of a user.
    pub(super) fn close_user(&self, user: UserId, error: &Error) {
        self.each_queue(user, |queue| queue.close(error));
    }

    /// Ends all subscriptions, and refuses further ones.
    pub(super) fn close(&self, error: &Error) {
        let mut registry = lock(&self.0.registry);
        registry.closed = Some(error.clone());
        for queue in registry.users.values().flat_map(|listeners| &listeners.queues) {
            queue.close(error);
        }
    }
}

/// Compared with the store.
impl Hub {
    /// Of all users, with how many of them missed something since this was last called.
    pub(super) fn ask_all(&self) -> (FeedStarts, u64) {
        let registry = lock(&self.0.registry);
        let missed = registry.users.values().filter(|listeners| listeners.has_missed()).count();
        let listened = registry.users.iter().filter(|(_, listeners)| !listeners.queues.is_empty());
        let told = listened.map(|(user, listeners)| (*user, listeners.ask()));
        (told.collect(), missed as u64)
    }

    /// Of those users that somebody listens for.
    pub(super) fn ask(&self, users: HashSet<UserId>) -> FeedStarts {
        let registry = lock(&self.0.registry);
        let listening = |user| {
            let listeners = registry.users.get(&user).filter(|it| !it.queues.is_empty())?;
            Some((user, listeners.ask()))
        };
        users.into_iter().filter_map(listening).collect()
    }

    /// What the store has of a user's feed.
    pub(super) fn found_end(&self, user: UserId, end: &FeedEnd) {
        if end.deleted {
            self.close_user(user, &Error::UserDeleted);
        } else {
            self.each_queue(user, |queue| queue.found_end(end));
        }
    }

    /// Ends the subscriptions of some users that were told of a start which the store does not have.
    pub(super) fn lost_start(&self, users: &[(UserId, Start)], start: Start) {
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
        self.hub.look(self.user);
    }

    /// What comes next. After [`Next::Behind`] the queue starts anew: what is published from then on is
    /// in it again, so that reading the store after it leaves no hole.
    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Next> {
        self.queue.poll_next(context)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut registry = lock(&self.hub.0.registry);
        if let Some(listeners) = registry.users.get_mut(&self.user) {
            listeners.queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
            registry.tidy(self.user);
        }
    }
}

/// Has what is sent to a user be heard, until it is dropped.
#[derive(Debug)]
pub(super) struct Attention {
    hub: Hub,
    user: UserId,
}

impl Drop for Attention {
    fn drop(&mut self) {
        let mut registry = lock(&self.hub.0.registry);
        if let Some(listeners) = registry.users.get_mut(&self.user) {
            listeners.attentions = listeners.attentions.saturating_sub(1);
            registry.tidy(self.user);
        }
    }
}

impl Registry {
    /// Drops what is kept of a user for whom nobody listens any more.
    fn tidy(&mut self, user: UserId) {
        let is_left = |it: &Listeners| it.queues.is_empty() && it.attentions == 0;
        if self.users.get(&user).is_some_and(is_left) {
            self.users.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests;
