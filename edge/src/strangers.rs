//! Connections that have yet to show that somebody known is behind them; `visitor`: what goes with each of their requests.

mod visitor;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout_at},
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
/// For the first request: while nobody has had it, another connection waits to be accepted. If all come back at once, they
/// would else close each other's. Short, since strangers without end keep everybody waiting so.
const GRACE: Duration = Duration::from_millis(50);
/// The same where a handshake of TLS comes before it, which takes some journeys to and fro. Among those of one address, too,
/// nobody makes room earlier: the newest goes.
const GRACE_OF_TLS: Duration = Duration::from_secs(1);
/// Whose address has more has no such grace before those of others.
const FEW: usize = 16;
/// While connections that were told to go are going.
const CROWD_PAUSE: Duration = Duration::from_millis(1);

/// The connections on which no request was authenticated yet, by address and age.
pub(crate) struct Strangers {
    max: usize,
    has_tls: bool,
    /// Those that have to go, and are not gone yet.
    closing: AtomicUsize,
    /// One has gone, or is no stranger any more.
    left: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    count: usize,
    connections: HashMap<Option<ClientAddress>, BTreeMap<u64, Unknown>>,
}

/// A connection of a stranger.
struct Unknown {
    came: Instant,
    /// Cancelled where it has to make room.
    closed: CancellationToken,
}

impl State {
    fn remove(&mut self, address: Option<ClientAddress>, id: u64) -> Option<CancellationToken> {
        let of_address = self.connections.get_mut(&address)?;
        let Unknown { closed, .. } = of_address.remove(&id)?;
        if of_address.is_empty() {
            self.connections.remove(&address);
        }
        self.count -= 1;
        Some(closed)
    }

    /// The address that has most, and its oldest connection. Of those alike the oldest of all.
    fn most_crowding(&self) -> Option<(Option<ClientAddress>, u64, &Unknown)> {
        let crowding = |(_, of_address): &(&Option<ClientAddress>, &BTreeMap<u64, Unknown>)| {
            (of_address.len(), Reverse(of_address.first_key_value().map(|(id, _)| *id)))
        };
        let (&address, of_address) = self.connections.iter().max_by_key(crowding)?;
        let (&id, oldest) = of_address.first_key_value()?;
        Some((address, id, oldest))
    }

    /// Adds a connection, for which another may have to go: gives which.
    fn add(
        &mut self,
        address: Option<ClientAddress>,
        id: u64,
        unknown: Unknown,
        max: usize,
        grace_of_address: Duration,
    ) -> Option<CancellationToken> {
        let now = unknown.came;
        self.count += 1;
        let of_address = self.connections.entry(address).or_default();
        of_address.insert(id, unknown);
        if address.is_some() && of_address.len() > MAX_STRANGERS_OF_ADDRESS.min(max) {
            let (&oldest, first) = of_address.first_key_value()?;
            let has_had_time = first.came + grace_of_address <= now;
            return self.remove(address, if has_had_time { oldest } else { id });
        }
        if self.count <= max {
            return None;
        }
        let (address, id, _) = self.most_crowding()?;
        self.remove(address, id)
    }
}

impl Strangers {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            max: share_of_files(config, MAX_STRANGERS),
            has_tls: config.tls.is_some(),
            closing: AtomicUsize::new(0),
            left: Notify::new(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when one more may be accepted: those that have to go do not hold any more what others need, and there is a
    /// place, or somebody who has had time enough to make room.
    pub(crate) async fn room(&self) {
        while self.closing.load(Ordering::Relaxed) > self.max / 8 {
            sleep(CROWD_PAUSE).await;
        }
        while let Some(until) = self.is_full_until() {
            // Either is a reason to look again.
            let _ = timeout_at(until, self.left.notified()).await;
        }
    }

    fn is_full_until(&self) -> Option<Instant> {
        let state = self.state();
        if state.count < self.max {
            return None;
        }
        let grace = if self.has_tls { GRACE_OF_TLS } else { GRACE };
        let (address, _, oldest) = state.most_crowding()?;
        let is_one_of_few = address.is_none()
            || state.connections.get(&address).is_some_and(|of_address| of_address.len() <= FEW);
        Some(oldest.came + grace).filter(|until| is_one_of_few && *until > Instant::now())
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
        let crowding = {
            let mut state = self.strangers.state();
            let id = state.next_id;
            state.next_id += 1;
            own.id = Some(id);
            let unknown = Unknown { came: Instant::now(), closed: self.closed.clone() };
            let grace = if self.strangers.has_tls { GRACE_OF_TLS } else { Duration::ZERO };
            state.add(own.address, id, unknown, self.strangers.max, grace)
        };
        if let Some(crowding) = crowding {
            crowding.cancel();
            self.strangers.closing.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives whether it did count.
    fn count_no_more(&self, own: &mut StrangerState) -> bool {
        let id = own.id.take();
        let did_count =
            id.is_some_and(|id| self.strangers.state().remove(own.address, id).is_some());
        if did_count {
            self.strangers.left.notify_one();
        }
        did_count
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

    /// At most ten.
    fn few(has_tls: bool) -> Arc<Strangers> {
        let config = Config { open_files: Some(40), ..config(Limits::default()) };
        Arc::new(Strangers { has_tls, ..Strangers::new(&config) })
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

    #[tokio::test(start_paused = true)]
    async fn nobody_makes_room_in_the_middle_of_a_handshake() {
        for (has_tls, grace) in [(true, GRACE_OF_TLS), (false, GRACE)] {
            nobody_makes_room_before(grace, &few(has_tls)).await;
        }
    }

    async fn nobody_makes_room_before(grace: Duration, strangers: &Arc<Strangers>) {
        let welcome = || Strangers::welcome(strangers);
        let start = Instant::now();
        let mut connections = Vec::new();
        for _ in 0..10 {
            strangers.room().await;
            connections.push(welcome());
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Whoever makes it leaves a place.
        let known = connections.pop().expect("a connection");
        tokio::join!(strangers.room(), async { known.become_known() });
        connections.push(welcome());
        assert_eq!(start.elapsed(), Duration::ZERO);
        strangers.room().await;
        assert_eq!((start.elapsed(), closed(&connections)), (grace, 0));
        connections.push(welcome());
        assert_eq!(closed(&connections), 1);
        assert!(connections[0].closed.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn over_tls_many_of_an_address_wait_for_each_other_and_nobody_else_for_them() {
        let config = config(Limits::default());
        let strangers = Strangers { has_tls: true, ..Strangers::new(&config) };
        let strangers = Arc::new(strangers);
        let from = |number| {
            let stranger = Strangers::welcome(&strangers);
            stranger.comes_from(address(number));
            stranger
        };
        let mut many: Vec<_> = (0..MAX_STRANGERS_OF_ADDRESS + 10).map(|_| from(1)).collect();
        let newest = many.split_off(MAX_STRANGERS_OF_ADDRESS);
        assert_eq!((closed(&many), closed(&newest)), (0, 10));
        drop(newest);
        tokio::time::advance(GRACE_OF_TLS).await;
        let newer = [from(1)];
        assert_eq!((closed(&many), closed(&newer)), (1, 0));
        drop((many, newer));

        let start = Instant::now();
        let flood: Vec<_> = (0..MAX_STRANGERS as u32).map(|number| from(number % 4)).collect();
        strangers.room().await;
        let other = from(5);
        assert_eq!((closed(&flood), other.closed.is_cancelled()), (1, false));
        assert_eq!(start.elapsed(), Duration::ZERO);
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
