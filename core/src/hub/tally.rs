//! Whether the bus brings what it should: what other cores stored is counted by how it came, as a hint or by the comparison
//! with the store.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use super::queue::lock;
use crate::notice::Notices;

/// For so long after a change of the connection things may come either way.
const UNSETTLED: Duration = Duration::from_secs(5);
/// Counted at a time.
const WINDOW: Duration = Duration::from_secs(60);
/// Users who missed something; fewer may be chance.
const LEAST: u64 = 5;

#[derive(Debug)]
pub(super) struct Tally {
    state: Mutex<State>,
    told: Notices<()>,
}

#[derive(Debug)]
struct State {
    from: Instant,
    by_bus: u64,
    missed: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let state = State { from: Instant::now(), by_bus: 0, missed: 0 };
        Self { state: Mutex::new(state), told: Notices::default() }
    }
}

impl Tally {
    pub(super) fn changed(&self) {
        *lock(&self.state) = State { from: Instant::now() + UNSETTLED, by_bus: 0, missed: 0 };
    }

    pub(super) fn came(&self) {
        lock(&self.state).by_bus += 1;
    }

    /// To be called now and then with the users who were not told by the bus of what the store had for them.
    pub(super) fn missed(&self, users: u64) {
        let (missed, by_bus) = {
            let now = Instant::now();
            let mut state = lock(&self.state);
            if now < state.from {
                return;
            }
            state.missed += users;
            let counts = (state.missed, state.by_bus);
            if now >= state.from + WINDOW {
                *state = State { from: now, by_bus: 0, missed: 0 };
            }
            counts
        };
        if missed >= LEAST && missed > by_bus && self.told.happened(()).is_some() {
            tracing::warn!(
                missed,
                by_bus,
                "the bus is connected and does not carry what other cores store, which comes from the database, \
                 up to 2 s late: do all cores use one account of one cluster of NATS?"
            );
        }
    }
}
