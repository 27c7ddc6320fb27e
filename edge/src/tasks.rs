//! The tasks of an edge, and their end: a drain that waits for them, and a hard stop for those that take too long.

use std::time::Duration;

use tokio::{task::AbortHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Cheap to clone, every clone is of the same tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    running: TaskTracker,
    draining: CancellationToken,
    hard_stop: CancellationToken,
}

impl Tasks {
    /// Runs a task that the drain waits for, and that the hard stop drops.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hard_stop = self.hard_stop.clone();
        self.running.spawn(async move {
            hard_stop.run_until_cancelled(task).await;
        });
    }

    /// Runs a task that the drain waits for, and that somebody aborts whom the hard stop drops.
    pub(crate) fn spawn_abortable<F>(&self, task: F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.running.spawn(task).abort_handle()
    }

    /// Cancelled when the drain begins: no new work, sessions close.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Begins the drain, and waits for the tasks; stops those that are left after `longest`.
    pub(crate) async fn drain(&self, longest: Duration) {
        self.begin_drain();
        if timeout(longest, self.ended()).await.is_err() {
            let count = self.running.len();
            tracing::warn!(count, "{count} tasks are cut off: the drain took too long");
            self.hard_stop.cancel();
            self.ended().await;
        }
    }

    /// Returns when the drain has begun and all tasks have ended.
    pub(crate) async fn ended(&self) {
        self.running.wait().await;
    }

    #[cfg(test)]
    pub(crate) fn are_running(&self) -> bool {
        !self.running.is_empty()
    }

    pub(crate) fn begin_drain(&self) {
        self.draining.cancel();
        self.running.close();
    }
}
