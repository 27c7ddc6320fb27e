//! Indexes for search what was stored before there was an index, or without it, some at a time between the writes of users. What is
//! done is in the database, step by step: a core that is killed goes on where it was.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    committer::{Committer, IndexMessages},
    error::Error,
    metrics::SearchMetrics,
    store::{
        Store,
        search::{Built, Left},
    },
};

/// After a step as long a pause as it took, within these: the writes of users have at least half of the time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// While the database takes no writes, and where another core is at what is left.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How often is looked for what was not indexed when it was stored: by a core without an index, or because it was too much.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const TELL_INTERVAL: Duration = Duration::from_secs(10);
/// Messages of a step: fewer where they take long, since senders wait behind them.
const MOST_OF_A_STEP: usize = 128;
/// How often entries that were put down beside the index are sorted into it.
const SORT_INTERVAL: Duration = Duration::from_secs(3);
const FIRST_STEP: usize = 32;
const STEP_IS_LONG: Duration = Duration::from_millis(200);
const STEP_IS_SHORT: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Indexer {
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) metrics: SearchMetrics,
}

/// How many messages the next step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace(usize);

impl Pace {
    fn after(self, took: Duration) -> Self {
        match took {
            took if took > STEP_IS_LONG => self.slower(),
            took if took < STEP_IS_SHORT => Self((self.0 * 2).min(MOST_OF_A_STEP)),
            _ => self,
        }
    }

    fn slower(self) -> Self {
        Self((self.0 / 2).max(1))
    }
}

impl Indexer {
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async { tokio::join!(self.index(), self.sort()) }).await;
    }

    async fn index(&self) {
        loop {
            self.catch_up().await;
            self.metrics.complete.set(i64::from(!self.store.has_damaged_index()));
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                if self.store.has_damaged_index() {
                    self.metrics.complete.set(0);
                    return;
                }
                match self.store.unindexed_left().await {
                    Ok(left) if left.is_nothing() => {}
                    Ok(_) => break,
                    Err(error) => tracing::debug!(%error, "cannot look for messages to index"),
                }
            }
            self.metrics.complete.set(0);
        }
    }

    /// Where the engine puts entries down beside its index.
    async fn sort(&self) {
        let mut has_failed = false;
        loop {
            tokio::time::sleep(SORT_INTERVAL).await;
            let sorted = self.store.sort_index().await;
            if let Err(error) = &sorted {
                match has_failed {
                    false => {
                        tracing::warn!(%error, "the index for search cannot be sorted: searches become slower")
                    }
                    true => tracing::debug!(%error, "the index for search cannot be sorted"),
                }
            }
            has_failed = sorted.is_err();
        }
    }

    /// Until nothing is left.
    async fn catch_up(&self) {
        let began = Instant::now();
        let (mut indexed, mut told, mut has_failed, mut pace) =
            (0_u64, began, false, Pace(FIRST_STEP));
        while !self.store.has_damaged_index() {
            let step = Instant::now();
            match self.step(pace).await {
                Ok(Built { messages, is_last }) => {
                    // Where another core is at what there is, it says nothing of how long that takes.
                    if messages > 0 {
                        has_failed = false;
                        pace = pace.after(step.elapsed());
                    }
                    indexed += messages as u64;
                    self.metrics.indexed.inc_by(messages as u64);
                    if !is_last {
                        let pause = step.elapsed().clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                        tokio::time::sleep(pause).await;
                    } else if self.is_all().await {
                        break;
                    } else {
                        tokio::time::sleep(RETRY_INTERVAL).await;
                    }
                }
                Err(error) => {
                    if has_failed {
                        tracing::debug!(%error, "messages cannot be indexed now");
                    } else {
                        tracing::warn!(
                            %error,
                            messages = pace.0,
                            "a step of the index for search fails: it is tried again, with fewer messages"
                        );
                    }
                    has_failed = true;
                    pace = pace.slower();
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
            if told.elapsed() >= TELL_INTERVAL {
                told = Instant::now();
                self.tell(indexed).await;
            }
        }
        // What few were stored without an index is not worth a line.
        if told > began {
            let duration_seconds = began.elapsed().as_secs();
            tracing::info!(
                messages = indexed,
                duration_seconds,
                "all messages are indexed for search"
            );
        } else {
            tracing::debug!(messages = indexed, "all messages are indexed for search");
        }
    }

    /// Whether nothing is left, also for another core.
    async fn is_all(&self) -> bool {
        match self.store.unindexed_left().await {
            Ok(left) => left.is_nothing(),
            Err(error) => {
                tracing::debug!(%error, "cannot look for messages to index");
                false
            }
        }
    }

    async fn tell(&self, messages: u64) {
        match self.store.unindexed_left().await {
            Ok(Left { noted, next_id, last_id }) => tracing::info!(
                messages,
                next_id,
                last_id,
                noted,
                "messages of before are being indexed for search"
            ),
            Err(error) => tracing::debug!(%error, "cannot look for messages to index"),
        }
    }

    async fn step(&self, Pace(most): Pace) -> Result<Built, Error> {
        self.committer.submit(IndexMessages(most))?.answer().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_takes_long_is_followed_by_a_smaller_one() {
        let pace = Pace(100);
        assert_eq!(pace.after(Duration::from_millis(300)), Pace(50));
        assert_eq!(pace.after(Duration::from_millis(100)), pace);
        assert_eq!(pace.after(Duration::from_millis(10)), Pace(MOST_OF_A_STEP));
        assert_eq!(Pace(1).slower(), Pace(1));
    }
}
