//! Lines of the log that would come again and again: each is told at once, then once a minute.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);

/// When a line was told last.
#[derive(Debug, Default)]
pub(crate) struct Notice(Mutex<Option<Instant>>);

impl Notice {
    pub(crate) fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        is_due(&mut last, Instant::now())
    }
}

pub(crate) fn is_due(last: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = last.is_none_or(|last| now - last >= INTERVAL);
    if is_due {
        *last = Some(now);
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_is_told_at_once_and_then_once_a_minute() {
        let notice = Notice::default();
        for _ in 0..2 {
            assert!(notice.is_due());
            assert!(!notice.is_due());
            tokio::time::advance(INTERVAL).await;
        }
    }
}
