//! Who is online, as edges report to this core and other cores tell: the state of it, and what follows from what is heard.
//! [`others`] has the way to other cores and back.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use netrox_proto::{ids::UserId, v1};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use uuid::Uuid;

use super::{
    cores::Cores,
    people::{People, Place, Shown},
    watches::Watches,
    word::MAX_USERS,
};
use crate::{clock::now_micros, metrics::PresenceMetrics};

mod others;

pub(super) const MICROS_A_MINUTE: i64 = 60_000_000;
/// What is kept to be stored while the database is away.
const MAX_TO_STORE: usize = 200_000;
/// Users whose changed profiles are told to other cores at once.
const MAX_PROFILES: usize = MAX_USERS;

#[derive(Debug)]
pub(crate) struct Roll {
    /// Of this start of the core.
    id: Uuid,
    /// There may be other cores, which are told.
    is_shared: bool,
    state: Mutex<State>,
    /// There is something to be told to other cores, or to watchers at a time that is new.
    pub(super) changed: Notify,
    /// There is something to be stored.
    pub(super) unstored: Notify,
    /// There are users whose profiles are to be read.
    pub(super) unread: Notify,
    /// Other cores can no longer be told over the bus.
    pub(super) unshared: Notify,
    /// Another core without a bus was alone until now, and is about to write down who is online with it.
    pub(super) awaits_another: watch::Sender<bool>,
    pub(super) watches: Arc<Watches>,
}

#[derive(Debug, Default)]
struct State {
    people: People,
    cores: Cores,
    /// What edges report to this core.
    edges: HashMap<u64, HashSet<UserId>>,
    last_edge: u64,
    /// What other cores have yet to be told.
    untold: Untold,
    /// Of the last word that changed anything.
    number: u64,
    /// Minutes since the epoch in which users were last seen.
    to_store: HashMap<UserId, i64>,
    /// Whose changed profiles those who watch have yet to be told.
    profiles: HashSet<UserId>,
}

#[derive(Debug, Default)]
struct Untold {
    users: HashSet<UserId>,
    profiles: HashSet<UserId>,
    all: bool,
    asks: HashSet<Uuid>,
    asks_all: bool,
}

/// What an edge reports, until it breaks off.
#[derive(Debug)]
pub(crate) struct Reported {
    roll: Arc<Roll>,
    id: u64,
}

/// Now, and the minute of it since the epoch.
fn now() -> (Instant, i64) {
    (Instant::now(), now_micros() / MICROS_A_MINUTE)
}

impl Roll {
    pub(crate) fn new(is_shared: bool, metrics: &PresenceMetrics) -> Arc<Self> {
        let roll = Arc::new(Self {
            id: Uuid::new_v4(),
            is_shared,
            state: Mutex::default(),
            changed: Notify::new(),
            unstored: Notify::new(),
            unread: Notify::new(),
            unshared: Notify::new(),
            awaits_another: watch::Sender::new(false),
            watches: Arc::default(),
        });
        let (online, watched) = (Arc::downgrade(&roll), Arc::downgrade(&roll.watches));
        metrics.show(
            move || Some(online.upgrade()?.state().people.online()),
            move || Some(watched.upgrade()?.watched()),
        );
        roll
    }

    /// A few instructions that do not panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// An edge begins to report.
    pub(super) fn report(self: &Arc<Self>) -> Reported {
        let mut state = self.state();
        state.last_edge += 1;
        let id = state.last_edge;
        state.edges.insert(id, HashSet::new());
        Reported { roll: Arc::clone(self), id }
    }

    pub(super) fn shown(&self, users: impl Iterator<Item = UserId>) -> Vec<(UserId, Shown)> {
        let state = self.state();
        users.map(|user| (user, state.people.shown(user))).collect()
    }

    /// Who is online with this core.
    pub(super) fn here(&self) -> Vec<UserId> {
        self.state().people.here().collect()
    }

    /// When those were last seen with whom it is this core's to store it, as it ends.
    pub(super) fn last_seen(&self) -> Vec<(UserId, i64)> {
        self.state().people.last_seen(now().1)
    }

    /// Tells those who watch what is due; gives when something will be.
    pub(super) fn settle(&self) -> Option<Instant> {
        let gone = {
            let mut state = self.state();
            let now = now();
            for user in state.cores.expire(now.0) {
                state.people.leave(user, Place::Elsewhere, true, now);
            }
            let gone = state.people.settle(now.0);
            if state.to_store.len() < MAX_TO_STORE {
                state.to_store.extend(gone.to_store.iter().copied());
            }
            gone
        };
        if !gone.to_store.is_empty() {
            self.unstored.notify_one();
        }
        gone.users.iter().for_each(|user| self.watches.touch(*user));
        self.state().people.due()
    }

    /// Something happened between two users: each may watch the other.
    pub(crate) fn touch_pair(&self, one: UserId, two: UserId) {
        self.watches.touch_pair(one, two);
        self.watches.touch_pair(two, one);
    }

    /// A user shows themselves, or no longer does: to others, and others to them.
    pub(crate) fn touch_all(&self, user: UserId) {
        self.watches.touch_all(user);
    }

    /// Anything may have happened to anybody.
    pub(crate) fn touch_everybody(&self) {
        self.watches.touch_everybody();
    }

    /// Up to so many of what is to be stored.
    pub(super) fn take_unstored(&self, count: usize) -> Vec<(UserId, i64)> {
        let mut state = self.state();
        let users: Vec<_> = state.to_store.keys().take(count).copied().collect();
        users.into_iter().filter_map(|user| state.to_store.remove_entry(&user)).collect()
    }

    /// What could not be stored, unless there is something newer.
    pub(super) fn give_back(&self, seen: Vec<(UserId, i64)>) {
        let mut state = self.state();
        for (user, minute) in seen {
            state.to_store.entry(user).or_insert(minute);
        }
    }
}

/// Profiles.
impl Roll {
    /// The email or profile of users has changed, here or, if it is told by another core, there.
    pub(crate) fn profiles_changed(&self, users: impl Iterator<Item = UserId>, is_ours: bool) {
        let mut state = self.state();
        let (mut is_any, mut is_watched) = (false, false);
        for user in users {
            is_any = true;
            if is_ours && self.is_shared && state.untold.profiles.len() < MAX_PROFILES {
                state.untold.profiles.insert(user);
            }
            if self.watches.is_watched(user) {
                is_watched = true;
                state.profiles.insert(user);
            }
        }
        drop(state);
        if is_any && is_ours {
            self.changed.notify_one();
        }
        if is_watched {
            self.unread.notify_one();
        }
    }

    pub(super) fn take_profiles(&self, count: usize) -> Vec<UserId> {
        let mut state = self.state();
        let users: Vec<_> = state.profiles.iter().take(count).copied().collect();
        for user in &users {
            state.profiles.remove(user);
        }
        users
    }

    /// What could not be read, as far as it is watched yet.
    pub(super) fn give_back_profiles(&self, users: Vec<UserId>) {
        let mut state = self.state();
        state.profiles.extend(users.into_iter().filter(|user| self.watches.is_watched(*user)));
    }

    pub(super) fn tell_profile(&self, peer: UserId, user: &Arc<v1::User>) {
        self.watches.tell_profile(peer, user);
    }
}

impl Reported {
    pub(super) fn came(&self, users: impl Iterator<Item = UserId>) {
        let mut state = self.roll.state();
        let mut news = Vec::new();
        for user in users {
            let is_new = state.edges.get_mut(&self.id).is_some_and(|edge| edge.insert(user));
            if is_new {
                let was_here = state.people.is_here(user);
                if state.people.arrive(user, Place::Here) {
                    news.push(user);
                }
                if !was_here && self.roll.is_shared {
                    state.untold.users.insert(user);
                }
            }
        }
        drop(state);
        self.roll.changed.notify_one();
        news.into_iter().for_each(|user| self.roll.watches.touch(user));
    }

    pub(super) fn left(&self, users: impl Iterator<Item = UserId>) {
        let mut state = self.roll.state();
        for user in users {
            let was_there = state.edges.get_mut(&self.id).is_some_and(|edge| edge.remove(&user));
            if was_there {
                state.leave_here(user, self.roll.is_shared);
            }
        }
        drop(state);
        self.roll.changed.notify_one();
    }
}

impl State {
    fn leave_here(&mut self, user: UserId, tells: bool) {
        self.people.leave(user, Place::Here, true, now());
        if tells && !self.people.is_here(user) {
            self.untold.users.insert(user);
        }
    }
}

impl Drop for Reported {
    fn drop(&mut self) {
        let mut state = self.roll.state();
        for user in state.edges.remove(&self.id).unwrap_or_default() {
            state.leave_here(user, self.roll.is_shared);
        }
        drop(state);
        self.roll.changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
