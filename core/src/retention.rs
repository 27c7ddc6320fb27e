//! Removes what is older than `--retain-messages`, with its files, some at a time between the writes of users. What is removed is in
//! the database, step by step: a core that is killed goes on where it was. Nobody is told.
//!
//! Each core of a cluster does so; a step is of one of them alone.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::now_micros,
    committer::{Committer, RemoveMessages},
    error::Error,
    metrics::RetentionMetrics,
    pace::Pace,
    store::{
        Store,
        retention::{Due, Removed},
    },
};

/// Messages of a step.
const MOST_OF_A_STEP: usize = 256;
/// How often is looked for what is due: when the oldest is, within these. An import may bring what is older.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(60);
/// While the database takes no writes, or another core is at it.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const TELL_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Remover {
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) metrics: RetentionMetrics,
    /// How long messages are kept.
    pub(crate) kept: Duration,
}

impl Remover {
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.remove()).await;
    }

    async fn remove(&self) {
        loop {
            let look = match self.store.oldest_message().await {
                Ok(oldest) => {
                    let overdue = oldest.map(|created| self.due_before() - created);
                    self.metrics.overdue.set(overdue.unwrap_or_default().max(0) / 1_000_000);
                    if overdue.is_some_and(|overdue| overdue > 0) {
                        self.catch_up().await;
                    }
                    next_look(overdue, self.kept)
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot look for messages that are too old");
                    RETRY_INTERVAL
                }
            };
            tokio::time::sleep(look).await;
        }
    }

    /// What was created before is too old.
    fn due_before(&self) -> i64 {
        now_micros().saturating_sub(self.kept_micros())
    }

    fn kept_micros(&self) -> i64 {
        i64::try_from(self.kept.as_micros()).unwrap_or(i64::MAX)
    }

    /// Until nothing more is due.
    async fn catch_up(&self) {
        let began = Instant::now();
        let (mut messages, mut files, mut told) = (0_u64, 0_u64, began);
        let (mut pace, mut has_failed, mut from) = (Pace::up_to(MOST_OF_A_STEP), false, i64::MIN);
        loop {
            let step = Instant::now();
            let pause = match self.step(pace, from).await {
                Ok(removed) if removed.waits => RETRY_INTERVAL,
                Ok(removed) => {
                    from = removed.through.unwrap_or(from);
                    has_failed = false;
                    messages += removed.messages as u64;
                    files += removed.files as u64;
                    self.metrics.removed.inc_by(removed.messages as u64);
                    if removed.is_last {
                        break;
                    }
                    pace.took(step.elapsed())
                }
                Err(error) => {
                    if has_failed {
                        tracing::debug!(%error, "messages that are too old cannot be removed now");
                    } else {
                        tracing::warn!(
                            %error,
                            messages = pace.size(),
                            "removing messages that are too old fails: it is tried again, with fewer of them"
                        );
                    }
                    has_failed = true;
                    pace.failed();
                    RETRY_INTERVAL
                }
            };
            tokio::time::sleep(pause).await;
            if told.elapsed() >= TELL_INTERVAL {
                told = Instant::now();
                tracing::info!(messages, files, "messages that are too old are being removed");
            }
        }
        let duration_seconds = began.elapsed().as_secs();
        if told > began {
            tracing::info!(
                messages,
                files,
                duration_seconds,
                "messages that were too old are removed"
            );
        } else {
            tracing::debug!(messages, files, "messages that were too old are removed");
        }
    }

    async fn step(&self, pace: Pace, from: i64) -> Result<Removed, Error> {
        let (before, kept) = (self.due_before(), self.kept_micros());
        let due = Due { before, kept, from, most: pace.size() };
        self.committer.submit(RemoveMessages(due))?.answer().await
    }
}

/// After how long is looked again, where the oldest message has been due for so long, in microseconds. Where there is none, one that
/// comes is kept for so long.
fn next_look(overdue: Option<i64>, kept: Duration) -> Duration {
    let left = overdue.map_or(kept, |overdue| {
        Duration::from_micros(u64::try_from(overdue.saturating_neg()).unwrap_or_default())
    });
    left.clamp(SHORTEST_LOOK, LONGEST_LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_look_is_when_the_oldest_is_due() {
        let kept = Duration::from_secs(86_400);
        assert_eq!(next_look(None, kept), LONGEST_LOOK);
        assert_eq!(next_look(None, Duration::from_secs(2)), Duration::from_secs(2));
        assert_eq!(next_look(Some(-3_500_000), kept), Duration::from_millis(3_500));
        assert_eq!(next_look(Some(-90_000_000), kept), LONGEST_LOOK);
        assert_eq!(next_look(Some(5), kept), SHORTEST_LOOK);
        assert_eq!(next_look(Some(i64::MIN), kept), LONGEST_LOOK);
    }
}
