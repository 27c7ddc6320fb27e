//! How much a user may do on this edge (PROTOCOL section 5).

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use netrox_proto::ids::UserId;

use crate::config;

pub(crate) struct Limits {
    /// Absent for no limit.
    sends: Option<DefaultKeyedRateLimiter<UserId>>,
    uploads: PerUser,
    history_reads: PerUser,
}

impl Limits {
    pub(crate) fn new(config: &config::Limits) -> Self {
        let sends = NonZeroU32::new(config.send_rate).map(|rate| {
            let burst = NonZeroU32::new(config.send_burst).unwrap_or(NonZeroU32::MIN);
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        });
        Self {
            sends,
            uploads: PerUser::new(config.max_uploads_per_user),
            history_reads: PerUser::new(config.max_history_reads_per_user),
        }
    }

    /// Whether the user may send one more message now.
    pub(crate) fn allow_send(&self, user: UserId) -> bool {
        self.sends.as_ref().is_none_or(|sends| sends.check_key(&user).is_ok())
    }

    /// A place among the user's uploads, free again when it is dropped.
    pub(crate) fn uploads(&self, user: UserId) -> Option<Permit> {
        self.uploads.acquire(user)
    }

    /// A place among the user's reads of history, free again when it is dropped.
    pub(crate) fn history_reads(&self, user: UserId) -> Option<Permit> {
        self.history_reads.acquire(user)
    }

    /// Drops what is kept of users who have not sent for a while. To be called regularly.
    pub(crate) fn forget_idle(&self) {
        if let Some(sends) = &self.sends {
            sends.retain_recent();
            sends.shrink_to_fit();
        }
    }
}

/// Counts what a user has under way.
struct PerUser {
    max: usize,
    under_way: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl PerUser {
    fn new(max: usize) -> Self {
        Self { max, under_way: Arc::default() }
    }

    fn acquire(&self, user: UserId) -> Option<Permit> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.get(&user).copied().unwrap_or(0);
        if count >= self.max {
            return None;
        }
        under_way.insert(user, count + 1);
        Some(Permit { user, under_way: Arc::clone(&self.under_way) })
    }
}

/// One of a user's places.
#[derive(Debug)]
pub(crate) struct Permit {
    user: UserId,
    under_way: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                under_way.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ALICE: UserId = UserId(Uuid::from_u128(1));
    const BOB: UserId = UserId(Uuid::from_u128(2));

    fn limits(change: impl FnOnce(&mut config::Limits)) -> Limits {
        let mut config = config::Limits::default();
        change(&mut config);
        Limits::new(&config)
    }

    #[test]
    fn a_burst_is_allowed_to_each_user() {
        let limits = limits(|config| (config.send_rate, config.send_burst) = (1, 3));
        let allowed = |user| (0..100).filter(|_| limits.allow_send(user)).count();
        for user in [ALICE, BOB] {
            // More than three where seconds pass in the middle.
            assert!((3..100).contains(&allowed(user)));
        }
    }

    #[test]
    fn rate_zero_is_no_limit() {
        let limits = limits(|config| config.send_rate = 0);
        assert!((0..10_000).all(|_| limits.allow_send(ALICE)));
        limits.forget_idle();
    }

    #[test]
    fn users_who_are_idle_are_forgotten() {
        let limits = limits(|config| (config.send_rate, config.send_burst) = (1_000_000, 1));
        assert!(limits.allow_send(ALICE));
        let sends = limits.sends.as_ref().expect("a limit");
        assert_eq!(sends.len(), 1);
        // Fresh again after a microsecond.
        while !sends.is_empty() {
            limits.forget_idle();
        }
    }

    #[test]
    fn places_are_given_back() {
        let limits = limits(|config| {
            (config.max_uploads_per_user, config.max_history_reads_per_user) = (2, 1);
        });
        let (one, two) = (limits.uploads(ALICE), limits.uploads(ALICE));
        assert!(one.is_some() && two.is_some());
        assert!(limits.uploads(ALICE).is_none());
        assert!(limits.uploads(BOB).is_some());
        assert!(limits.history_reads(ALICE).is_some());
        drop(one);
        let again = limits.uploads(ALICE);
        assert!(again.is_some() && limits.uploads(ALICE).is_none());
        drop((two, again));
        assert!(limits.uploads.under_way.lock().expect("unpoisoned").is_empty());
    }
}
