//! Erases what deleted users have sent, for whom that was asked, some at a time between the writes of others. Each message is deleted as
//! its sender could have done: both of its users learn of it. What is done is in the database, step by step: a core that is killed goes
//! on where it was, and another one where it does not come back.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    clock::now_micros,
    command::Erase,
    committer::{Committer, Erased},
    error::Error,
    metrics::RetentionMetrics,
    pace::Pace,
    store::{
        self, Store,
        erasure::{Erasure, SentRow, Step},
    },
};

/// Messages of a step. Two users learn of each.
const MOST_OF_A_STEP: usize = 64;
/// How often is looked for what another core has left.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// While the database takes no writes.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const TELL_INTERVAL: Duration = Duration::from_secs(10);
/// What another core was storing for the user when they were deleted is stored by then, or never.
const SETTLED_AFTER_MICROS: i64 = 5_000_000;

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
            loop {
                self.erase_all().await;
                tokio::select! {
                    () = self.committer.began_erasures() => {}
                    () = tokio::time::sleep(LOOK_INTERVAL) => {}
                }
            }
        })
        .await;
    }

    async fn erase_all(&self) {
        loop {
            match self.next().await {
                Ok(Some(erasure)) => self.erase(erasure).await,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "cannot look for users whose messages are to be erased");
                    return;
                }
            }
        }
    }

    async fn next(&self) -> Result<Option<Erasure>, store::Error> {
        self.metrics.erasures.set(self.store.count_erasures().await?);
        self.store.next_erasure(self.worker).await
    }

    /// To its end, or to where another one was asked for.
    async fn erase(&self, mut erasure: Erasure) {
        let began = Instant::now();
        tracing::info!(user.id = %erasure.user(), "what a deleted user has sent is being erased");
        let (mut messages, mut told) = (0_u64, began);
        let (mut pace, mut has_failed) = (Pace::up_to(MOST_OF_A_STEP), false);
        loop {
            let step = Instant::now();
            let pause = match self.step(&mut erasure, pace).await {
                Ok(Some(erased)) => {
                    has_failed = false;
                    messages += erased.messages as u64;
                    self.metrics.erased.inc_by(erased.messages as u64);
                    pace.took(step.elapsed())
                }
                Ok(None) => break,
                Err(error) => {
                    if has_failed {
                        tracing::debug!(%error, "messages of a deleted user cannot be erased now");
                    } else {
                        tracing::warn!(
                            %error,
                            user.id = %erasure.user(),
                            "erasing what a deleted user has sent fails: it is tried again"
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
    }

    /// `None` at the end.
    async fn step(&self, erasure: &mut Erasure, pace: Pace) -> Result<Option<Erased>, Error> {
        let sent = self.store.list_sent(erasure, pace.size()).await?;
        let Some(last) = sent.last() else {
            if self.store.cluster().is_some() {
                let age = now_micros().saturating_sub(erasure.begun);
                let left = SETTLED_AFTER_MICROS.saturating_sub(age).clamp(0, SETTLED_AFTER_MICROS);
                if left > 0 {
                    tokio::time::sleep(Duration::from_micros(left.unsigned_abs())).await;
                    return Ok(Some(Erased::default()));
                }
            }
            self.commit(erasure, Vec::new(), None).await?;
            return Ok(None);
        };
        let messages = sent.iter().filter(|message| erasure.is_of(message));
        let messages = messages.map(|message: &SentRow| message.id).collect();
        let erased = self.commit(erasure, messages, Some(last.sender_seq)).await?;
        erasure.next_seq = last.sender_seq;
        Ok(Some(erased))
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
