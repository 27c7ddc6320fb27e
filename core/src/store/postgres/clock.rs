//! The clock of the server, by which the server itself knows that nobody waits for a call any more.

use std::time::Duration;

use tokio::time::Instant;

/// For how long what it said is gone by: clocks run apart, and may be set.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// Microseconds since the epoch.
macro_rules! server_clock {
    () => {
        "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
    };
}

pub(in crate::store) use server_clock;

/// What it said, and when that was heard.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct ServerClock {
    micros: i64,
    heard: Instant,
}

impl ServerClock {
    /// Of an answer that has come just now.
    pub(in crate::store) fn heard(micros: i64) -> Self {
        Self { micros, heard: Instant::now() }
    }

    /// What it says at a later time, at least: it was read before that was heard.
    pub(in crate::store) fn at(self, later: Instant) -> i64 {
        let since = later.saturating_duration_since(self.heard).as_micros();
        self.micros.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }

    pub(in crate::store) fn is_fresh(self) -> bool {
        self.heard.elapsed() <= FRESH_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_what_it_said() {
        let clock = ServerClock::heard(7_000);
        assert_eq!(clock.at(clock.heard + Duration::from_millis(2)), 9_000);
        assert_eq!(clock.at(clock.heard), 7_000);
    }
}
