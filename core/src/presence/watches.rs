//! Who watches whom on this core, and what each has yet to look at.
//!
//! Whatever happens to a user only marks them with those who watch: each watcher looks for itself, when it is able to, and once for
//! all that happened meanwhile. So ten thousand watchers of one user cost as many marks.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use netrox_proto::{ids::UserId, v1};
use tokio::sync::Notify;

/// What a watcher has to look at.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Whose presence may have changed.
    pub(super) peers: HashSet<UserId>,
    /// Whose email or profile has.
    pub(super) profiles: HashMap<UserId, Arc<v1::User>>,
    pub(super) is_closed: bool,
}

#[derive(Debug)]
pub(super) struct Watch {
    user: UserId,
    peers: HashSet<UserId>,
    marks: Mutex<Marks>,
    marked: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<Registry>);

#[derive(Debug, Default)]
struct Registry {
    last_id: u64,
    is_closed: bool,
    by_peer: HashMap<UserId, HashMap<u64, Arc<Watch>>>,
    by_user: HashMap<UserId, HashMap<u64, Arc<Watch>>>,
}

/// A place among those who watch; leaves it when dropped.
#[derive(Debug)]
pub(super) struct Watching {
    watches: Arc<Watches>,
    id: u64,
    pub(super) watch: Arc<Watch>,
}

impl Watch {
    /// A few instructions that do not panic.
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, peer: UserId) {
        if self.marks().peers.insert(peer) {
            self.marked.notify_one();
        }
    }

    /// All that is marked, once anything is.
    pub(super) async fn next(&self) -> Marks {
        loop {
            {
                let mut marks = self.marks();
                if marks.is_closed || !marks.peers.is_empty() || !marks.profiles.is_empty() {
                    let is_closed = marks.is_closed;
                    let taken = std::mem::take(&mut *marks);
                    marks.is_closed = is_closed;
                    return taken;
                }
            }
            self.marked.notified().await;
        }
    }

    /// Marks again what could not be looked at.
    pub(super) fn give_back(&self, peers: impl IntoIterator<Item = UserId>) {
        self.marks().peers.extend(peers);
        self.marked.notify_one();
    }
}

impl Watch {
    /// The same of profiles, unless there is something newer.
    pub(super) fn give_back_profiles(&self, profiles: HashMap<UserId, Arc<v1::User>>) {
        let mut marks = self.marks();
        for (peer, user) in profiles {
            marks.profiles.entry(peer).or_insert(user);
        }
        drop(marks);
        self.marked.notify_one();
    }
}

impl Watches {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(self: &Arc<Self>, user: UserId, peers: &[UserId]) -> Watching {
        let peers: HashSet<_> = peers.iter().copied().collect();
        let marks = Mutex::new(Marks::default());
        let watch = Arc::new(Watch { user, peers, marks, marked: Notify::new() });
        let mut registry = self.registry();
        registry.last_id += 1;
        let id = registry.last_id;
        watch.marks().is_closed = registry.is_closed;
        registry.by_user.entry(user).or_default().insert(id, Arc::clone(&watch));
        for peer in &watch.peers {
            registry.by_peer.entry(*peer).or_default().insert(id, Arc::clone(&watch));
        }
        drop(registry);
        Watching { watches: Arc::clone(self), id, watch }
    }

    fn of_peer(&self, peer: UserId) -> Vec<Arc<Watch>> {
        let registry = self.registry();
        registry.by_peer.get(&peer).map_or(Vec::new(), |all| all.values().cloned().collect())
    }

    /// Something happened to a user.
    pub(super) fn touch(&self, peer: UserId) {
        // Not under the lock of all.
        self.of_peer(peer).iter().for_each(|watch| watch.mark(peer));
    }

    /// Something happened between a user and a peer whom the user may watch.
    pub(super) fn touch_pair(&self, user: UserId, peer: UserId) {
        let watches: Vec<_> = {
            let registry = self.registry();
            let all = registry.by_user.get(&user).into_iter().flat_map(HashMap::values);
            all.filter(|watch| watch.peers.contains(&peer)).cloned().collect()
        };
        watches.iter().for_each(|watch| watch.mark(peer));
    }

    /// A user shows themselves, or no longer does: to others, and others to them.
    pub(super) fn touch_all(&self, user: UserId) {
        self.touch(user);
        let own: Vec<_> = {
            let registry = self.registry();
            registry.by_user.get(&user).into_iter().flat_map(HashMap::values).cloned().collect()
        };
        for watch in own {
            watch.give_back(watch.peers.iter().copied());
        }
    }

    /// Anything may have happened to anybody.
    pub(super) fn touch_everybody(&self) {
        self.every().iter().for_each(|watch| watch.give_back(watch.peers.iter().copied()));
    }

    fn every(&self) -> Vec<Arc<Watch>> {
        self.registry().by_user.values().flat_map(HashMap::values).cloned().collect()
    }

    pub(super) fn is_watched(&self, peer: UserId) -> bool {
        self.registry().by_peer.contains_key(&peer)
    }

    /// The email or profile of a user has changed.
    pub(super) fn tell_profile(&self, peer: UserId, user: &Arc<v1::User>) {
        for watch in self.of_peer(peer) {
            watch.marks().profiles.insert(peer, Arc::clone(user));
            watch.marked.notify_one();
        }
    }

    /// How many are watched.
    pub(super) fn watched(&self) -> usize {
        self.registry().by_peer.len()
    }

    /// Ends all.
    pub(super) fn close(&self) {
        self.registry().is_closed = true;
        for watch in self.every() {
            watch.marks().is_closed = true;
            watch.marked.notify_one();
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut registry = self.watches.registry();
        let Registry { by_peer, by_user, .. } = &mut *registry;
        let keys =
            self.watch.peers.iter().map(|peer| (*peer, true)).chain([(self.watch.user, false)]);
        for (key, is_peer) in keys {
            let map = if is_peer { &mut *by_peer } else { &mut *by_user };
            if let Some(all) = map.get_mut(&key) {
                all.remove(&self.id);
                if all.is_empty() {
                    map.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn marked(watching: &Watching) -> Option<Vec<UserId>> {
        let marks = watching.watch.next().now_or_never()?;
        let mut peers: Vec<_> = marks.peers.into_iter().collect();
        peers.sort();
        Some(peers)
    }

    #[test]
    fn what_happens_marks_those_who_watch_and_once() {
        let watches = Arc::<Watches>::default();
        let one = watches.add(user(1), &[user(7), user(8)]);
        let two = watches.add(user(2), &[user(8)]);
        for _ in 0..3 {
            watches.touch(user(8));
        }
        assert_eq!(marked(&one), Some(vec![user(8)]));
        assert_eq!(marked(&two), Some(vec![user(8)]));
        assert_eq!((marked(&one), marked(&two)), (None, None));
        watches.touch_pair(user(2), user(8));
        watches.touch_pair(user(2), user(7));
        assert_eq!((marked(&one), marked(&two)), (None, Some(vec![user(8)])));
        watches.touch_all(user(1));
        assert_eq!(marked(&one), Some(vec![user(7), user(8)]));
        drop(one);
        assert!(!watches.is_watched(user(7)) && watches.is_watched(user(8)));
        drop(two);
        assert_eq!(watches.watched(), 0);
    }
}
