//! Marks over the rate of their user: they wait, and those of one kind and thread become one. None is refused for it, and the
//! last word always comes.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use netrox_proto::{
    ids::UserId,
    v1::{ErrorReason, MarkDeliveredRequest, MarkSeenRequest, ThreadState},
};
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use crate::{
    edge::Edge,
    sends::{Mark, MarkKind},
};

/// What became of a mark; nothing from a core that does not say.
type Marked = Result<Option<ThreadState>, Status>;

/// What became of several as one, and how far that went. Whoever waits for it drives it.
type Together = BoxFuture<'static, (i64, Marked)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    user: UserId,
    peer: UserId,
    kind: MarkKind,
}

/// Marks that wait for the rate of their user.
#[derive(Default)]
pub(crate) struct WaitingMarks(Mutex<State>);

#[derive(Default)]
struct State {
    by_key: HashMap<Key, Waiting>,
    last_number: u64,
}

struct Waiting {
    /// Tells it from those before it.
    number: u64,
    /// The furthest of them.
    up_to: i64,
    marked: WeakShared<Together>,
}

impl WaitingMarks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out those of this number, unless they are gone.
    fn take(&mut self, key: Key, number: u64) -> Option<i64> {
        let waiting = self.by_key.get(&key)?;
        let up_to = (waiting.number == number).then_some(waiting.up_to)?;
        self.by_key.remove(&key);
        Some(up_to)
    }
}

/// Marks that others may join. Nobody can once it is dropped.
struct Turn {
    edge: Edge,
    key: Key,
    number: u64,
}

impl Turn {
    /// How far all went who joined.
    fn end(&self) -> Option<i64> {
        self.edge.shared.waiting_marks.state().take(self.key, self.number)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end();
    }
}

/// Marks a thread for the user when their rate allows it.
pub(super) async fn mark(edge: &Edge, user: UserId, mark: Mark) -> Marked {
    let Mark { kind, peer, up_to } = mark;
    let key = Key { user, peer, kind };
    loop {
        let Some(marked) = in_turn(edge, key, up_to) else {
            return ask(edge, key, up_to).await;
        };
        let (reached, marked) = marked.await;
        // Another of them went too far: this one may be good.
        let is_too_far = |status| edge.failure(user, status).reason() == ErrorReason::InvalidField;
        if up_to == reached || !marked.as_ref().is_err_and(is_too_far) {
            return marked;
        }
    }
}

/// Joins those that wait, or waits for others to join; nothing where there is no need to wait.
fn in_turn(edge: &Edge, key: Key, up_to: i64) -> Option<Shared<Together>> {
    let shared = &edge.shared;
    let mut state = shared.waiting_marks.state();
    if let Some(waiting) = state.by_key.get_mut(&key)
        && let Some(marked) = waiting.marked.upgrade()
    {
        waiting.up_to = up_to.max(waiting.up_to);
        return Some(marked);
    }
    let due = shared.limiter.receipt(key.user)?;
    state.last_number += 1;
    let number = state.last_number;
    let turn = Turn { edge: edge.clone(), key, number };
    let marked = together(turn, due, up_to).boxed().shared();
    if let Some(marked) = marked.downgrade() {
        state.by_key.insert(key, Waiting { number, up_to, marked });
    }
    Some(marked)
}

async fn together(turn: Turn, due: Instant, first: i64) -> (i64, Marked) {
    let draining = turn.edge.shared.tasks.draining();
    // Once the drain begins there is no time left to wait.
    draining.run_until_cancelled(sleep_until(due)).await;
    let up_to = turn.end().unwrap_or(first);
    (up_to, ask(&turn.edge, turn.key, up_to).await)
}

async fn ask(edge: &Edge, key: Key, up_to_id: i64) -> Marked {
    let (user_id, peer_id) = (key.user.to_string(), key.peer.to_string());
    let mut chat = edge.shared.core.chat.clone();
    match key.kind {
        MarkKind::Seen => {
            let request = MarkSeenRequest { user_id, peer_id, up_to_id };
            chat.mark_seen(request).await.map(|marked| marked.into_inner().state)
        }
        MarkKind::Delivered => {
            let request = MarkDeliveredRequest { user_id, peer_id, up_to_id };
            chat.mark_delivered(request).await.map(|marked| marked.into_inner().state)
        }
    }
}
