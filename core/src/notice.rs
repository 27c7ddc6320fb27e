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

/// Causes of a state that are told at once, each the first time.
const MAX_CAUSES: usize = 8;

/// Why a state lasts, which is told when it begins, and again where that changes.
#[derive(Debug, Default)]
pub(crate) struct Cause {
    /// The last one last.
    told: Vec<String>,
    told_at: Option<Instant>,
}

impl Cause {
    /// Whether a cause is to be told: one that was not told yet is at once, and one that came back, or is one of very many,
    /// once in a while.
    pub(crate) fn is_news(&mut self, cause: &str) -> bool {
        let now = Instant::now();
        if self.told.last().is_some_and(|last| last == cause) {
            return false;
        }
        let before = self.told.iter().position(|told| told == cause);
        let is_new = before.is_none() && self.told.len() < MAX_CAUSES;
        if !is_new && self.told_at.is_some_and(|at| now < at + INTERVAL) {
            return false;
        }
        match before {
            Some(before) => self.told[before..].rotate_left(1),
            None => {
                if !is_new {
                    self.told.remove(0);
                }
                self.told.push(cause.to_owned());
            }
        }
        self.told_at = Some(now);
        true
    }

    /// The same, and once in a while for as long as it lasts.
    pub(crate) fn is_due(&mut self, cause: &str) -> bool {
        if self.is_news(cause) {
            return true;
        }
        let now = Instant::now();
        let is_due = self.told_at.is_some_and(|at| now >= at + INTERVAL);
        if is_due {
            self.told_at = Some(now);
        }
        is_due
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
    async fn a_cause_is_told_when_it_is_new_and_once_a_minute_when_it_comes_back() {
        let mut cause = Cause::default();
        let mut news = |text: &str| cause.is_news(text);
        for text in ["refused", "too many", "another password"] {
            assert!(news(text), "{text}");
            assert!(!news(text), "{text}");
        }
        // To and fro.
        assert!((0..9).all(|_| !news("refused") && !news("too many")));
        advance(INTERVAL).await;
        assert!(!news("another password"), "told last");
        assert!(news("refused"));
        assert!(!news("too many"));
        // A text that is another one each time.
        let told = (0..99).filter(|number| news(&number.to_string())).count();
        assert_eq!(told, MAX_CAUSES - 3);
        advance(INTERVAL).await;
        assert!(news("99"));
        assert!(!news("100"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cause_that_lasts_is_told_once_a_minute() {
        let mut cause = Cause::default();
        assert!(cause.is_due("refused"));
        assert!(!(0..9).any(|_| cause.is_due("refused")));
        advance(INTERVAL).await;
        assert!(cause.is_due("refused"));
        assert!(!cause.is_due("refused"));
        assert!(cause.is_due("another password"));
    }
}
