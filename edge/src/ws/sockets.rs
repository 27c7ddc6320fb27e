//! The connections of an edge: who is connected, what they are given, and their common end.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netrox_proto::{ids::UserId, v1::Failure};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::{
    close::CloseReason,
    feed::Feed,
    lingering::{Left, Lingering},
    members::Admission,
    places::{NoPlace, Place, Places},
    queue::Outgoing,
    subscription::{Ended, Subscriptions},
};
use crate::{
    config::Limits,
    core_client::CoreClient,
    directory::KnownUsers,
    metrics::{Metrics, OpenSocket},
    tasks::Tasks,
    wire::Generation,
};

/// How long connections beyond a user's number have to answer a ping, before one of them is closed: a phone that sleeps
/// takes that long.
const PROBE_TIME: Duration = Duration::from_secs(3);

/// All connections of an edge, by user.
pub(super) struct Sockets {
    max_connections_per_user: usize,
    max_frames: usize,
    max_bytes: usize,
    places: Places,
    registry: Mutex<Registry>,
    lingering: Lingering,
    subscriptions: Subscriptions,
    known_users: Arc<KnownUsers>,
    metrics: Metrics,
    tasks: Tasks,
    /// The sessions, apart from the edge's other tasks: they end before what they depend on.
    pub(super) sessions: TaskTracker,
}

#[derive(Default)]
struct Registry {
    draining: bool,
    feeds: HashMap<UserId, Arc<Feed>>,
}

impl Sockets {
    pub(super) fn new(
        limits: &Limits,
        core: CoreClient,
        known_users: Arc<KnownUsers>,
        metrics: Metrics,
        tasks: Tasks,
    ) -> Self {
        Self {
            max_connections_per_user: limits.max_connections_per_user,
            max_frames: limits.outgoing_queue_frames,
            max_bytes: limits.outgoing_queue_bytes,
            places: Places::new(limits),
            registry: Mutex::default(),
            lingering: Lingering::default(),
            subscriptions: Subscriptions::new(core, metrics.clone()),
            known_users,
            metrics,
            tasks,
            sessions: TaskTracker::new(),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection with 1001, takes no more, and returns when all sessions have ended.
    pub(super) async fn drain(&self) {
        let feeds: Vec<_> = {
            let mut registry = self.registry();
            registry.draining = true;
            registry.feeds.values().cloned().collect()
        };
        for feed in feeds {
            feed.members.close_all(CloseReason::Draining);
        }
        self.lingering.take_all().iter().for_each(|left| self.stop(left));
        self.sessions.close();
        self.sessions.wait().await;
    }

    /// A place for one more connection of the user, free again when it is dropped.
    pub(super) fn place(&self, user: UserId) -> Result<Place, NoPlace> {
        if self.registry().draining {
            return Err(NoPlace::Draining);
        }
        self.places.take(user)
    }

    /// Adds a connection of the user who has the place, and who has a subscription from the first on.
    pub(super) fn join(
        self: &Arc<Self>,
        place: Place,
        generation: Generation,
    ) -> Result<Connection, NoPlace> {
        let user = place.user;
        let outgoing = Arc::new(Outgoing::new(generation, self.max_frames, self.max_bytes, place));
        let mut registry = self.registry();
        if registry.draining {
            return Err(NoPlace::Draining);
        }
        let feed = match registry.feeds.entry(user) {
            Entry::Occupied(entry) => {
                entry.get().join(Arc::clone(&outgoing));
                Arc::clone(entry.get())
            }
            Entry::Vacant(entry) => {
                let feed = Arc::new(Feed::new(user));
                feed.join(Arc::clone(&outgoing));
                let subscribed = Arc::clone(self).subscribe(Arc::clone(&feed));
                feed.set_task(self.tasks.spawn_abortable(subscribed));
                Arc::clone(entry.insert(feed))
            }
        };
        drop(registry);
        let counted = self.metrics.open_socket();
        Ok(Connection { sockets: Arc::clone(self), feed, outgoing, _counted: counted })
    }

    async fn subscribe(self: Arc<Self>, feed: Arc<Feed>) {
        let Ended { failure, reason } =
            self.subscriptions.keep(&feed, || self.give_up(&feed)).await;
        self.known_users.forget(feed.user);
        // Nobody joins from here on, so that all who did are closed: who comes next gets a new feed.
        self.registry().forget(&feed);
        feed.end(failure, reason);
    }

    /// Whether nobody is connected; then nobody joins the feed any more.
    fn give_up(&self, feed: &Arc<Feed>) -> bool {
        let mut registry = self.registry();
        let is_left = feed.is_left();
        if is_left {
            registry.forget(feed);
        }
        is_left
    }

    fn leave(&self, feed: &Arc<Feed>, outgoing: &Arc<Outgoing>) {
        let at = Instant::now();
        let over = {
            // Under the lock of the registry, so that the drain leaves nobody out.
            let registry = self.registry();
            if !feed.leave(outgoing, at) {
                return;
            }
            let left = Left { feed: Arc::clone(feed), at };
            let lingers = !registry.draining && feed.is_live();
            if lingers { self.lingering.add(left) } else { Some(left) }
        };
        over.iter().for_each(|left| self.stop(left));
    }

    /// Ends the subscriptions of users who do not come back, until the drain.
    pub(super) async fn stop_left(self: Arc<Self>) {
        let stopping = async {
            loop {
                self.stop(&self.lingering.next().await);
            }
        };
        self.tasks.draining().run_until_cancelled(stopping).await;
    }

    /// Ends a subscription, unless somebody has joined since.
    fn stop(&self, left: &Left) {
        // Under the lock of the registry, so that nobody joins a feed that is about to stop.
        let mut registry = self.registry();
        if left.feed.was_left_at(left.at) {
            left.feed.stop();
            registry.forget(&left.feed);
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

/// A connection in the registry; leaves it when it is dropped.
pub(super) struct Connection {
    sockets: Arc<Sockets>,
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
        let Sockets { max_connections_per_user: max, tasks, .. } = &*self.sockets;
        let max = *max;
        if self.feed.members.admit(&self.outgoing, max) == Admission::Probing {
            let (feed, draining) = (Arc::clone(&self.feed), tasks.draining().clone());
            tasks.spawn(async move {
                if draining.run_until_cancelled(sleep(PROBE_TIME)).await.is_some() {
                    feed.members.settle(max);
                }
            });
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.outgoing.seal();
        self.outgoing.leave();
        self.sockets.leave(&self.feed, &self.outgoing);
    }
}
