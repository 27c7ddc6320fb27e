//! What happens again and again, by kind: a few times a minute it is to be told, and what was left out is counted.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Of which each kind has its number.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

/// There are few kinds: the places in the code that log, for example.
#[derive(Debug)]
pub(crate) struct Kinds<K> {
    all: Mutex<HashMap<K, Minute>>,
    /// How many have left something out that was not told.
    owing: AtomicUsize,
}

/// The last one in which a kind was told.
#[derive(Debug)]
struct Minute {
    begun: Instant,
    told: u32,
    left_out: u64,
}

impl Minute {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= INTERVAL
    }
}

impl<K> Default for Kinds<K> {
    fn default() -> Self {
        Self { all: Mutex::default(), owing: AtomicUsize::default() }
    }
}

impl<K: Copy + Eq + Hash> Kinds<K> {
    /// How many were left out before this one, if it is to be told: `most` are in a minute.
    pub(crate) fn happened(&self, kind: K, most: u32, now: Instant) -> Option<u64> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(minute) = all.get_mut(&kind) else {
            all.insert(kind, Minute { begun: now, told: 1, left_out: 0 });
            return Some(0);
        };
        if minute.is_over(now) {
            (minute.begun, minute.told) = (now, 0);
        }
        if minute.told >= most {
            if minute.left_out == 0 {
                self.owing.fetch_add(1, Ordering::Relaxed);
            }
            minute.left_out += 1;
            return None;
        }
        minute.told += 1;
        Some(self.take(minute))
    }

    fn take(&self, minute: &mut Minute) -> u64 {
        let left_out = std::mem::take(&mut minute.left_out);
        if left_out > 0 {
            self.owing.fetch_sub(1, Ordering::Relaxed);
        }
        left_out
    }

    /// What was left out and not told while its minute passed.
    pub(crate) fn take_overdue(&self, now: Instant) -> Vec<(K, u64)> {
        if self.owing.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = all.iter_mut().filter(|(_, kind)| kind.left_out > 0 && kind.is_over(now));
        overdue.map(|(kind, minute)| (*kind, self.take(minute))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_once_in_a_while_with_the_number_left_out() {
        let kinds = Kinds::default();
        let start = Instant::now();
        let soon = start + INTERVAL / 2;
        assert_eq!(kinds.happened('a', 1, start), Some(0));
        assert_eq!(kinds.happened('a', 1, start), None);
        assert_eq!(kinds.happened('a', 1, soon), None);
        assert_eq!(kinds.happened('b', 1, soon), Some(0));
        assert_eq!(kinds.happened('a', 1, start + INTERVAL), Some(2));
        assert_eq!(kinds.happened('a', 1, start + INTERVAL + INTERVAL / 2), None);
        assert_eq!(kinds.happened('b', 1, soon + INTERVAL), Some(0));
    }

    #[test]
    fn one_that_has_several_in_a_minute_has_them_at_once() {
        let kinds = Kinds::default();
        let start = Instant::now();
        let told = |now| (0..9).filter(|_| kinds.happened('a', 3, now).is_some()).count();
        assert_eq!((told(start), told(start + INTERVAL / 2)), (3, 0));
        assert_eq!(kinds.happened('a', 3, start + INTERVAL), Some(15));
        assert_eq!(kinds.happened('a', 3, start + INTERVAL), Some(0));
        assert_eq!(told(start + INTERVAL), 1);
    }

    #[test]
    fn what_was_left_out_is_told_when_its_time_is_over() {
        let kinds = Kinds::default();
        let start = Instant::now();
        for _ in 0..3 {
            kinds.happened('a', 1, start);
        }
        kinds.happened('b', 1, start);
        assert_eq!(kinds.take_overdue(start + INTERVAL / 2), []);
        assert_eq!(kinds.take_overdue(start + INTERVAL), [('a', 2)]);
        assert_eq!(kinds.take_overdue(start + INTERVAL), []);
        assert_eq!(kinds.happened('a', 1, start + INTERVAL), Some(0), "told already");
        assert_eq!(kinds.owing.load(Ordering::Relaxed), 0);
    }
}
