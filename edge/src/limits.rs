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
