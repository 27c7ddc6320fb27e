//! Whether this edge stood still: it was stopped, its machine was, or it got no processor. What waited in its sockets
//! meanwhile may be of clients that have long gone elsewhere.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::tasks::Tasks;

/// How often it is seen that time passes here.
const TICK: Duration = Duration::from_millis(500);
/// So much later than due is a standstill.
const LATE: Duration = Duration::from_secs(2);
/// How long after it the state of a socket may not have come here yet.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// In place of an instant: nobody watches.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Standstill {
    clock: Arc<Clock>,
    _end: DropGuard,
}

/// Instants are milliseconds since `start`.
#[derive(Debug)]
struct Clock {
    start: Instant,
    last_tick: AtomicU64,
    noticed: AtomicU64,
    count: AtomicU64,
}

/// What is known of standstills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standstills {
    /// How many there were.
    pub(crate) count: u64,
    /// From when on it can be seen what the last one left in the sockets, unless it can be now.
    pub(crate) settles_at: Option<Instant>,
}

impl Standstill {
    /// Watches until this is dropped or the drain begins.
    pub(crate) fn watch(tasks: &Tasks) -> Self {
        let clock = Arc::new(Clock {
            start: Instant::now(),
            last_tick: AtomicU64::new(0),
            noticed: AtomicU64::new(NEVER),
            count: AtomicU64::new(0),
        });
        let end = tasks.draining().child_token();
        let watch = Arc::clone(&clock).run(end.clone());
        tasks.spawn(watch);
        Self { clock, _end: end.drop_guard() }
    }

    /// To be asked before acting on what a socket gives: whoever asks first after a standstill notices it.
    pub(crate) fn seen(&self, now: Instant) -> Standstills {
        self.clock.seen(now)
    }
}

impl Clock {
    async fn run(self: Arc<Self>, end: CancellationToken) {
        let tick = async {
            loop {
                sleep(TICK).await;
                let now = Instant::now();
                self.seen(now);
                self.last_tick.store(self.millis(now), Ordering::Release);
            }
        };
        end.run_until_cancelled(tick).await;
        // The end may have waited for this process to go on.
        self.seen(Instant::now());
        self.last_tick.store(NEVER, Ordering::Release);
    }

    fn millis(&self, now: Instant) -> u64 {
        let since_start = now.saturating_duration_since(self.start);
        u64::try_from(since_start.as_millis()).unwrap_or(NEVER)
    }

    fn seen(&self, now: Instant) -> Standstills {
        let now = self.millis(now);
        let since_tick = now.saturating_sub(self.last_tick.load(Ordering::Acquire));
        if u128::from(since_tick) > (TICK + LATE).as_millis() {
            // In this order: whoever sees the tick sees the rest. It may be counted twice.
            self.noticed.store(now, Ordering::Release);
            self.count.fetch_add(1, Ordering::AcqRel);
            self.last_tick.store(now, Ordering::Release);
            tracing::warn!(duration_millis = since_tick, "this edge stood still");
        }
        let count = self.count.load(Ordering::Acquire);
        let noticed = self.noticed.load(Ordering::Acquire);
        let is_settled =
            count == 0 || u128::from(now.saturating_sub(noticed)) >= SETTLED_AFTER.as_millis();
        let settles_at =
            (!is_settled).then(|| self.start + Duration::from_millis(noticed) + SETTLED_AFTER);
        Standstills { count, settles_at }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_first_notices_a_standstill() {
        let tasks = Tasks::default();
        let standstill = Standstill::watch(&tasks);
        let seen = |count, settles_at| Standstills { count, settles_at };
        for _ in 0..20 {
            sleep(TICK).await;
            assert_eq!(standstill.seen(Instant::now()), seen(0, None));
        }
        advance(LATE).await;
        assert_eq!(standstill.seen(Instant::now()), seen(0, None), "a little late");
        sleep(TICK).await;
        advance(TICK + LATE + Duration::from_millis(1)).await;
        let settles_at = Instant::now() + SETTLED_AFTER;
        assert_eq!(standstill.seen(Instant::now()), seen(1, Some(settles_at)));
        sleep_until(settles_at).await;
        assert_eq!(standstill.seen(Instant::now()), seen(1, None));

        tasks.begin_drain();
        tasks.ended().await;
        advance(LATE * 10).await;
        assert_eq!(standstill.seen(Instant::now()), seen(1, None), "nobody watches");
    }

    #[tokio::test(start_paused = true)]
    async fn a_standstill_is_noticed_though_the_end_waited_behind_it() {
        let tasks = Tasks::default();
        let standstill = Standstill::watch(&tasks);
        // It waits for its next tick.
        sleep(TICK * 2 + TICK / 2).await;
        tasks.begin_drain();
        advance(TICK + LATE + Duration::from_millis(1)).await;
        tasks.ended().await;
        assert_eq!(standstill.seen(Instant::now()).count, 1);
    }
}
