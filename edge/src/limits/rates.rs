//! How much of something each may do in a time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A rate with a burst for each key, by the instant at which what was spent is earned back. What is spent may be due
/// later: whoever spends waits until then.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    /// In which `amount` is earned.
    period: Duration,
    amount: u64,
    /// What can be spent at once, as the time in which it is earned.
    burst: Duration,
    start: Instant,
    /// In nanoseconds after `start`.
    earned: Mutex<HashMap<K, u64>>,
}

/// It would be due later than may be waited for; nothing was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch {
    /// How long it would have to wait.
    pub(crate) wait: Duration,
}

impl<K: Copy + Eq + Hash> Rates<K> {
    /// `amount` in each `period`, and up to `burst` at once.
    pub(crate) fn new(amount: u64, period: Duration, burst: u64) -> Self {
        let amount = amount.max(1);
        let burst = time_of(burst.max(1), amount, period);
        Self { period, amount, burst, start: Instant::now(), earned: Mutex::default() }
    }

    fn earned(&self) -> MutexGuard<'_, HashMap<K, u64>> {
        self.earned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instant(&self, after: u64) -> Instant {
        self.start + Duration::from_nanos(after)
    }

    fn after(&self, instant: Instant) -> u64 {
        let after = instant.saturating_duration_since(self.start).as_nanos();
        u64::try_from(after).unwrap_or(u64::MAX)
    }

    /// Spends `count` of `key` for something that could have been done at `since`, and gives when it is due. Refuses
    /// what would have to wait longer than `longest`.
    pub(crate) fn spend(
        &self,
        key: K,
        count: u64,
        since: Instant,
        longest: Duration,
    ) -> Result<Instant, TooMuch> {
        let now = Instant::now();
        let mut all = self.earned();
        let before = all.get(&key).map(|after| self.instant(*after));
        let earned = before.map_or(since, |before| before.max(since));
        let earned = earned + time_of(count, self.amount, self.period);
        let wait = earned.saturating_duration_since(now + self.burst);
        if wait > longest {
            return Err(TooMuch { wait });
        }
        all.insert(key, self.after(earned));
        Ok(now + wait)
    }

    /// How long one more would have to wait.
    pub(crate) fn wait(&self, key: K) -> Duration {
        let now = Instant::now();
        let earned = self.earned().get(&key).map_or(now, |after| now.max(self.instant(*after)));
        let earned = earned + time_of(1, self.amount, self.period);
        earned.saturating_duration_since(now + self.burst)
    }

    /// As long as the burst takes to be earned.
    pub(crate) fn burst(&self) -> Duration {
        self.burst
    }

    /// Drops what is kept of those who have spent nothing for a while. To be called regularly.
    pub(crate) fn forget_idle(&self) {
        let now = self.after(Instant::now());
        let mut all = self.earned();
        all.retain(|_, earned| *earned > now);
        all.shrink_to_fit();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.earned().len()
    }
}

/// No further than timers reach.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn time_of(count: u64, amount: u64, period: Duration) -> Duration {
    let nanos = period.as_nanos().saturating_mul(count.into()) / u128::from(amount);
    u64::try_from(nanos).map_or(MAX_TIME, Duration::from_nanos).min(MAX_TIME)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_due_at_once_and_the_rest_in_turn() {
        let rates = Rates::new(10, SECOND, 3);
        let start = Instant::now();
        let spend = |key| rates.spend(key, 1, Instant::now(), SECOND / 2);
        for key in ['a', 'b'] {
            for due in [0, 0, 0, 100, 200, 300, 400, 500] {
                assert_eq!(spend(key), Ok(start + Duration::from_millis(due)));
            }
            assert_eq!(spend(key), Err(TooMuch { wait: Duration::from_millis(600) }));
        }
        // What is refused costs nothing.
        advance(Duration::from_millis(100)).await;
        assert_eq!(spend('a'), Ok(start + Duration::from_millis(600)));
        assert_eq!(rates.wait('a'), Duration::from_millis(600));
        // However long nothing was spent, a burst is all.
        advance(SECOND * 100).await;
        let at_once = (0..10).filter(|_| spend('a') == Ok(Instant::now())).count();
        assert_eq!(at_once, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_have_been_done_before_counts_from_then() {
        let rates = Rates::new(10, SECOND, 3);
        let since = Instant::now();
        advance(SECOND * 10).await;
        let at_once = |since| {
            let spent = (0..1_000).map(|_| rates.spend('a', 1, since, Duration::ZERO));
            spent.take_while(Result::is_ok).count()
        };
        assert_eq!(at_once(since), 103);
        assert_eq!(at_once(since), 0);
        advance(SECOND).await;
        assert_eq!(at_once(Instant::now()), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_idle_is_forgotten() {
        let rates = Rates::new(10, SECOND, 3);
        assert!(rates.spend('a', 1, Instant::now(), SECOND).is_ok());
        rates.forget_idle();
        assert_eq!(rates.len(), 1);
        advance(Duration::from_millis(100)).await;
        rates.forget_idle();
        assert_eq!(rates.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn large_amounts_are_counted() {
        let day = SECOND * 86_400;
        let rates = Rates::new(u64::MAX, day, u64::MAX);
        assert!(rates.spend('a', u64::MAX / 2, Instant::now(), Duration::ZERO).is_ok());
        let rates = Rates::new(1_000, day, 1_000);
        assert!(rates.spend('a', 600, Instant::now(), Duration::ZERO).is_ok());
        let too_much = rates.spend('a', 600, Instant::now(), Duration::ZERO);
        assert_eq!(too_much, Err(TooMuch { wait: day / 5 }));
    }
}
