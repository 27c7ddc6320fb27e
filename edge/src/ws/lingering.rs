//! Feeds whose last connection has left: each is kept live for a moment, so that who comes back finds it as a second
//! device would, without another subscription.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::feed::Feed;

/// What a client that lost its connection needs to come back.
pub(super) const LINGER: Duration = Duration::from_secs(10);
/// Beyond it those that were left first go.
const MAX_FEEDS: usize = 8_192;

#[derive(Default)]
pub(super) struct Lingering {
    feeds: Mutex<VecDeque<Left>>,
    /// There is one.
    added: Notify,
}

/// A feed that was left.
pub(super) struct Left {
    pub(super) feed: Arc<Feed>,
    /// If it was left at another time as well, this is not the last.
    pub(super) at: Instant,
}

impl Lingering {
    /// A few instructions that do not panic.
    fn feeds(&self) -> MutexGuard<'_, VecDeque<Left>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a feed; gives one that has to go for it.
    pub(super) fn add(&self, left: Left) -> Option<Left> {
        let mut feeds = self.feeds();
        feeds.push_back(left);
        let first = if feeds.len() > MAX_FEEDS { feeds.pop_front() } else { None };
        let is_only = feeds.len() == 1;
        drop(feeds);
        if is_only {
            self.added.notify_one();
        }
        first
    }

    /// The next one whose time is over.
    pub(super) async fn next(&self) -> Left {
        loop {
            let first = self.feeds().front().map(|left| left.at);
            match first {
                Some(at) => sleep_until(at + LINGER).await,
                None => self.added.notified().await,
            }
            let now = Instant::now();
            if let Some(over) = self.feeds().pop_front_if(|left| now >= left.at + LINGER) {
                return over;
            }
        }
    }

    pub(super) fn take_all(&self) -> VecDeque<Left> {
        std::mem::take(&mut *self.feeds())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::{stub_core::user, ws::feed::FeedId};

    fn left() -> Left {
        Left { feed: Arc::new(Feed::new(user(1), FeedId(1), &Arc::default())), at: Instant::now() }
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_kept_for_its_time() {
        let lingering = Lingering::default();
        {
            let mut next = std::pin::pin!(lingering.next());
            assert!(poll!(&mut next).is_pending());
            assert!(lingering.add(left()).is_none());
        }
        let start = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(lingering.add(left()).is_none());
        for after in [0, 1] {
            let at = lingering.next().await.at;
            assert_eq!(at, start + Duration::from_secs(after));
            assert_eq!(at.elapsed(), LINGER);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_at_most() {
        let lingering = Lingering::default();
        let first = left();
        let feed = Arc::clone(&first.feed);
        assert!(lingering.add(first).is_none());
        let others = (1..MAX_FEEDS).filter_map(|_| lingering.add(left()));
        assert_eq!(others.count(), 0);
        let gone = lingering.add(left()).expect("one that has to go");
        assert!(Arc::ptr_eq(&gone.feed, &feed));
        assert_eq!(lingering.take_all().len(), MAX_FEEDS);
        assert!(lingering.take_all().is_empty());
    }
}
