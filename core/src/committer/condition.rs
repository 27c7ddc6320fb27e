//! What is known of the database: whether it takes writes, and when it is looked at next. Logs what is new.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use super::{Health, MAX_AGE};
use crate::{error::Error, hub::Hub, store};

/// How often a database that failed is asked whether it takes writes again.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// How often a database is looked at that takes writes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a write may have waited for a batch that was given up. With an attempt of its own, which may take as long as
/// a lock is waited for, its caller is answered within two seconds.
const MAX_WAIT_BEHIND_LOCK: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Condition {
    health: watch::Sender<Health>,
    /// Another transaction was in the way of the last batch for too long.
    pub(super) gave_up: bool,
    /// It had no room: until it has some for more than a batch, the next one would fail again.
    pub(super) is_full: bool,
    pub(super) next_look: Instant,
}

impl Condition {
    pub(super) fn new(health: watch::Sender<Health>) -> Self {
        let next_look = Instant::now() + CHECK_INTERVAL;
        Self { health, gave_up: false, is_full: false, next_look }
    }

    pub(super) fn health(&self) -> Health {
        *self.health.borrow()
    }

    pub(super) fn takes_writes(&self) -> bool {
        self.health() == Health::Serving
    }

    pub(super) fn max_wait(&self) -> Duration {
        if self.gave_up { MAX_WAIT_BEHIND_LOCK } else { MAX_AGE }
    }

    /// To be called after each look.
    pub(super) fn looked(&mut self) {
        let interval = match self.health() {
            Health::Serving | Health::Damaged => CHECK_INTERVAL,
            Health::Unavailable => PROBE_INTERVAL,
        };
        self.next_look = Instant::now() + interval;
    }

    /// Notes that the database takes writes.
    pub(super) fn recovered(&mut self, hub: &Hub) {
        self.gave_up = false;
        self.is_full = false;
        if self.health() == Health::Unavailable {
            tracing::info!("the database takes writes again");
            self.health.send_replace(Health::Serving);
            // A commit whose outcome was unknown may have been stored and not published.
            hub.resync();
        }
    }

    /// Notes that it does not come to an end with what it is asked.
    pub(super) fn is_stuck(&mut self) {
        self.does_not_take_writes(Health::Unavailable, &"a transaction does not end");
    }

    /// Notes what an error says of the database.
    pub(super) fn failed(&mut self, error: &store::Error) -> Error {
        self.gave_up = matches!(error, store::Error::Conflict(_));
        self.is_full |= error.is_full();
        match error {
            // A lock that another core holds for too long, not a database that is gone.
            store::Error::Conflict(_) => {
                // Where it was gone before, the probe of another core may be in the way of ours each time.
                if self.takes_writes() {
                    tracing::warn!(%error, "a batch was given up");
                }
                Error::StoreUnavailable
            }
            store::Error::Unavailable(_) => {
                self.does_not_take_writes(Health::Unavailable, error);
                Error::StoreUnavailable
            }
            store::Error::Damaged(_) => {
                self.does_not_take_writes(Health::Damaged, error);
                Error::StoreUnavailable
            }
            store::Error::Rejected(_) => {
                tracing::error!(%error, "the database rejected a statement");
                Error::Internal
            }
        }
    }

    fn does_not_take_writes(&mut self, health: Health, error: &dyn std::fmt::Display) {
        // What is damaged stays so.
        if self.health() != health && self.health() != Health::Damaged {
            tracing::error!(%error, ?health, "the database does not take writes");
            self.health.send_replace(health);
            self.next_look = Instant::now() + PROBE_INTERVAL;
        }
    }
}
