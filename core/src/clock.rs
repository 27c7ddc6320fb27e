//! The wall clock, as the core stores it.

use std::time::{SystemTime, UNIX_EPOCH};

/// As far as those of two cores may differ, in microseconds.
pub(crate) const CLOCKS_APART: i64 = 3_600_000_000;

/// Microseconds since the epoch. Never negative: a clock before 1970 reads as 0, and the order of a
/// conversation does not depend on the clock.
#[expect(clippy::disallowed_methods, reason = "the one place that dates what is stored")]
pub(crate) fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
}
