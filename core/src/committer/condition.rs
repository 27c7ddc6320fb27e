//! What is known of the database: whether it takes writes, and when it is looked at next. Logs what is new.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use super::waiting::Load;
use crate::{
    delivery::Delivery,
    error::Error,
    notice::Cause,
    store::{self, DatabaseState},
};

/// How often a database that failed is asked whether it takes writes again.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// How often a database is looked at that takes writes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two attempts that another transaction is in the way of.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Condition {
    health: watch::Sender<DatabaseState>,
    /// Another transaction was in the way of the last batch for too long: the next attempt.
    pub(super) pauses_until: Option<Instant>,
    /// Since when that is so, or the database does not take writes.
    away_since: Option<Instant>,
    cause: Cause,
    /// It had no room: until it has some for more than a batch, the next one would fail again.
    pub(super) is_full: bool,
    pub(super) next_look: Instant,
}

impl Condition {
    pub(super) fn new(health: watch::Sender<DatabaseState>) -> Self {
        let next_look = Instant::now() + CHECK_INTERVAL;
        let cause = Cause::default();
        Self { health, pauses_until: None, away_since: None, cause, is_full: false, next_look }
    }

    pub(super) fn health(&self) -> DatabaseState {
        *self.health.borrow()
    }

    /// Whether what is written now has to find out whether the database takes anything.
    pub(super) fn is_away(&self) -> bool {
        self.away_since.is_some()
    }

    pub(super) fn takes_writes(&self) -> bool {
        self.health() == DatabaseState::Serving
    }

    /// To be called after each look.
    pub(super) fn looked(&mut self) {
        let interval = match self.health() {
            DatabaseState::Serving | DatabaseState::Damaged => CHECK_INTERVAL,
            DatabaseState::Unavailable => PROBE_INTERVAL,
        };
        self.next_look = Instant::now() + interval;
    }

    /// Notes that the database takes writes.
    pub(super) fn recovered(&mut self, delivery: &Delivery, load: Load) {
        self.pauses_until = None;
        self.is_full = false;
        self.cause = Cause::default();
        let Some(since) = self.away_since.take() else { return };
        let duration_millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(duration_millis, waiting = load.writes, "the database takes writes again");
        if self.health() == DatabaseState::Unavailable {
            self.health.send_replace(DatabaseState::Serving);
            // A commit whose outcome was unknown may have been stored and not published.
            delivery.resync();
        }
    }

    /// Notes that it does not come to an end with what it is asked.
    pub(super) fn is_stuck(&mut self, load: Load) {
        self.does_not_take_writes(DatabaseState::Unavailable, &"a transaction does not end", load);
    }

    /// Notes what an error says of the database, which has stored nothing. Gives what those are told that asked for it; they
    /// wait where there is nothing to tell.
    pub(super) fn failed(&mut self, error: &store::Error, load: Load) -> Option<Error> {
        self.is_full |= error.is_full();
        match error {
            // A lock that another core holds for too long, not a database that is gone.
            store::Error::Conflict(_) => {
                self.pauses_until = Some(Instant::now() + PAUSE);
                // Where it was gone before, the probe of another core may be in the way of ours each time.
                if self.takes_writes() && self.away_since.is_none() {
                    tracing::warn!(%error, waiting = load.writes, "writes wait for another transaction");
                    self.away_since = Some(Instant::now());
                }
                None
            }
            store::Error::Unavailable(_) => {
                self.does_not_take_writes(DatabaseState::Unavailable, error, load);
                None
            }
            store::Error::Damaged(_) => {
                self.does_not_take_writes(DatabaseState::Damaged, error, load);
                Some(Error::StoreUnavailable)
            }
            store::Error::Rejected(_) => {
                tracing::error!(%error, "the database rejected a statement");
                Some(Error::Internal)
            }
        }
    }

    fn does_not_take_writes(
        &mut self,
        health: DatabaseState,
        error: &dyn std::fmt::Display,
        load: Load,
    ) {
        // What is damaged stays so.
        if self.health() == DatabaseState::Damaged {
            return;
        }
        let is_news = self.cause.is_news(&error.to_string());
        let waiting = load.writes;
        if self.health() != health {
            tracing::error!(%error, ?health, waiting, "the database does not take writes");
            self.away_since.get_or_insert_with(Instant::now);
            self.health.send_replace(health);
            self.next_look = Instant::now() + PROBE_INTERVAL;
        } else if is_news {
            tracing::error!(%error, waiting, "the database still does not take writes");
        }
    }
}
