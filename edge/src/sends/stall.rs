//! What the operator is told of a time in which the core takes no sends.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Stall(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Lanes that are down.
    lanes: usize,
    since: Option<Instant>,
    refused: usize,
}

impl Stall {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another lane is down, with so many commands waiting.
    pub(super) fn begin(&self, cause: &str, waiting: usize) {
        let mut state = self.state();
        state.lanes += 1;
        if state.since.is_none() {
            (state.since, state.refused) = (Some(Instant::now()), 0);
            tracing::warn!(error = cause, waiting, "no core takes sends: they wait");
        }
    }

    pub(super) fn refused(&self, count: usize) {
        self.state().refused += count;
    }

    /// A lane that was down has an answer, with so many commands waiting.
    pub(super) fn end(&self, waiting: usize) {
        let mut state = self.state();
        state.lanes = state.lanes.saturating_sub(1);
        if state.lanes == 0
            && let Some(since) = state.since.take()
        {
            let duration_millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                duration_millis,
                waiting,
                refused = state.refused,
                "a core takes sends again"
            );
        }
    }
}
