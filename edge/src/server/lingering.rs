//! Whose rest of a body is read for nothing at the moment: so many of an address and in all. Who has to make room for another
//! is a stranger before somebody known, of the address that has most, and the slowest of those.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{client_address::ClientAddress, config::Config, limits::share_of_files, tasks::Tasks};

const MAX: usize = 256;
/// Of one address, where addresses are known.
const MAX_OF_ADDRESS: usize = 32;
/// Younger ones count as if they were as old: what they have sent was there already.
const MIN_AGE: Duration = Duration::from_secs(1);
/// A part of all that may be open: those of strangers are counted as theirs already.
const SHARE: usize = 4;

/// All of them.
pub(super) struct Lingering {
    max: usize,
    /// How long the next bytes of a body are awaited.
    pub(super) idle_timeout: Duration,
    /// Where they are read.
    pub(super) tasks: Tasks,
    bodies: Mutex<HashMap<u64, Arc<One>>>,
    next_id: AtomicU64,
}

struct One {
    address: Option<ClientAddress>,
    is_known: bool,
    since: Instant,
    bytes: AtomicU64,
    cut: CancellationToken,
}

impl One {
    /// In bytes a second.
    fn rate(&self, now: Instant) -> u64 {
        let age = now.duration_since(self.since).max(MIN_AGE);
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.bytes.load(Ordering::Relaxed).saturating_mul(1_000) / millis
    }
}

impl Lingering {
    pub(super) fn new(config: &Config, tasks: &Tasks) -> Self {
        Self {
            idle_timeout: config.limits.body_idle_timeout,
            tasks: tasks.clone(),
            max: (share_of_files(config, MAX * SHARE) / SHARE).max(1),
            bodies: Mutex::default(),
            next_id: AtomicU64::default(),
        }
    }

    fn bodies(&self) -> MutexGuard<'_, HashMap<u64, Arc<One>>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, for which another may have to go.
    pub(super) fn enter(
        lingering: &Arc<Self>,
        address: Option<ClientAddress>,
        is_known: bool,
    ) -> Place {
        let now = Instant::now();
        let one = Arc::new(One {
            address,
            is_known,
            since: now,
            bytes: AtomicU64::default(),
            cut: CancellationToken::new(),
        });
        let id = lingering.next_id.fetch_add(1, Ordering::Relaxed);
        let mut bodies = lingering.bodies();
        if let Some(excess) = lingering.excess(&bodies, address, now)
            && let Some(cut) = bodies.remove(&excess)
        {
            cut.cut.cancel();
        }
        bodies.insert(id, Arc::clone(&one));
        drop(bodies);
        Place { lingering: Arc::clone(lingering), id, one }
    }

    /// Who has to go for another of this address.
    fn excess(
        &self,
        bodies: &HashMap<u64, Arc<One>>,
        address: Option<ClientAddress>,
        now: Instant,
    ) -> Option<u64> {
        let mut counts: HashMap<_, usize> = HashMap::new();
        for one in bodies.values() {
            *counts.entry(one.address).or_default() += 1;
        }
        let count = |one: &One| counts.get(&one.address).copied().unwrap_or_default();
        let of_address = counts.get(&address).copied().unwrap_or_default();
        let is_of_address = address.is_some() && of_address >= MAX_OF_ADDRESS.min(self.max);
        if !is_of_address && bodies.len() < self.max {
            return None;
        }
        let may_go = bodies.iter().filter(|(_, one)| !is_of_address || one.address == address);
        let excess =
            may_go.min_by_key(|(id, one)| (one.is_known, Reverse(count(one)), one.rate(now), **id));
        excess.map(|(id, _)| *id)
    }
}

/// Of one body, until it is dropped.
pub(super) struct Place {
    lingering: Arc<Lingering>,
    id: u64,
    one: Arc<One>,
}

impl Place {
    /// So much more was read.
    pub(super) fn read(&self, bytes: u64) {
        self.one.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// `None` where it had to make room.
    pub(super) async fn until_cut<T>(&self, reading: impl Future<Output = T>) -> Option<T> {
        self.one.cut.run_until_cancelled(reading).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lingering.bodies().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{config::Limits, stub_core::config};

    fn address(number: u32) -> Option<ClientAddress> {
        Some(ClientAddress::new(Ipv4Addr::from(number).into()))
    }

    fn cut(places: &[Place]) -> Vec<usize> {
        let cut = places.iter().enumerate().filter(|(_, place)| place.one.cut.is_cancelled());
        cut.map(|(index, _)| index).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_makes_room() {
        let lingering = Arc::new(Lingering::new(&config(Limits::default()), &Tasks::default()));
        let enter = |number| Lingering::enter(&lingering, address(number), false);
        let other = enter(1);
        let places: Vec<_> = (0..MAX_OF_ADDRESS).map(|_| enter(2)).collect();
        tokio::time::advance(MIN_AGE * 2).await;
        for (index, place) in places.iter().enumerate() {
            place.read(if index == 7 { 1_000 } else { 10_000 });
        }
        let newer = enter(2);
        assert_eq!(cut(&places), [7]);
        // One that has sent nothing yet is slower than all that have.
        let newest = enter(2);
        assert_eq!(cut(&places), [7]);
        assert_eq!(cut(&[other, newer, newest]), [1]);
        drop(places);
        assert!(lingering.bodies().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_strangers_makes_room_for_itself() {
        let lingering = Arc::new(Lingering::new(&config(Limits::default()), &Tasks::default()));
        let enter = |number, is_known| Lingering::enter(&lingering, address(number), is_known);
        let known: Vec<_> = (0..20).map(|number| enter(number, true)).collect();
        let honest: Vec<_> = (20..40).map(|number| enter(number, false)).collect();
        honest.iter().for_each(|place| place.read(600_000));
        tokio::time::advance(MIN_AGE * 3).await;
        let flood: Vec<_> = (0..20_000).map(|number| enter(1_000 + number % 20, false)).collect();
        assert_eq!(cut(&known), [0_usize; 0]);
        assert_eq!(cut(&honest), [0_usize; 0]);
        assert_eq!(lingering.bodies().len(), MAX);
        drop(flood);
        // Where no address is known, there is no limit of one.
        let places: Vec<_> =
            (0..MAX - 40).map(|_| Lingering::enter(&lingering, None, false)).collect();
        assert_eq!(cut(&places), [0_usize; 0]);
        drop(Lingering::enter(&lingering, None, false));
        assert_eq!(cut(&places), [0]);
    }

    #[test]
    fn few_of_the_open_files_are_for_it() {
        let config = Config { open_files: Some(1_024), ..config(Limits::default()) };
        assert_eq!(Lingering::new(&config, &Tasks::default()).max, 64);
    }
}
