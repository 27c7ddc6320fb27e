//! The connections of an edge: who is connected, how many there may be, and their common end.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netrox_proto::{ids::UserId, v1::Failure};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::{
    close::CloseReason,
    feed::{self, Admission, Feed},
    position::Epochs,
    queue::Outgoing,
};
use crate::{Edge, config, metrics::OpenSocket};

/// How long connections beyond a user's number have to answer a ping, before one of them is closed: a phone that sleeps
/// takes that long.
const PROBE_TIME: Duration = Duration::from_secs(3);
/// Places of a user, by how many connections they may have: some are handshakes under way, and some are being probed.
const PLACES_PER_CONNECTION: usize = 3;

/// All connections of an edge, by user.
pub(crate) struct Sockets {
    max_connections: usize,
    max_connections_per_user: usize,
    max_frames: usize,
    max_bytes: usize,
    places: Arc<Mutex<Counts>>,
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

/// Places that are taken.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_user: HashMap<UserId, usize>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The user has as many as they may.
    OfUser,
    /// The edge has.
    OfAll,
    Draining,
}

impl Sockets {
    pub(crate) fn new(limits: &config::Limits) -> Self {
        Self {
            max_connections: limits.max_connections,
            max_connections_per_user: limits.max_connections_per_user,
            max_frames: limits.outgoing_queue_frames,
            max_bytes: limits.outgoing_queue_bytes,
            places: Arc::default(),
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

    /// A place for one more connection of the user, free again when it is dropped.
    pub(super) fn place(&self, user: UserId) -> Result<Place, NoPlace> {
        if self.registry().draining {
            return Err(NoPlace::Draining);
        }
        let mut counts = counts(&self.places);
        if counts.all >= self.max_connections {
            return Err(NoPlace::OfAll);
        }
        let of_user = counts.by_user.entry(user).or_default();
        if *of_user >= self.max_connections_per_user.saturating_mul(PLACES_PER_CONNECTION) {
            return Err(NoPlace::OfUser);
        }
        *of_user += 1;
        counts.all += 1;
        Ok(Place { user, counts: Arc::clone(&self.places) })
    }

    /// Adds a connection of the user who has the place, and who has a subscription from the first on.
    pub(super) fn join(edge: &Edge, place: Place) -> Result<Connection, NoPlace> {
        let sockets = &edge.shared.sockets;
        let user = place.user;
        let outgoing = Arc::new(Outgoing::new(sockets.max_frames, sockets.max_bytes, place));
        let mut registry = sockets.registry();
        if registry.draining {
            return Err(NoPlace::Draining);
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
        let counted = edge.shared.metrics.open_socket();
        Ok(Connection { edge: edge.clone(), feed, outgoing, _counted: counted })
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

fn counts(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the edge's places.
#[derive(Debug)]
pub(super) struct Place {
    user: UserId,
    counts: Arc<Mutex<Counts>>,
}

impl Place {
    #[cfg(test)]
    pub(super) fn of_nobody() -> Self {
        let counts: Arc<Mutex<Counts>> = Arc::default();
        counts.lock().unwrap_or_else(PoisonError::into_inner).all = 1;
        Self { user: UserId(uuid::Uuid::nil()), counts }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = counts(&self.counts);
        counts.all -= 1;
        match counts.by_user.get_mut(&self.user) {
            Some(of_user) if *of_user > 1 => *of_user -= 1,
            _ => {
                counts.by_user.remove(&self.user);
            }
        }
    }
}

/// A connection in the registry; leaves it when it is dropped.
pub(super) struct Connection {
    pub(super) edge: Edge,
    feed: Arc<Feed>,
    pub(super) outgoing: Arc<Outgoing>,
    _counted: OpenSocket,
}

impl Connection {
    pub(super) fn user(&self) -> UserId {
        self.feed.user
    }

    /// Resolves when no message sent to the user from now on can be missed.
    pub(super) async fn live(&self) -> Result<(), Failure> {
        self.feed.live().await
    }

    /// Counts it among the user's connections. Where there are too many, all are probed, and one is closed: who does not
    /// answer, and else who was silent longest.
    pub(super) fn admit(&self) {
        let max = self.edge.shared.sockets.max_connections_per_user;
        if self.feed.admit(&self.outgoing, max) == Admission::Probing {
            let (feed, draining) = (Arc::clone(&self.feed), self.edge.shared.draining.clone());
            self.edge.spawn(async move {
                if draining.run_until_cancelled(sleep(PROBE_TIME)).await.is_some() {
                    feed.settle(max);
                }
            });
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.outgoing.seal();
        self.outgoing.leave();
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
