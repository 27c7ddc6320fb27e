//! Connections that have yet to show that somebody known is behind them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use http::Extensions;
use tokio_util::sync::CancellationToken;

/// Beyond it the oldest is closed: who is known says so at once, who is not has had their time.
const MAX_STRANGERS: usize = 1_000;

/// The connections on which no request was authenticated yet, by age.
#[derive(Default)]
pub(crate) struct Strangers {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    connections: BTreeMap<u64, CancellationToken>,
}

impl Strangers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, which is a stranger's until it is dropped or a request is authenticated.
    pub(super) fn welcome(strangers: &Arc<Self>) -> Stranger {
        let closed = CancellationToken::new();
        let (id, oldest) = {
            let mut state = strangers.state();
            let id = state.next_id;
            state.next_id += 1;
            state.connections.insert(id, closed.clone());
            let is_over = state.connections.len() > MAX_STRANGERS;
            (id, is_over.then(|| state.connections.pop_first()).flatten())
        };
        if let Some((_, oldest)) = oldest {
            oldest.cancel();
        }
        Stranger { id, strangers: Arc::clone(strangers), closed }
    }
}

/// One of the connections.
pub(super) struct Stranger {
    id: u64,
    strangers: Arc<Strangers>,
    closed: CancellationToken,
}

impl Stranger {
    /// Cancelled when the connection has to make room for another.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    fn become_known(&self) {
        self.strangers.state().connections.remove(&self.id);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.become_known();
    }
}

/// What is known of who sent a request; goes with the request.
#[derive(Clone)]
pub(crate) struct Visitor {
    connection: Arc<Stranger>,
    is_uploading: Arc<AtomicBool>,
}

impl Visitor {
    pub(super) fn new(connection: Arc<Stranger>) -> Self {
        Self { connection, is_uploading: Arc::default() }
    }

    /// Their request was found to be somebody's.
    pub(crate) fn is_known(request: &Extensions) {
        if let Some(visitor) = request.get::<Self>() {
            visitor.connection.become_known();
        }
    }

    /// Their body is an upload of somebody known, who is owed an answer that they can read.
    pub(crate) fn is_uploading(request: &Extensions) {
        if let Some(visitor) = request.get::<Self>() {
            visitor.is_uploading.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn uploads(&self) -> bool {
        self.is_uploading.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_stranger_makes_room_and_those_known_stay() {
        let strangers = Arc::new(Strangers::default());
        let welcome = || Strangers::welcome(&strangers);
        let known = welcome();
        known.become_known();
        let gone = welcome();
        drop(gone);
        let connections: Vec<_> = (0..MAX_STRANGERS).map(|_| welcome()).collect();
        let closed = || connections.iter().filter(|one| one.closed.is_cancelled()).count();
        assert_eq!(closed(), 0);
        let _newer = [welcome(), welcome()];
        assert_eq!(closed(), 2);
        assert!(connections[0].closed.is_cancelled() && connections[1].closed.is_cancelled());
        assert!(!known.closed.is_cancelled());
    }
}
