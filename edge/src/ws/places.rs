//! How many connections there may be, of a user and in all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use netrox_proto::ids::UserId;

use crate::config::Limits;

/// Places of a user, by how many connections they may have: some are handshakes under way, and some are being probed.
const PLACES_PER_CONNECTION: usize = 3;

/// The places of an edge.
pub(super) struct Places {
    max: usize,
    max_of_user: usize,
    counts: Arc<Mutex<Counts>>,
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

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            max: limits.max_connections,
            max_of_user: limits.max_connections_per_user.saturating_mul(PLACES_PER_CONNECTION),
            counts: Arc::default(),
        }
    }

    /// A place for one more connection of the user, free again when it is dropped.
    pub(super) fn take(&self, user: UserId) -> Result<Place, NoPlace> {
        let mut counts = counts(&self.counts);
        if counts.all >= self.max {
            return Err(NoPlace::OfAll);
        }
        let of_user = counts.by_user.entry(user).or_default();
        if *of_user >= self.max_of_user {
            return Err(NoPlace::OfUser);
        }
        *of_user += 1;
        counts.all += 1;
        Ok(Place { user, counts: Arc::clone(&self.counts) })
    }
}

fn counts(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the edge's places.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) user: UserId,
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
