//! Erases what deleted users have sent, for whom that was asked, some at a time between the writes of others. Each message is deleted as
//! its sender could have done: both of its users learn of it. What is done is in the database, step by step: a core that is killed goes
//! on where it was, and another one where it does not come back.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    command::Erase,
    committer::{Committer, Erased},
    error::Error,
    metrics::RetentionMetrics,
    pace::Pace,
    store::{
        self, Store,
        erasure::{Erasure, SentRow, Step},
        user::UserKey,
    },
};

/// Messages of a step. Two users learn of each.
const MOST_OF_A_STEP: usize = 64;
/// How often is looked for what another core has left.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// While the database takes no writes.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const TELL_INTERVAL: Duration = Duration::from_secs(10);
/// In a row, of which one is put aside for the next.
const MOST_FAILURES: u32 = 8;
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// What became of a step.
enum Stepped {
    Erased(Erased),
    /// Nothing is left, and something may still come.
    Waits,
    Ended,
    /// It was asked for again, or another core is at it.
    Elsewhere,
}

#[derive(Debug)]
pub(crate) struct Eraser {
    store: Store,
    committer: Committer,
    metrics: RetentionMetrics,
    /// By which other cores see that this one is at work.
    worker: Uuid,
}

impl Eraser {
    /// `store`: by connections for what takes its time.
    pub(crate) fn new(store: Store, committer: Committer, metrics: RetentionMetrics) -> Self {
        Self { store, committer, metrics, worker: Uuid::new_v4() }
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            let mut failing = HashSet::new();
            loop {
                self.erase_all(&mut failing).await;
                tokio::select! {
                    () = self.committer.began_erasures() => {}
                    () = tokio::time::sleep(LOOK_INTERVAL) => {}
                }
            }
        })
        .await;
    }

    /// One after the other. One that fails again and again is put aside for the next. `failing`: those of which that was told.
    async fn erase_all(&self, failing: &mut HashSet<UserKey>) {
        let mut aside = HashSet::new();
        loop {
            match self.next(&aside).await {
                Ok(Some(erasure)) => {
                    let key = erasure.user_key;
                    if self.erase(erasure, failing).await {
                        failing.remove(&key);
                    } else {
                        aside.insert(key);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "cannot look for users whose messages are to be erased");
                    return;
                }
            }
        }
    }

    async fn next(&self, aside: &HashSet<UserKey>) -> Result<Option<Erasure>, store::Error> {
        self.metrics.erasures.set(self.store.count_erasures().await?);
        let found = self.store.next_erasures(self.worker).await?;
        Ok(found.into_iter().find(|it| !aside.contains(&it.user_key)))
    }

    /// To its end, or to where another one was asked for. Not so where it fails too often in a row.
    async fn erase(&self, mut erasure: Erasure, failing: &mut HashSet<UserKey>) -> bool {
        let began = Instant::now();
        if !failing.contains(&erasure.user_key) {
            tracing::info!(user.id = %erasure.user(), "what a deleted user has sent is being erased");
        }
        let ends = began + erasure.waits();
        let (mut messages, mut told) = (0_u64, began);
        let (mut pace, mut failures) = (Pace::up_to(MOST_OF_A_STEP), 0);
        loop {
            let step = Instant::now();
            let pause = match self.step(&mut erasure, pace, ends).await {
                Ok(Stepped::Erased(erased)) => {
                    failures = 0;
                    failing.remove(&erasure.user_key);
                    messages += erased.messages as u64;
                    self.metrics.erased.inc_by(erased.messages as u64);
                    pace.took(step.elapsed())
                }
                Ok(Stepped::Waits) => {
                    ends.saturating_duration_since(Instant::now()).max(SHORTEST_WAIT)
                }
                Ok(Stepped::Ended) => break,
                // What is to be done now is looked up.
                Ok(Stepped::Elsewhere) => return true,
                Err(error) => {
                    if failing.insert(erasure.user_key) {
                        tracing::warn!(
                            %error,
                            user.id = %erasure.user(),
                            "erasing what a deleted user has sent fails: it is tried again"
                        );
                    } else {
                        tracing::debug!(%error, "messages of a deleted user cannot be erased now");
                    }
                    failures += 1;
                    pace.failed();
                    RETRY_INTERVAL
                }
            };
            if failures == MOST_FAILURES {
                return false;
            }
            tokio::time::sleep(pause).await;
            if told.elapsed() >= TELL_INTERVAL {
                told = Instant::now();
                tracing::info!(
                    user.id = %erasure.user(),
                    messages,
                    "what a deleted user has sent is still being erased"
                );
            }
        }
        let duration_seconds = began.elapsed().as_secs();
        tracing::info!(
            user.id = %erasure.user(),
            messages,
            duration_seconds,
            "what a deleted user has sent is erased"
        );
        true
    }

    async fn step(
        &self,
        erasure: &mut Erasure,
        pace: Pace,
        ends: Instant,
    ) -> Result<Stepped, Error> {
        // What is stored later than it may end is of one who has come back.
        let may_end = ends <= Instant::now();
        let sent = self.store.list_sent(erasure, pace.size()).await?;
        let Some(last) = sent.last() else {
            if !may_end {
                return Ok(Stepped::Waits);
            }
            let ended = self.commit(erasure, Vec::new(), None).await?;
            return Ok(if ended.was_there { Stepped::Ended } else { Stepped::Elsewhere });
        };
        let messages = sent.iter().filter(|message| !message.deleted);
        let messages = messages.map(|message: &SentRow| message.id).collect();
        let erased = self.commit(erasure, messages, Some(last.sender_seq)).await?;
        if !erased.was_there {
            return Ok(Stepped::Elsewhere);
        }
        erasure.next_seq = last.sender_seq;
        Ok(Stepped::Erased(erased))
    }

    async fn commit(
        &self,
        erasure: &Erasure,
        messages: Vec<i64>,
        to_seq: Option<i64>,
    ) -> Result<Erased, Error> {
        let Erasure { user_key, begun, next_seq, .. } = *erasure;
        let step = Step { user_key, begun, from_seq: next_seq, to_seq, worker: self.worker };
        let erase = Erase { user: erasure.user(), messages, step };
        self.committer.submit(erase)?.answer().await
    }
}
