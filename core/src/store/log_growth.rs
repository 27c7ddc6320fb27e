//! A log of SQLite's that grows. What it holds is written back to the database once no reader needs what was there before: a
//! program that has begun to read and does not end keeps all of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Four times what is written back at once: no load that the disk keeps up with makes so much.
const FIRST_BOUND: u64 = 256 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct LogGrowth {
    /// The bound that was told of last, in bytes; 0 where none was, or the log is short again.
    told: AtomicU64,
}

impl LogGrowth {
    /// Warns where the log has come to a bound: a quarter of a GiB, and each doubling of it.
    pub(super) fn look(&self, bytes: u64) {
        if self.has_grown(bytes) {
            tracing::warn!(
                log_bytes = bytes,
                "the log of the database grows: another program that reads chat.db has a \
                 transaction open, or the disk is too slow; it shrinks when that ends"
            );
        }
    }

    fn has_grown(&self, bytes: u64) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        if bytes < FIRST_BOUND / 2 {
            self.told.store(0, Ordering::Relaxed);
        }
        let bound = if told == 0 { FIRST_BOUND } else { told.saturating_mul(2) };
        let has_grown = bytes >= bound;
        if has_grown {
            self.told.store(bytes, Ordering::Relaxed);
        }
        has_grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_doubling_is_told_and_a_log_that_is_short_again_begins_anew() {
        let growth = LogGrowth::default();
        let mebibytes = [0, 64, 255, 256, 300, 511, 512, 900, 200, 600, 1_100, 64, 255, 300];
        let told = mebibytes.iter().filter(|size| growth.has_grown(*size << 20));
        assert_eq!(told.collect::<Vec<_>>(), [&256, &512, &1_100, &300]);
    }
}
