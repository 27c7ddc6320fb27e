//! Whose rest of a body is read for nothing at the moment: so many of an address and in all, and the slowest of them has
//! to make room for another.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::origin::ClientAddress;
use crate::{config::Config, limits::share_of_files};

const MAX: usize = 256;
/// Of one address, where addresses are known.
const MAX_OF_ADDRESS: usize = 32;
/// Before that it cannot be told how fast one is.
const LOOK: Duration = Duration::from_secs(1);

/// All of them.
pub(crate) struct Lingering {
    max: usize,
    bodies: Mutex<HashMap<u64, Arc<One>>>,
    next_id: AtomicU64,
}

struct One {
    address: Option<ClientAddress>,
    since: Instant,
    bytes: AtomicU64,
    cut: CancellationToken,
}

impl One {
    /// In bytes a second.
    fn rate(&self, now: Instant) -> u64 {
        let age = now.duration_since(self.since);
        if age < LOOK {
            return u64::MAX;
        }
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.bytes.load(Ordering::Relaxed).saturating_mul(1_000) / millis
    }
}

impl Lingering {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            max: share_of_files(config, MAX),
            bodies: Mutex::default(),
            next_id: AtomicU64::default(),
        }
    }

    fn bodies(&self) -> MutexGuard<'_, HashMap<u64, Arc<One>>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, for which another may have to go.
    pub(super) fn enter(lingering: &Arc<Self>, address: Option<ClientAddress>) -> Place {
        let now = Instant::now();
        let one = Arc::new(One {
            address,
            since: now,
            bytes: AtomicU64::default(),
            cut: CancellationToken::new(),
        });
        let id = lingering.next_id.fetch_add(1, Ordering::Relaxed);
        let mut bodies = lingering.bodies();
        let of_address = bodies.values().filter(|one| one.address == address).count();
        let slowest = if address.is_some() && of_address >= MAX_OF_ADDRESS.min(lingering.max) {
            slowest(bodies.iter().filter(|(_, one)| one.address == address), now)
        } else if bodies.len() >= lingering.max {
            slowest(bodies.iter(), now)
        } else {
            None
        };
        if let Some(slowest) = slowest.and_then(|id| bodies.remove(&id)) {
            slowest.cut.cancel();
        }
        bodies.insert(id, Arc::clone(&one));
        drop(bodies);
        Place { lingering: Arc::clone(lingering), id, one }
    }
}

/// Where none can be told to be, the oldest.
fn slowest<'a>(bodies: impl Iterator<Item = (&'a u64, &'a Arc<One>)>, now: Instant) -> Option<u64> {
    bodies.min_by_key(|(id, one)| (one.rate(now), **id)).map(|(id, _)| *id)
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
        let lingering = Arc::new(Lingering::new(&config(Limits::default())));
        let other = Lingering::enter(&lingering, address(1));
        let places: Vec<_> =
            (0..MAX_OF_ADDRESS).map(|_| Lingering::enter(&lingering, address(2))).collect();
        tokio::time::advance(LOOK).await;
        for (index, place) in places.iter().enumerate() {
            place.read(if index == 7 { 10 } else { 1_000 });
        }
        let newer = Lingering::enter(&lingering, address(2));
        assert_eq!(cut(&places), [7]);
        // The newer ones have had no time to be fast.
        let newest = Lingering::enter(&lingering, address(2));
        assert_eq!(cut(&places), [0, 7]);
        assert_eq!(cut(&[other, newer, newest]), [0_usize; 0]);
        drop(places);
        assert!(lingering.bodies().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_in_all() {
        let lingering = Arc::new(Lingering::new(&config(Limits::default())));
        let enter = |number| Lingering::enter(&lingering, address(number));
        let places: Vec<_> = (0..MAX as u32).map(enter).collect();
        assert_eq!(cut(&places), [0_usize; 0]);
        // None can be told to be slow yet.
        let newer = enter(1 << 20);
        assert_eq!(cut(&places), [0]);
        assert_eq!(lingering.bodies().len(), MAX);
        drop(newer);
        // Where no address is known, there is no limit of one.
        drop(places);
        let places: Vec<_> = (0..MAX).map(|_| Lingering::enter(&lingering, None)).collect();
        assert_eq!(cut(&places), [0_usize; 0]);
    }
}
