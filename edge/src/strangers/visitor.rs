//! Who sent a request, as far as its connection tells: it travels in the extensions of the request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::Extensions;

use super::Stranger;
use crate::{client_address::ClientAddress, limits::Pace, written::Written};

/// A connection does not count as a stranger's, because what it does is counted elsewhere; until it is dropped.
pub(crate) struct Occupied(Arc<Stranger>);

impl Occupied {
    pub(super) fn new(stranger: &Arc<Stranger>) -> Self {
        stranger.count_no_more(&mut stranger.own());
        Self(Arc::clone(stranger))
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let mut own = self.0.own();
        if !own.is_known && own.id.is_none() {
            self.0.count(&mut own);
        }
    }
}

/// A connection that was taken over from HTTP is still counted as it was, and may have to go as before.
pub(crate) struct Stay(Arc<Stranger>);

impl Stay {
    /// Resolves when the connection has to make room for another.
    pub(crate) async fn is_over(&self) {
        self.0.closed.cancelled().await;
    }
}

/// What is known of who sent a request; goes with the request.
#[derive(Clone)]
pub(crate) struct Visitor {
    connection: Arc<Stranger>,
    /// Where they are, as far as it is known.
    pub(crate) address: Option<ClientAddress>,
    shown: Arc<Shown>,
}

/// What a request has shown of who sent it.
#[derive(Default)]
struct Shown {
    /// It was authenticated.
    is_known: AtomicBool,
    /// Its token is of a key that is not known, and could not be asked for.
    has_unknown_key: AtomicBool,
}

impl Visitor {
    pub(crate) fn new(connection: Arc<Stranger>, address: Option<ClientAddress>) -> Self {
        Self { connection, address, shown: Arc::default() }
    }

    /// Their request was found to be somebody's.
    pub(crate) fn become_known(request: &Extensions) {
        if let Some(visitor) = request.get::<Self>() {
            visitor.shown.is_known.store(true, Ordering::Relaxed);
            visitor.connection.become_known();
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.shown.is_known.load(Ordering::Relaxed)
    }

    /// Nobody can tell whether the token of their request is good.
    pub(crate) fn is_of_unknown_key(request: &Extensions) {
        if let Some(visitor) = request.get::<Self>() {
            visitor.shown.has_unknown_key.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn has_unknown_key(&self) -> bool {
        self.shown.has_unknown_key.load(Ordering::Relaxed)
    }

    /// What they do is counted elsewhere, until what it gives is dropped.
    pub(crate) fn is_occupied(request: &Extensions) -> Option<Occupied> {
        request.get::<Self>().map(|visitor| Occupied::new(&visitor.connection))
    }

    /// Their connection stays what it is when HTTP ends on it, until what is given is dropped.
    pub(crate) fn stay(request: &Extensions) -> Option<Stay> {
        request.get::<Self>().map(|visitor| Stay(Arc::clone(&visitor.connection)))
    }

    /// What was written of the answers to them.
    pub(crate) fn written(request: &Extensions) -> Option<Arc<Written>> {
        request.get::<Self>().map(|visitor| visitor.connection.written())
    }

    /// Where they are, as far as it is known.
    pub(crate) fn address(request: &Extensions) -> Option<ClientAddress> {
        request.get::<Self>().and_then(|visitor| visitor.address)
    }

    /// The pace at which they take a file or a list; their connection is closed where that has to end.
    pub(crate) fn pace(request: &Extensions) -> Arc<Pace> {
        let closed = request.get::<Self>().map(|visitor| {
            visitor.connection.written.begin_bulk();
            visitor.connection.closed.clone()
        });
        Arc::new(Pace::new(closed.unwrap_or_default()))
    }
}
