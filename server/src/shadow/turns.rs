//! How fast a server is asked.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// When the next request may go out.
#[derive(Debug)]
pub(super) struct Turns {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Turns {
    /// So many per second, evenly spread.
    pub(super) fn new(rate: u32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.max(1), next: Mutex::new(None) }
    }

    pub(super) async fn wait(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + self.interval);
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_spread_evenly_and_not_saved_up() {
        let turns = Turns::new(10);
        let begun = Instant::now();
        for _ in 0..5 {
            turns.wait().await;
        }
        assert_eq!(begun.elapsed().as_millis() / 10, 40);
        sleep(Duration::from_secs(60)).await;
        let later = Instant::now();
        for _ in 0..3 {
            turns.wait().await;
        }
        assert_eq!(later.elapsed().as_millis() / 10, 20);
    }
}
