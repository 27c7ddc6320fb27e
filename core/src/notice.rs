//! Lines of the log that would come again and again: each kind is told once in a while, with how often it happened since, and
//! a state with its cause.

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

/// Why a state lasts, which is told when it begins, and again where that changes.
#[derive(Debug, Default)]
pub(crate) struct Cause {
    told: Option<String>,
    /// When a change was told last.
    changed: Option<Instant>,
}

impl Cause {
    /// Whether a cause is to be told: the first is, and one that differs from what was told last, once in a while.
    pub(crate) fn is_news(&mut self, cause: &str) -> bool {
        let now = Instant::now();
        match &self.told {
            None => {}
            Some(told) if told == cause => return false,
            Some(_) if self.changed.is_some_and(|at| now < at + INTERVAL) => return false,
            Some(_) => self.changed = Some(now),
        }
        self.told = Some(cause.to_owned());
        true
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

    #[tokio::test(start_paused = true)]
    async fn a_cause_is_told_again_where_it_changes_and_not_more_than_once_a_minute() {
        let mut cause = Cause::default();
        let mut news = |text| cause.is_news(text);
        assert!(news("refused"));
        assert!(!news("refused"));
        assert!(news("too many"), "the first change");
        assert!(!news("too many"));
        // To and fro.
        assert!((0..9).all(|_| !news("refused") && !news("too many")));
        advance(INTERVAL).await;
        assert!(!news("too many"), "told already");
        assert!(news("another password"));
    }
}
