//! What a user receives: one subscription to the core, shared by all connections of the first generation that the user has.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netrox_proto::{
    ids::UserId,
    v1::{ErrorReason, Failure},
};
use tokio::{
    sync::{Notify, oneshot},
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{close::CloseReason, members::Members, queue::Outgoing};

/// For the call and for the first response, which comes at once; a handshake waits for it as long.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Tells the feeds of an edge apart: a user has one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FeedId(pub(super) u64);

/// Connections of a user, and whether they are given what the user receives.
pub(super) struct Feed {
    pub(super) user: UserId,
    id: FeedId,
    members: Arc<Members>,
    state: Mutex<State>,
    /// A handshake waits for the subscription: the next attempt is due now.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Handshakes that wait for the subscription.
    waiters: Vec<oneshot::Sender<Result<(), Failure>>>,
    /// Keeps the subscription.
    task: Option<AbortHandle>,
    /// When the last connection left, if nobody has joined since.
    left_at: Option<Instant>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Opening,
    Live,
    /// Nothing will be delivered any more.
    Ended(Failure),
}

impl Feed {
    /// `members` are all connections of the user; those that join it belong to it.
    pub(super) fn new(user: UserId, id: FeedId, members: &Arc<Members>) -> Self {
        let members = Arc::clone(members);
        Self { user, id, members, state: Mutex::default(), wanted: Notify::new() }
    }

    /// The connections that belong to it.
    pub(super) fn connections(&self) -> Vec<Arc<Outgoing>> {
        self.members.of_feed(self.id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_task(&self, task: AbortHandle) {
        self.state().task = Some(task);
    }

    /// Adds a connection, which is given what the user receives from now on.
    pub(super) fn join(&self, outgoing: Arc<Outgoing>) {
        self.state().left_at = None;
        self.members.add(outgoing, Some(self.id));
    }

    /// Takes a connection out; gives whether it was the last.
    pub(super) fn leave(&self, outgoing: &Arc<Outgoing>, now: Instant) -> bool {
        self.members.remove(outgoing);
        let is_last = self.members.has_left(self.id);
        if is_last {
            self.state().left_at = Some(now);
        }
        is_last
    }

    /// Whether the last connection left then, and nobody has joined since.
    pub(super) fn was_left_at(&self, at: Instant) -> bool {
        self.state().left_at == Some(at)
    }

    pub(super) fn is_left(&self) -> bool {
        self.state().left_at.is_some()
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.state().phase, Phase::Live)
    }

    /// Drops the subscription. To be called when nobody can join any more.
    pub(super) fn stop(&self) {
        if let Some(task) = self.state().task.take() {
            task.abort();
        }
    }

    /// Resolves when no message sent from now on can be missed.
    pub(super) async fn live(&self) -> Result<(), Failure> {
        let live = {
            let mut state = self.state();
            match &state.phase {
                Phase::Opening => {}
                Phase::Live => return Ok(()),
                Phase::Ended(failure) => return Err(failure.clone()),
            }
            let (waiter, live) = oneshot::channel();
            state.waiters.push(waiter);
            live
        };
        self.wanted.notify_one();
        match timeout(OPEN_TIMEOUT, live).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(out_of_reach()),
        }
    }

    /// Returns when a handshake waits.
    pub(super) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// The subscription is live.
    pub(super) fn begin(&self) {
        self.set_phase(Phase::Live);
    }

    /// The subscription is lost, and will be opened again.
    pub(super) fn pause(&self) {
        self.set_phase(Phase::Opening);
    }

    /// Nothing will be delivered any more. To be called when nobody can join any more.
    pub(super) fn end(&self, failure: Failure, reason: CloseReason) {
        self.set_phase(Phase::Ended(failure));
        for outgoing in self.connections() {
            outgoing.close(reason);
        }
    }

    fn set_phase(&self, phase: Phase) {
        let (waiters, result) = {
            let mut state = self.state();
            state.phase = phase;
            let result = match &state.phase {
                Phase::Opening => return,
                Phase::Live => Ok(()),
                Phase::Ended(failure) => Err(failure.clone()),
            };
            (std::mem::take(&mut state.waiters), result)
        };
        for waiter in waiters {
            // The handshake may have been given up.
            let _ = waiter.send(result.clone());
        }
    }
}

pub(super) fn out_of_reach() -> Failure {
    Failure::new(ErrorReason::StoreUnavailable, "the core is out of reach")
}
