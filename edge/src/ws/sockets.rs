//! The connections of an edge: who is connected, how many there may be, and their common end.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use netrox_proto::{ids::UserId, v1::Failure};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

use super::{
    close::CloseReason,
    feed::{self, Feed},
    position::Epochs,
    queue::Outgoing,
};
use crate::{Edge, config};

/// All connections of an edge, by user.
pub(crate) struct Sockets {
    max_connections: usize,
    max_connections_per_user: usize,
    max_frames: usize,
    max_bytes: usize,
    count: Arc<AtomicUsize>,
    registry: Mutex<Registry>,
    pub(super) openings: Openings,
    pub(super) epochs: Epochs,
    /// The sessions, apart from the edge's other tasks: they end before what they depend on.
    pub(super) sessions: TaskTracker,
}

#[derive(Default)]
struct Registry {
    draining: bool,
    feeds: HashMap<UserId, Arc<Feed>>,
}

/// Subscriptions that are opened at a time.
const OPENINGS: usize = 256;

/// Turns for subscriptions to be opened: where a core comes back, all users of an edge want theirs at once. Each waits at
/// the edge then, where it costs nothing.
pub(super) struct Openings {
    /// With a handshake that waits.
    first: Semaphore,
    again: Semaphore,
}

impl Default for Openings {
    fn default() -> Self {
        Self { first: Semaphore::new(OPENINGS), again: Semaphore::new(OPENINGS) }
    }
}

impl Openings {
    /// Until what is given is dropped. Neither is ever closed.
    pub(super) async fn turn(&self, is_again: bool) -> Option<SemaphorePermit<'_>> {
        let turns = if is_again { &self.again } else { &self.first };
        turns.acquire().await.ok()
    }
}

/// The edge has as many connections as it may, or is draining.
#[derive(Debug)]
pub(super) struct Full;

impl Sockets {
    pub(crate) fn new(limits: &config::Limits) -> Self {
        Self {
            max_connections: limits.max_connections,
            max_connections_per_user: limits.max_connections_per_user,
            max_frames: limits.outgoing_queue_frames,
            max_bytes: limits.outgoing_queue_bytes,
            count: Arc::default(),
            registry: Mutex::default(),
            openings: Openings::default(),
            epochs: Epochs::default(),
            sessions: TaskTracker::new(),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection with 1001, takes no more, and returns when all sessions have ended.
    pub(crate) async fn drain(&self) {
        let feeds: Vec<_> = {
            let mut registry = self.registry();
            registry.draining = true;
            registry.feeds.values().cloned().collect()
        };
        for feed in feeds {
            feed.close_all(CloseReason::Draining);
        }
        self.sessions.close();
        self.sessions.wait().await;
    }

    /// A place for one more connection, free again when it is dropped.
    pub(super) fn place(&self) -> Result<Place, Full> {
        if self.registry().draining {
            return Err(Full);
        }
        let place = Place { count: Arc::clone(&self.count) };
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.max_connections {
            return Err(Full);
        }
        Ok(place)
    }

    /// Adds a connection of `user`, who has a subscription from the first on.
    pub(super) fn join(edge: &Edge, user: UserId, place: Place) -> Result<Connection, Full> {
        let sockets = &edge.shared.sockets;
        let outgoing = Arc::new(Outgoing::new(sockets.max_frames, sockets.max_bytes));
        let mut registry = sockets.registry();
        if registry.draining {
            return Err(Full);
        }
        let feed = match registry.feeds.entry(user) {
            Entry::Occupied(entry) => {
                entry.get().add(Arc::clone(&outgoing));
                Arc::clone(entry.get())
            }
            Entry::Vacant(entry) => {
                let feed = Arc::new(Feed::new(user));
                feed.add(Arc::clone(&outgoing));
                let run = feed::run(edge.clone(), Arc::clone(&feed));
                feed.set_task(edge.shared.tasks.spawn(run).abort_handle());
                Arc::clone(entry.insert(feed))
            }
        };
        drop(registry);
        Ok(Connection { edge: edge.clone(), feed, outgoing, _place: place })
    }

    /// Takes a feed that ends out of the registry, so that who comes next gets a new one.
    pub(super) fn forget(&self, feed: &Arc<Feed>) {
        self.registry().forget(feed);
    }

    fn leave(&self, feed: &Arc<Feed>, outgoing: &Arc<Outgoing>) {
        // Under the lock of the registry, so that nobody joins a feed that is about to stop.
        let mut registry = self.registry();
        if feed.remove(outgoing) {
            registry.forget(feed);
            feed.stop();
        }
    }
}

impl Registry {
    fn forget(&mut self, feed: &Arc<Feed>) {
        if self.feeds.get(&feed.user).is_some_and(|current| Arc::ptr_eq(current, feed)) {
            self.feeds.remove(&feed.user);
        }
    }
}

/// One of the edge's places.
#[derive(Debug)]
pub(super) struct Place {
    count: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection in the registry; leaves it when it is dropped.
pub(super) struct Connection {
    pub(super) edge: Edge,
    feed: Arc<Feed>,
    pub(super) outgoing: Arc<Outgoing>,
    _place: Place,
}

impl Connection {
    pub(super) fn user(&self) -> UserId {
        self.feed.user
    }

    /// Resolves when no message sent to the user from now on can be missed.
    pub(super) async fn live(&self) -> Result<(), Failure> {
        self.feed.live().await
    }

    /// Counts it among the user's connections, the oldest of which closes if there are too many.
    pub(super) fn admit(&self) {
        self.feed.admit(&self.outgoing, self.edge.shared.sockets.max_connections_per_user);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.outgoing.seal();
        self.edge.shared.sockets.leave(&self.feed, &self.outgoing);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn so_many_subscriptions_are_opened_again_at_a_time_and_a_handshake_waits_for_none() {
        let openings = Openings::default();
        let mut turns = Vec::new();
        for _ in 0..OPENINGS {
            turns.push(openings.turn(true).await);
        }
        let mut next = std::pin::pin!(openings.turn(true));
        assert!(poll!(&mut next).is_pending());
        assert!(openings.turn(false).await.is_some());
        turns.pop();
        assert!(next.await.is_some());
    }
}
