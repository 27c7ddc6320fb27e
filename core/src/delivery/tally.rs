//! Whether the bus brings what it should: what other cores stored is counted by how it came, as a hint or by the comparison
//! with the store.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{metrics::BusMetrics, notice::Notices};

/// For so long after a change of the connection things may come either way.
const UNSETTLED: Duration = Duration::from_secs(5);
/// Counted at a time.
const WINDOW: Duration = Duration::from_secs(60);
/// Users who missed something; fewer may be chance.
const LEAST: u64 = 5;

#[derive(Debug)]
pub(super) struct Tally {
    /// Counted with each hint, so without a lock.
    by_bus: AtomicU64,
    state: Mutex<State>,
    told: Notices<()>,
    metrics: BusMetrics,
}

#[derive(Debug)]
struct State {
    from: Instant,
    missed: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new(BusMetrics::default())
    }
}

impl Tally {
    pub(super) fn new(metrics: BusMetrics) -> Self {
        let state = Mutex::new(State { from: Instant::now(), missed: 0 });
        Self { by_bus: AtomicU64::new(0), state, told: Notices::default(), metrics }
    }

    /// A few instructions that do not panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changed(&self) {
        *self.state() = State { from: Instant::now() + UNSETTLED, missed: 0 };
        self.by_bus.store(0, Ordering::Relaxed);
    }

    pub(super) fn came(&self) {
        self.by_bus.fetch_add(1, Ordering::Relaxed);
    }

    /// To be called now and then with the users who were not told by the bus of what the store had for them.
    pub(super) fn missed(&self, users: u64) {
        let (missed, by_bus) = {
            let now = Instant::now();
            let mut state = self.state();
            if now < state.from {
                return;
            }
            state.missed += users;
            self.metrics.missed(users);
            let counts = (state.missed, self.by_bus.load(Ordering::Relaxed));
            if now >= state.from + WINDOW {
                *state = State { from: now, missed: 0 };
                self.by_bus.store(0, Ordering::Relaxed);
            }
            counts
        };
        if missed >= LEAST
            && missed > by_bus
            && let Some(untold) = self.told.happened(())
        {
            tracing::warn!(
                untold,
                missed,
                by_bus,
                "the bus is connected and does not carry what other cores store, which comes from the database, \
                 up to 2 s late: do all cores use one account of one cluster of NATS?"
            );
        }
    }
}
