//! Cores on the bus of before there were shares: each listens to a subject for each of its users, and publishes under
//! those.
//!
//! What they publish is heard. From the first of it on, hints go to the subjects of users as well, until such cores have
//! been silent for [`SILENCE`]. So a rolling upgrade delays a message by the comparison with the store at most, and doubles
//! what is published only while it lasts.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A core that stores nothing for so long is not waited for.
const SILENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct OlderCores {
    heard: Mutex<Option<Instant>>,
}

impl OlderCores {
    /// A few instructions that do not panic.
    fn heard(&self) -> MutexGuard<'_, Option<Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self) {
        if self.heard().replace(Instant::now()).is_none() {
            tracing::info!("an older core is on the bus: hints are published for it as well");
        }
    }

    /// Whether there are any, as far as is known.
    pub(super) fn are_there(&self) -> bool {
        let mut heard = self.heard();
        let Some(last) = *heard else { return false };
        let are_there = last.elapsed() < SILENCE;
        if !are_there {
            *heard = None;
            drop(heard);
            tracing::info!("no older core is on the bus any more");
        }
        are_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn older_cores_are_there_until_they_are_silent() {
        let older = OlderCores::default();
        assert!(!older.are_there());
        for _ in 0..2 {
            older.note();
            tokio::time::advance(SILENCE - Duration::from_secs(1)).await;
            assert!(older.are_there());
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!older.are_there());
        older.note();
        assert!(older.are_there());
    }
}
