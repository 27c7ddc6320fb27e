//! How much of the work that nobody waits for is done at a time, and how long it pauses: senders wait behind each step, and have most of
//! the time.

use std::time::Duration;

/// A step is to take no longer, as far as less of it helps.
const LONG: Duration = Duration::from_millis(40);
const SHORT: Duration = Duration::from_millis(10);
/// After a step so many times as long a pause, within these.
const PAUSES: u32 = 2;
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    size: usize,
    /// Of one that only takes long: what a step takes in any case is then most of it.
    least: usize,
    most: usize,
}

impl Pace {
    /// Begins with a quarter of the most that a step may take.
    pub(crate) fn up_to(most: usize) -> Self {
        let least = (most / 4).max(1);
        Self { size: least, least, most }
    }

    /// How much the next step takes.
    pub(crate) fn size(self) -> usize {
        self.size
    }

    /// To be called after a step; gives the pause before the next.
    pub(crate) fn took(&mut self, took: Duration) -> Duration {
        match took {
            took if took > LONG => self.size = (self.size / 2).max(self.least.min(self.size)),
            took if took < SHORT => self.size = (self.size * 2).min(self.most),
            _ => {}
        }
        (took * PAUSES).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }

    /// It was refused, or took longer than it may.
    pub(crate) fn failed(&mut self) {
        self.size = (self.size / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_takes_long_is_followed_by_a_longer_pause_and_a_smaller_one() {
        let mut pace = Pace::up_to(64);
        assert_eq!(pace.size(), 16);
        assert_eq!(pace.took(Duration::from_millis(1)), SHORTEST_PAUSE);
        assert_eq!(pace.size(), 32);
        assert_eq!(pace.took(Duration::from_millis(20)), Duration::from_millis(40));
        assert_eq!(pace.size(), 32);
        for _ in 0..3 {
            assert_eq!(pace.took(Duration::from_secs(9)), LONGEST_PAUSE);
            assert_eq!(pace.size(), 16);
        }
        for _ in 0..9 {
            pace.failed();
        }
        assert_eq!(pace.size(), 1);
        pace.took(LONG * 2);
        assert_eq!(pace.size(), 1);
        for _ in 0..9 {
            pace.took(Duration::ZERO);
        }
        assert_eq!(pace.size(), 64);
    }
}
