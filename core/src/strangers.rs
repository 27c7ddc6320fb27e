//! Connections on which nobody has shown a service token yet. Whatever they send is held for them, so there are few.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::auth::CertificateNames;

/// Beyond it the oldest is closed of the address that has the most. Who has a token shows it with the first call.
const MAX_STRANGERS: usize = 16;
/// For the first call: while none of them has had it, another connection waits to be accepted. Short, since strangers without
/// end keep everybody waiting so.
const GRACE: Duration = Duration::from_millis(50);
/// The same where a handshake of TLS comes before it.
const GRACE_OF_TLS: Duration = Duration::from_millis(200);
/// At a time on a connection of a stranger: health is asked by one or two, and what shows a wrong token is answered at once.
const MAX_CALLS: usize = 64;
#[derive(Debug)]
pub(crate) struct Strangers {
    grace: Duration,
    state: Mutex<State>,
    /// One has gone, or is no stranger any more.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    /// By age.
    connections: BTreeMap<u64, Unknown>,
}

/// A connection of somebody who has shown no token.
#[derive(Debug)]
struct Unknown {
    from: Option<IpAddr>,
    came: Instant,
    /// Cancelled where it has to make room.
    closed: CancellationToken,
}

impl State {
    fn most_crowding(&self) -> Option<u64> {
        let of = |wanted| self.connections.values().filter(|it| it.from == wanted).count();
        // Of those alike the first, which is the oldest.
        let oldest = self.connections.iter().rev().max_by_key(|(_, it)| of(it.from))?;
        Some(*oldest.0)
    }
}

impl Default for Strangers {
    fn default() -> Self {
        Self { grace: GRACE, state: Mutex::default(), left: Notify::default() }
    }
}

impl Strangers {
    pub(crate) fn new(has_tls: bool) -> Self {
        Self { grace: if has_tls { GRACE_OF_TLS } else { GRACE }, ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when there is a place, or somebody who has had time enough to make room.
    pub(crate) async fn room(&self) {
        loop {
            let left = self.left.notified();
            let waits_until = {
                let state = self.state();
                let oldest =
                    state.connections.values().next().map(|oldest| oldest.came + self.grace);
                oldest.filter(|_| state.connections.len() >= MAX_STRANGERS)
            };
            let Some(until) = waits_until.filter(|until| *until > Instant::now()) else { return };
            // Either is a reason to look again.
            let _ = timeout_at(until, left).await;
        }
    }

    /// With what is cancelled where the connection has to make room.
    pub(crate) fn welcome(
        strangers: &Arc<Self>,
        from: Option<IpAddr>,
        certificate_names: CertificateNames,
    ) -> (Visitor, CancellationToken) {
        let closed = CancellationToken::new();
        let mut state = strangers.state();
        let id = state.next_id;
        state.next_id += 1;
        let unknown = Unknown { from, came: Instant::now(), closed: closed.clone() };
        state.connections.insert(id, unknown);
        let crowding = (state.connections.len() > MAX_STRANGERS).then(|| state.most_crowding());
        if let Some(crowding) = crowding.flatten().and_then(|id| state.connections.remove(&id)) {
            tracing::debug!(
                peer = crowding.from.map(tracing::field::display),
                "a connection without a token made room for another"
            );
            crowding.closed.cancel();
        }
        drop(state);
        let strangers = Arc::clone(strangers);
        let calls = Arc::new(Semaphore::new(MAX_CALLS));
        let stranger =
            Stranger { id, from, certificate_names, strangers, calls, is_known: false.into() };
        (Visitor(Arc::new(stranger)), closed)
    }
}

#[derive(Debug)]
struct Stranger {
    id: u64,
    from: Option<IpAddr>,
    certificate_names: CertificateNames,
    strangers: Arc<Strangers>,
    /// Free for calls without a token.
    calls: Arc<Semaphore>,
    is_known: AtomicBool,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if !*self.is_known.get_mut() {
            self.strangers.state().connections.remove(&self.id);
            self.strangers.left.notify_one();
        }
    }
}

/// Who made a connection; goes with each of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Visitor(Arc<Stranger>);

impl Visitor {
    pub(crate) fn from(&self) -> Option<IpAddr> {
        self.0.from
    }

    /// What it has shown of itself in TLS.
    pub(crate) fn certificate_names(&self) -> &CertificateNames {
        &self.0.certificate_names
    }

    /// A request carried a token.
    pub(crate) fn become_known(&self) {
        if !self.0.is_known.swap(true, Ordering::Relaxed) {
            self.0.strangers.state().connections.remove(&self.0.id);
            self.0.strangers.left.notify_one();
        }
    }

    /// For one more call without a token.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.calls).try_acquire_owned().ok()
    }

    pub(crate) fn is_known(&self) -> bool {
        self.0.is_known.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some([127, 0, 0, last].into())
    }

    #[test]
    fn who_crowds_makes_room_and_who_is_known_stays() {
        let strangers = Arc::new(Strangers::default());
        let welcome = |last| Strangers::welcome(&strangers, address(last), Default::default());
        let (known, known_closed) = welcome(1);
        known.become_known();
        let other = welcome(2);
        let crowd: Vec<_> = (1..MAX_STRANGERS).map(|_| welcome(3)).collect();
        let closed = || crowd.iter().map(|(_, closed)| closed.is_cancelled()).collect::<Vec<_>>();
        assert!(!closed().contains(&true));
        let late = welcome(4);
        let later = welcome(3);
        assert!(closed()[..2].iter().all(|closed| *closed), "{:?}", closed());
        assert!(!closed()[2..].contains(&true));
        for (_, closed) in [&other, &late, &later] {
            assert!(!closed.is_cancelled());
        }
        assert!(!known_closed.is_cancelled());
        drop((crowd, other, late, later));
        assert!(strangers.state().connections.is_empty());
    }
}
