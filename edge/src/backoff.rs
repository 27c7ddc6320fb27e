//! Growing, jittered delays between attempts to reach the core.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Delays of about `first`, doubled from one attempt to the next, up to `max`.
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// To be called after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// How long to wait now: half of the delay to all of it, so that many who were cut off at once do
    /// not return at once.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.max);
        delay.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_limit_and_starts_anew_after_a_success() {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(millis(100), millis(500));
        for ceiling in [100, 200, 400, 500, 500] {
            let delay = backoff.next_delay();
            assert!(delay >= millis(ceiling / 2) && delay <= millis(ceiling), "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= millis(100));
    }
}
