//! Whose feeds are to be compared with the store.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use netrox_proto::ids::UserId;
use tokio::sync::Notify;

/// A cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Due(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    feeds: Mutex<DueFeeds>,
    added: Notify,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum DueFeeds {
    All,
    Of(HashSet<UserId>),
}

impl Default for DueFeeds {
    fn default() -> Self {
        Self::Of(HashSet::new())
    }
}

impl Due {
    pub(super) fn add(&self, user: UserId) {
        if let DueFeeds::Of(users) = &mut *self.feeds() {
            users.insert(user);
        }
        self.0.added.notify_one();
    }

    pub(super) fn add_all(&self) {
        *self.feeds() = DueFeeds::All;
        self.0.added.notify_one();
    }

    /// Returns when there is something to compare.
    pub(super) async fn added(&self) {
        self.0.added.notified().await;
    }

    pub(super) fn take(&self) -> DueFeeds {
        std::mem::take(&mut *self.feeds())
    }

    /// A few instructions that do not panic.
    fn feeds(&self) -> MutexGuard<'_, DueFeeds> {
        self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
