//! Connections that have yet to show that somebody known is behind them; `visitor`: what goes with each of their requests.

mod visitor;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

pub(crate) use self::visitor::{Occupied, Visitor};
use crate::{
    client_address::ClientAddress, config::Config, limits::share_of_files, written::Written,
};

/// Beyond it the oldest is closed: who is known says so at once, who is not has had their time.
const MAX_STRANGERS: usize = 1_000;
/// The same of one address, where addresses are known.
const MAX_STRANGERS_OF_ADDRESS: usize = 250;

/// The connections on which no request was authenticated yet, by address and age.
pub(crate) struct Strangers {
    max: usize,
    /// Those that have to go, and are not gone yet.
    closing: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    count: usize,
    connections: HashMap<Option<ClientAddress>, BTreeMap<u64, CancellationToken>>,
}

impl State {
    fn remove(&mut self, address: Option<ClientAddress>, id: u64) -> Option<CancellationToken> {
        let of_address = self.connections.get_mut(&address)?;
        let closed = of_address.remove(&id)?;
        if of_address.is_empty() {
            self.connections.remove(&address);
        }
        self.count -= 1;
        Some(closed)
    }

    /// The oldest of the address that has most.
    fn remove_oldest(&mut self) -> Option<CancellationToken> {
        let (&address, most) = self.connections.iter().max_by_key(|(_, one)| one.len())?;
        let (&id, _) = most.first_key_value()?;
        self.remove(address, id)
    }

    /// Adds a connection, for which others may have to go.
    fn add(
        &mut self,
        address: Option<ClientAddress>,
        id: u64,
        closed: CancellationToken,
        max: usize,
    ) -> Option<CancellationToken> {
        self.count += 1;
        let of_address = self.connections.entry(address).or_default();
        of_address.insert(id, closed);
        if address.is_some() && of_address.len() > MAX_STRANGERS_OF_ADDRESS.min(max) {
            let (&oldest, _) = of_address.first_key_value()?;
            return self.remove(address, oldest);
        }
        if self.count > max { self.remove_oldest() } else { None }
    }
}

impl Strangers {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            max: share_of_files(config, MAX_STRANGERS),
            closing: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether connections that have to go still hold what others need: none is to be accepted before.
    pub(crate) fn is_crowded(&self) -> bool {
        self.closing.load(Ordering::Relaxed) > self.max / 8
    }

    /// A new connection, which is a stranger's until it is dropped or a request is authenticated.
    pub(crate) fn welcome(strangers: &Arc<Self>) -> Stranger {
        let stranger = Stranger {
            strangers: Arc::clone(strangers),
            closed: CancellationToken::new(),
            written: Arc::default(),
            own: Mutex::default(),
        };
        stranger.count(&mut stranger.own());
        stranger
    }
}

/// One of the connections.
pub(crate) struct Stranger {
    strangers: Arc<Strangers>,
    closed: CancellationToken,
    written: Arc<Written>,
    own: Mutex<StrangerState>,
}

#[derive(Default)]
struct StrangerState {
    address: Option<ClientAddress>,
    /// As which it counts; absent where it does not.
    id: Option<u64>,
    /// A request was authenticated.
    is_known: bool,
}

impl Stranger {
    /// Cancelled when the connection has to make room for another.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// What was written to it.
    pub(crate) fn written(&self) -> Arc<Written> {
        Arc::clone(&self.written)
    }

    fn own(&self) -> MutexGuard<'_, StrangerState> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request on it was authenticated.
    pub(crate) fn is_known(&self) -> bool {
        self.own().is_known
    }

    /// Counts it as the newest, for which another may have to go.
    fn count(&self, own: &mut StrangerState) {
        let oldest = {
            let mut state = self.strangers.state();
            let id = state.next_id;
            state.next_id += 1;
            own.id = Some(id);
            state.add(own.address, id, self.closed.clone(), self.strangers.max)
        };
        if let Some(oldest) = oldest {
            oldest.cancel();
            self.strangers.closing.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives whether it did count.
    fn count_no_more(&self, own: &mut StrangerState) -> bool {
        let id = own.id.take();
        id.is_some_and(|id| self.strangers.state().remove(own.address, id).is_some())
    }

    /// It is known now where it comes from.
    pub(crate) fn comes_from(&self, address: Option<ClientAddress>) {
        let mut own = self.own();
        if own.address == address {
            return;
        }
        let counted = self.count_no_more(&mut own);
        own.address = address;
        if counted {
            self.count(&mut own);
        }
    }

    fn become_known(&self) {
        let mut own = self.own();
        own.is_known = true;
        self.count_no_more(&mut own);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.become_known();
        if self.closed.is_cancelled() {
            // Some are closed for another reason, and were not counted.
            let one_less = |closing: usize| Some(closing.saturating_sub(1));
            let _ =
                self.strangers.closing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Limits, stub_core::config};

    fn strangers(open_files: Option<u64>) -> Arc<Strangers> {
        Arc::new(Strangers::new(&Config { open_files, ..config(Limits::default()) }))
    }

    fn closed(connections: &[Stranger]) -> usize {
        connections.iter().filter(|one| one.closed.is_cancelled()).count()
    }

    fn address(number: u32) -> Option<ClientAddress> {
        Some(ClientAddress::new(std::net::Ipv4Addr::from(number).into()))
    }

    #[test]
    fn the_oldest_stranger_makes_room_and_those_known_stay() {
        let strangers = strangers(None);
        let welcome = || Strangers::welcome(&strangers);
        let known = welcome();
        known.become_known();
        let gone = welcome();
        drop(gone);
        let connections: Vec<_> = (0..MAX_STRANGERS).map(|_| welcome()).collect();
        assert_eq!(closed(&connections), 0);
        let _newer = [welcome(), welcome()];
        assert_eq!(closed(&connections), 2);
        assert!(connections[0].closed.is_cancelled() && connections[1].closed.is_cancelled());
        assert!(!known.closed.is_cancelled());
    }

    #[test]
    fn a_flood_from_one_address_closes_nobody_elses() {
        let strangers = strangers(None);
        let from = |number| {
            let stranger = Strangers::welcome(&strangers);
            stranger.comes_from(address(number));
            stranger
        };
        let others: Vec<_> = (100..200).map(from).collect();
        let flood: Vec<_> = (0..10_000).map(|_| from(1)).collect();
        assert_eq!(closed(&others), 0);
        assert_eq!(closed(&flood), 10_000 - MAX_STRANGERS_OF_ADDRESS);
        // From many addresses: those that have most have to go.
        let many: Vec<_> = (0..2_000).map(|number| from(1_000 + number % 20)).collect();
        assert_eq!(closed(&others), 0);
        assert!(closed(&many) >= 1_000);
        drop((others, flood, many));
        let state = strangers.state();
        assert_eq!((state.count, state.connections.len()), (0, 0));
    }

    #[test]
    fn a_connection_that_is_occupied_counts_again_when_it_is_not() {
        let strangers = strangers(None);
        let [one, known] = [(); 2].map(|()| Arc::new(Strangers::welcome(&strangers)));
        one.comes_from(address(1));
        let occupied = [Occupied::new(&one), Occupied::new(&known)];
        assert_eq!(strangers.state().count, 0);
        known.become_known();
        drop(occupied);
        assert_eq!(strangers.state().count, 1);
        assert!(strangers.state().connections.contains_key(&address(1)));
        drop(Occupied::new(&one));
        drop(one);
        assert_eq!(strangers.state().count, 0);
    }

    #[test]
    fn the_last_open_files_are_kept_for_those_who_are_known() {
        let strangers = strangers(Some(40));
        let connections: Vec<_> = (0..30).map(|_| Strangers::welcome(&strangers)).collect();
        assert_eq!(closed(&connections), 20);
    }
}
