//! Lines of the log that would come again and again: each is told at once, then once a minute with how often it happened since.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);

/// When a line was told last, of what happens anywhere.
#[derive(Debug, Default)]
pub(crate) struct Notice(Mutex<Told>);

impl Notice {
    /// It happened. If that is to be told now, gives how often it happened untold.
    pub(crate) fn happened(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).happened(Instant::now())
    }
}

/// When a line was told last, and how often it was not since.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    last: Option<Instant>,
    untold: u64,
}

impl Told {
    pub(crate) fn happened(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now - last < INTERVAL) {
            self.untold += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_is_told_at_once_and_then_once_a_minute_with_the_number_untold() {
        let notice = Notice::default();
        for untold in [0, 3, 3] {
            assert_eq!(notice.happened(), Some(untold));
            assert_eq!((0..3).find_map(|_| notice.happened()), None);
            tokio::time::advance(INTERVAL).await;
        }
    }
}
