//! How fast somebody takes what is theirs, so that who is far too slow can make room for who waits.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Below it over [`WINDOW`] a place is kept only while nobody waits for one (PROTOCOL section 5).
const LEAST_BYTES_A_SECOND: u64 = 4 * 1024;
const SLOT: Duration = Duration::from_secs(5);
const SLOTS: usize = 6;
const WINDOW: Duration = SLOT.saturating_mul(SLOTS as u32);

/// What one reader took of late.
#[derive(Debug)]
pub(crate) struct Pace {
    begun: Instant,
    taken: Mutex<TakenBytes>,
    end: CancellationToken,
}

/// Bytes by slots of time, the present one included.
#[derive(Debug, Default)]
struct TakenBytes {
    slots: [u64; SLOTS + 1],
    latest: u64,
}

impl Pace {
    /// From now on. `end` is cancelled where the reader has to go.
    pub(crate) fn new(end: CancellationToken) -> Self {
        Self { begun: Instant::now(), taken: Mutex::default(), end }
    }

    fn taken(&self, now: Instant) -> MutexGuard<'_, TakenBytes> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(self.begun);
        let slot = elapsed.as_secs() / SLOT.as_secs();
        let passed = slot.saturating_sub(taken.latest);
        for passed in 1..=passed.min(taken.slots.len() as u64) {
            let index = taken.index(slot - passed + 1);
            taken.slots[index] = 0;
        }
        taken.latest = slot.max(taken.latest);
        taken
    }

    pub(crate) fn took(&self, bytes: usize) {
        let mut taken = self.taken(Instant::now());
        let index = taken.index(taken.latest);
        taken.slots[index] += bytes as u64;
    }

    /// Bytes taken within the window, or up to a slot longer.
    pub(super) fn recent(&self, now: Instant) -> u64 {
        self.taken(now).slots.iter().sum()
    }

    pub(super) fn is_far_too_slow(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= WINDOW
            && self.recent(now) < LEAST_BYTES_A_SECOND * WINDOW.as_secs()
    }

    pub(super) fn end(&self) {
        self.end.cancel();
    }

    pub(super) fn is_ended(&self) -> bool {
        self.end.is_cancelled()
    }
}

impl TakenBytes {
    fn index(&self, slot: u64) -> usize {
        (slot % self.slots.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_four_kib_a_second_is_fast_enough() {
        for (bytes, expected) in [(5 * 4096, false), (5 * 4096 - 1000, true)] {
            let pace = Pace::new(CancellationToken::new());
            // A buffer's worth at the start does not count for ever.
            pace.took(10_000_000);
            for _ in 0..20 {
                advance(SLOT).await;
                pace.took(bytes);
            }
            // The present slot is over, and with it seven are there.
            advance(SLOT - Duration::from_millis(1)).await;
            let window = pace.recent(Instant::now());
            assert_eq!(window, 7 * bytes as u64);
            advance(Duration::from_millis(1)).await;
            assert_eq!(pace.is_far_too_slow(Instant::now()), expected, "{bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_too_slow_before_the_window_is_over() {
        let pace = Pace::new(CancellationToken::new());
        advance(WINDOW - Duration::from_millis(1)).await;
        assert!(!pace.is_far_too_slow(Instant::now()));
        advance(Duration::from_millis(1)).await;
        assert!(pace.is_far_too_slow(Instant::now()));
        pace.took(1_000_000);
        assert!(!pace.is_far_too_slow(Instant::now()));
        advance(Duration::from_secs(3600)).await;
        assert!(pace.is_far_too_slow(Instant::now()));
        assert!(!pace.is_ended());
    }
}
