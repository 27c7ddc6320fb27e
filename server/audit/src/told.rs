//! When the log was told of something last, so that it is not filled with the same.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Between two lines of the log about the same trouble.
const INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Told {
    start: Instant,
    /// Seconds since the start, and one; 0 for never.
    at: AtomicU64,
}

impl Default for Told {
    fn default() -> Self {
        Self { start: Instant::now(), at: AtomicU64::new(0) }
    }
}

impl Told {
    /// Whether it is to be told now. One of those who ask at once is let to.
    pub(crate) fn is_due(&self) -> bool {
        let now = self.start.elapsed().as_secs() + 1;
        let told = self.at.load(Ordering::Relaxed);
        let is_due = told == 0 || now >= told + INTERVAL.as_secs();
        is_due && self.at.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The trouble is over: the next one is told at once.
    pub(crate) fn forget(&self) {
        self.at.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_a_minute_and_after_its_end() {
        let told = Told::default();
        assert!(told.is_due() && !told.is_due());
        told.forget();
        assert!(told.is_due() && !told.is_due());
        told.at.store(1, Ordering::Relaxed);
        let later = Told { start: Instant::now() - INTERVAL, ..told };
        assert!(later.is_due() && !later.is_due());
    }
}
