//! Lines of the log that would come again and again: each kind is told once in a while, with how often it happened since.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Between two lines of a kind.
const INTERVAL: Duration = Duration::from_secs(60);

/// When each kind was told last, and how often it happened since. There are few kinds.
#[derive(Debug)]
pub(crate) struct Notices<K>(Mutex<HashMap<K, (Instant, u64)>>);

impl<K> Default for Notices<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Notices<K> {
    /// Something happened. If that is to be told now, gives how often it happened untold.
    pub(crate) fn happened(&self, kind: K) -> Option<u64> {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&kind) {
            Some((told, untold)) if now < *told + INTERVAL => {
                *untold += 1;
                None
            }
            Some(last) => Some(std::mem::replace(last, (now, 0)).1),
            None => {
                all.insert(kind, (now, 0));
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_told_once_a_minute_with_the_number_untold() {
        let notices = Notices::default();
        assert_eq!(notices.happened('a'), Some(0));
        assert_eq!((0..9).find_map(|_| notices.happened('a')), None);
        assert_eq!(notices.happened('b'), Some(0));
        advance(INTERVAL).await;
        assert_eq!(notices.happened('a'), Some(9));
        assert_eq!(notices.happened('a'), None);
    }
}
