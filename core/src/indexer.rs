//! Indexes for search what was stored before there was an index, or without it, some at a time between the writes of users. What is
//! done is in the database, step by step: a core that is killed goes on where it was.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    committer::{Committer, IndexMessages},
    error::Error,
    metrics::SearchMetrics,
    store::{Store, search::Built},
};

/// After a step as long a pause as it took, within these: the writes of users have at least half of the time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// While the database takes no writes.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How often is looked for what was not indexed when it was stored: by a core without an index, or because it was too much.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const TELL_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Indexer {
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) metrics: SearchMetrics,
}

impl Indexer {
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.index()).await;
    }

    async fn index(&self) {
        loop {
            self.catch_up().await;
            self.metrics.complete.set(1);
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                match self.store.has_unindexed().await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => tracing::debug!(%error, "cannot look for messages to index"),
                }
            }
            self.metrics.complete.set(0);
        }
    }

    /// Until nothing is left.
    async fn catch_up(&self) {
        let began = Instant::now();
        let (mut indexed, mut told) = (0_u64, began);
        loop {
            let step = Instant::now();
            match self.step().await {
                Ok(Built { messages, is_last }) => {
                    indexed += messages as u64;
                    self.metrics.indexed.inc_by(messages as u64);
                    if is_last {
                        break;
                    }
                    tokio::time::sleep(step.elapsed().clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "messages cannot be indexed now");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
            if told.elapsed() >= TELL_INTERVAL {
                told = Instant::now();
                tracing::info!(
                    messages = indexed,
                    "messages of before are being indexed for search"
                );
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

    async fn step(&self) -> Result<Built, Error> {
        self.committer.submit(IndexMessages)?.answer().await
    }
}
