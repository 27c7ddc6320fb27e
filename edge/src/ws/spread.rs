//! The end of connections whose clients are told before it: each when to open another, evenly over a while, so that they do not
//! all come to the other edges at once (PROTOCOL-2 section 4, `reconnect`).

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{close::CloseReason, queue::Outgoing};
use crate::config::Limits;

/// How long a connection is there beside the one that takes its place, at most.
const LONGEST_OVERLAP: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    over: Duration,
    overlap: Duration,
}

impl Spread {
    pub(super) fn of(limits: &Limits) -> Self {
        let rest = limits.drain_timeout.saturating_sub(limits.drain_spread);
        // Each close takes its time, too.
        Self { over: limits.drain_spread, overlap: LONGEST_OVERLAP.min(rest / 2) }
    }

    /// How long after the beginning the client of one of so many connections is to open another.
    fn after(self, index: usize, count: usize) -> Duration {
        let share = |amount: u128| amount * index as u128 / (count as u128).max(1);
        Duration::from_millis(u64::try_from(share(self.over.as_millis())).unwrap_or(u64::MAX))
    }

    /// How long it takes; nothing where nobody is told.
    pub(super) fn takes(self) -> Duration {
        if self.over.is_zero() { Duration::ZERO } else { self.over + self.overlap }
    }

    /// Tells all at once, and closes each a moment after its time, where its client has not done so before. Returns when the last is
    /// closed.
    pub(super) async fn close(self, connections: &[Arc<Outgoing>]) {
        let (began, count) = (Instant::now(), connections.len());
        if self.over.is_zero() {
            return connections.iter().for_each(|outgoing| outgoing.close(CloseReason::Draining));
        }
        for (index, outgoing) in connections.iter().enumerate() {
            outgoing.ask_to_reconnect(self.after(index, count));
        }
        for (index, outgoing) in connections.iter().enumerate() {
            sleep_until(began + self.after(index, count) + self.overlap).await;
            outgoing.close(CloseReason::Draining);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(over: u64, timeout: u64) -> Spread {
        let [drain_spread, drain_timeout] = [over, timeout].map(Duration::from_millis);
        Spread::of(&Limits { drain_spread, drain_timeout, ..Limits::default() })
    }

    #[test]
    fn clients_are_spread_evenly_whatever_their_number() {
        let after = |index, count| spread(5_000, 7_500).after(index, count).as_millis();
        assert_eq!([0, 1, 2, 3, 4].map(|index| after(index, 5)), [0, 1_000, 2_000, 3_000, 4_000]);
        assert_eq!(after(0, 1), 0);
        assert_eq!(after(9_999, 10_000), 4_999);
        assert_eq!(after(usize::MAX - 1, usize::MAX), 4_999);
    }

    #[test]
    fn the_overlap_leaves_time_to_close() {
        let overlap = |over, timeout| spread(over, timeout).overlap.as_millis();
        assert_eq!(overlap(5_000, 7_500), 1_000);
        assert_eq!(overlap(1_000, 1_200), 100);
        assert_eq!(overlap(2_000, 1_000), 0);
        assert_eq!(spread(5_000, 7_500).takes().as_millis(), 6_000);
        assert_eq!(spread(0, 7_500).takes().as_millis(), 0);
    }
}
