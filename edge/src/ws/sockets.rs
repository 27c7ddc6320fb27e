//! The connections of an edge: who is connected, what they are given, and their common end.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use netrox_metrics::Held;
use netrox_proto::{ids::UserId, trace_context::TraceContext, v1::Failure};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::{
    admitted::Admitted,
    close::CloseReason,
    feed::{Feed, FeedId},
    following::Following,
    lingering::{Left, Lingering},
    members::{Admission, Members},
    places::{NoPlace, Place, Places},
    queue::Outgoing,
    spread::Spread,
    subscription::{Ended, Subscriptions},
};
use crate::{
    config::Limits,
    directory::KnownUsers,
    metrics::{Limit, Metrics},
    presence::{Online, OnlineUsers},
    sends::{SendPipeline, Sender},
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
    spread: Spread,
    subscriptions: Arc<Subscriptions>,
    known_users: Arc<KnownUsers>,
    metrics: Metrics,
    online: OnlineUsers,
    tasks: Tasks,
    /// The sessions, apart from the edge's other tasks: they end before what they depend on.
    pub(super) sessions: TaskTracker,
}

#[derive(Default)]
struct Registry {
    draining: bool,
    users: HashMap<UserId, OfUser>,
    last_feed: u64,
}

/// What there is of a user: connections, or a feed that was left a moment ago.
#[derive(Default)]
struct OfUser {
    members: Arc<Members>,
    /// Of those of the first generation.
    feed: Option<Arc<Feed>>,
}

impl Sockets {
    pub(super) fn new(
        limits: &Limits,
        subscriptions: Subscriptions,
        known_users: Arc<KnownUsers>,
        (metrics, online): (Metrics, OnlineUsers),
        tasks: Tasks,
    ) -> Self {
        Self {
            max_connections_per_user: limits.max_connections_per_user,
            max_frames: limits.outgoing_queue_frames,
            max_bytes: limits.outgoing_queue_bytes,
            places: Places::new(limits),
            registry: Mutex::default(),
            lingering: Lingering::default(),
            spread: Spread::of(limits),
            subscriptions: Arc::new(subscriptions),
            known_users,
            metrics,
            online,
            tasks,
            sessions: TaskTracker::new(),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more connections, closes all with 1001, and returns when all sessions have ended. Those of the second
    /// generation are told when to be opened elsewhere, and served until then; not so if it hurries.
    pub(super) async fn drain(&self, hurries: bool) {
        let all: Vec<_> = {
            let mut registry = self.registry();
            registry.draining = true;
            registry.users.values().map(|of_user| Arc::clone(&of_user.members)).collect()
        };
        let (documented, second): (Vec<_>, Vec<_>) = all
            .iter()
            .flat_map(|members| members.all())
            .partition(|outgoing| outgoing.generation() == Generation::V1);
        drop(all);
        for outgoing in documented {
            outgoing.close(CloseReason::Draining);
        }
        self.lingering.take_all().iter().for_each(|left| self.stop(left));
        self.sessions.close();
        let mut ended = pin!(self.sessions.wait());
        if !hurries {
            tokio::select! {
                () = &mut ended => {}
                () = self.spread.close(&second) => {}
            }
        }
        // Also where all sessions ended before: a connection may be here whose session has yet to begin.
        for outgoing in &second {
            outgoing.close(CloseReason::Draining);
        }
        self.sessions.wait().await;
    }

    /// How long clients are served from the beginning of a drain on, as it is now.
    pub(super) fn drain_takes(&self) -> Duration {
        let all = self.all_members();
        let mut open = all.iter().flat_map(|(_, members)| members.all());
        let is_told = open.any(|outgoing| outgoing.generation() == Generation::V2);
        if is_told { self.spread.takes() } else { Duration::ZERO }
    }

    pub(super) fn members_of(&self, user: UserId) -> Option<Arc<Members>> {
        self.registry().users.get(&user).map(|of_user| Arc::clone(&of_user.members))
    }

    pub(super) fn all_members(&self) -> Vec<(UserId, Arc<Members>)> {
        let registry = self.registry();
        let all = registry.users.iter();
        all.map(|(user, of_user)| (*user, Arc::clone(&of_user.members))).collect()
    }

    /// A place for one more connection of the user, free again when it is dropped.
    pub(super) fn place(&self, user: UserId) -> Result<Place, NoPlace> {
        if self.registry().draining {
            return Err(NoPlace::Draining);
        }
        self.places.take(user).inspect_err(|none| {
            let limit = match none {
                NoPlace::OfUser => Limit::ConnectionsOfUser,
                NoPlace::OfAll => Limit::Connections,
                NoPlace::Draining => return,
            };
            self.metrics.refusals.limits().count(limit);
        })
    }

    /// Adds a connection of the user who has the place. One of the first generation has a subscription from the first on;
    /// others bring their own.
    pub(super) fn join(
        self: &Arc<Self>,
        place: Place,
        generation: Generation,
        admitted: Admitted,
    ) -> Result<Connection, NoPlace> {
        let user = place.user;
        let outgoing = Outgoing::new(generation, self.max_frames, self.max_bytes, place);
        let outgoing = Arc::new(outgoing.of(admitted));
        let mut registry = self.registry();
        if registry.draining {
            return Err(NoPlace::Draining);
        }
        let Registry { users, last_feed, .. } = &mut *registry;
        let of_user = users.entry(user).or_default();
        let members = Arc::clone(&of_user.members);
        let feed = match generation {
            Generation::V1 => Some(self.join_feed(user, of_user, last_feed, &outgoing)),
            Generation::V2 => {
                members.add(Arc::clone(&outgoing), None);
                None
            }
        };
        drop(registry);
        let counted = self.metrics.sockets.open(generation);
        let sockets = Arc::clone(self);
        Ok(Connection {
            sockets,
            user,
            members,
            feed,
            following: None,
            outgoing,
            upgrade: None,
            online: OnceLock::new(),
            _counted: counted,
        })
    }

    fn join_feed(
        self: &Arc<Self>,
        user: UserId,
        of_user: &mut OfUser,
        last_feed: &mut u64,
        outgoing: &Arc<Outgoing>,
    ) -> Arc<Feed> {
        if let Some(feed) = &of_user.feed {
            feed.join(Arc::clone(outgoing));
            return Arc::clone(feed);
        }
        *last_feed += 1;
        let feed = Arc::new(Feed::new(user, FeedId(*last_feed), &of_user.members));
        feed.join(Arc::clone(outgoing));
        let subscribed = Arc::clone(self).subscribe(Arc::clone(&feed));
        feed.set_task(self.tasks.spawn_abortable(subscribed));
        Arc::clone(of_user.feed.insert(feed))
    }

    /// What those of connections share that have their own.
    pub(super) fn subscriptions(&self) -> &Arc<Subscriptions> {
        &self.subscriptions
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

    fn leave(&self, connection: &Connection) {
        let Connection { user, members, feed, outgoing, .. } = connection;
        let at = Instant::now();
        // Under the lock of the registry, so that the drain leaves nobody out.
        let mut registry = self.registry();
        let over = match feed {
            Some(feed) if feed.leave(outgoing, at) => {
                let left = Left { feed: Arc::clone(feed), at };
                let lingers = !registry.draining && feed.is_live();
                if lingers { self.lingering.add(left) } else { Some(left) }
            }
            Some(_) => None,
            None => {
                members.remove(outgoing);
                None
            }
        };
        registry.tidy(*user);
        drop(registry);
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
        let Some(of_user) = self.users.get_mut(&feed.user) else { return };
        if of_user.feed.as_ref().is_some_and(|current| Arc::ptr_eq(current, feed)) {
            of_user.feed = None;
            self.tidy(feed.user);
        }
    }

    /// Drops what is kept of a user of whom nothing is left.
    fn tidy(&mut self, user: UserId) {
        let is_left = |of_user: &OfUser| of_user.feed.is_none() && of_user.members.is_empty();
        if self.users.get(&user).is_some_and(is_left) {
            self.users.remove(&user);
        }
    }
}

/// A connection in the registry; leaves it when it is dropped.
pub(super) struct Connection {
    sockets: Arc<Sockets>,
    user: UserId,
    members: Arc<Members>,
    /// In the first generation.
    feed: Option<Arc<Feed>>,
    /// In the second, until its session takes it.
    pub(super) following: Option<Box<Following>>,
    pub(super) outgoing: Arc<Outgoing>,
    /// The span of its handshake, where its client asked for a trace.
    pub(super) upgrade: Option<Arc<TraceContext>>,
    /// From when it is admitted on.
    online: OnceLock<Online>,
    _counted: Held,
}

impl Connection {
    pub(super) fn user(&self) -> UserId {
        self.user
    }

    /// Who sends what comes on it, from the first time on.
    pub(super) fn sender<'a>(
        &self,
        sender: &'a mut Option<Box<Sender>>,
        sends: &SendPipeline,
    ) -> &'a Sender {
        sender.get_or_insert_with(|| {
            let sender = sends.sender(self.user, self.outgoing.admitted().token);
            Box::new(sender.of_upgrade(self.upgrade.clone()))
        })
    }

    /// Resolves when no message sent to the user from now on can be missed.
    pub(super) async fn live(&self) -> Result<(), Failure> {
        match &self.feed {
            Some(feed) => feed.live().await,
            None => Ok(()),
        }
    }

    /// Counts it among the user's connections. Where there are too many, all are probed, and one is closed: who does not
    /// answer, and else who was silent longest.
    pub(super) fn admit(&self) {
        let Sockets { max_connections_per_user: max, tasks, online, .. } = &*self.sockets;
        let max = *max;
        self.online.get_or_init(|| online.add(self.user));
        if self.members.admit(&self.outgoing, max) == Admission::Probing {
            let (members, draining) = (Arc::clone(&self.members), tasks.draining().clone());
            tasks.spawn(async move {
                if draining.run_until_cancelled(sleep(PROBE_TIME)).await.is_some() {
                    members.settle(max);
                }
            });
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.outgoing.seal();
        self.outgoing.leave();
        self.sockets.leave(self);
    }
}
