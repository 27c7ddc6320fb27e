//! Looks around while the writer is at work: a disk, a lock or a server may keep it for as long as they like, and callers
//! are not to wait for that.

use std::{
    pin::pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{batch::Callers, condition::Condition, waiting::Waiting};
use crate::{
    delivery::Delivery,
    error::Error,
    store::{self, DatabaseState},
};

/// How long a transaction may take to begin, and to commit, before the database counts as away. Those of PostgreSQL are ended
/// before that (`store::writer`), so that it goes by only while it is found out what became of one. SQLite has no server
/// that could hang: there it is a lock or the disk that does.
const OVERDUE_AFTER: Duration = Duration::from_millis(1_500);
/// Each step of what it reads and writes in between, which may be much.
const WORK_OVERDUE_AFTER: Duration = Duration::from_secs(5);

/// How far a transaction is.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    state: Mutex<(Phase, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Beginning,
    /// It reads and writes.
    Working,
    /// Something was asked of the database that may end with the commit.
    Committing,
}

impl Progress {
    pub(super) fn new() -> Self {
        let begun = Instant::now();
        Self { begun, state: Mutex::new((Phase::Beginning, begun)) }
    }

    fn state(&self) -> (Phase, Instant) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.set(phase, Instant::now());
    }

    /// Nothing was stored, and it begins in another way, with no more time than it had.
    pub(super) fn begin_otherwise(&self) {
        self.set(Phase::Beginning, self.begun);
    }

    fn set(&self, phase: Phase, since: Instant) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (phase, since);
    }

    fn overdue_at(&self) -> Instant {
        let (phase, since) = self.state();
        since + if phase == Phase::Working { WORK_OVERDUE_AFTER } else { OVERDUE_AFTER }
    }
}

#[derive(Debug)]
pub(super) struct Watchdog {
    pub(super) waiting: Waiting,
    pub(super) condition: Condition,
}

/// A transaction, from its beginning until it is known what became of it.
pub(super) struct Work<'a> {
    callers: &'a mut Callers,
    progress: &'a Progress,
    stage: Stage,
    is_overdue: bool,
    /// Whether nothing is done for what waits behind it.
    is_away: bool,
}

enum Stage {
    Running,
    /// Its commit has failed; its callers wait until then at least to hear what became of it.
    InDoubt(Instant),
    /// Nothing of it was stored.
    Ending,
}

impl<'a> Work<'a> {
    pub(super) fn begin(
        callers: &'a mut Callers,
        progress: &'a Progress,
        condition: &Condition,
    ) -> Self {
        let is_away = condition.is_away();
        Self { callers, progress, stage: Stage::Running, is_overdue: false, is_away }
    }

    /// Until when its callers may wait to hear what became of it.
    pub(super) fn is_in_doubt(&mut self, settle_by: Instant) -> Instant {
        self.stage = Stage::InDoubt(settle_by);
        self.is_away = true;
        self.callers.doubt_ends().map_or(settle_by, |(_, last)| last.max(settle_by))
    }

    pub(super) fn is_not_stored(&mut self) {
        self.stage = Stage::Ending;
    }

    /// Whether its callers still wait for what comes out.
    pub(super) fn is_awaited(&self) -> bool {
        self.callers.wait()
    }

    /// It takes too long. `false` where it must not go on.
    fn overdue(&mut self) -> bool {
        self.is_overdue = true;
        self.is_away = true;
        !matches!(self.stage, Stage::Running if self.progress.state().0 != Phase::Committing)
    }

    /// Before that callers are told nothing, also where the process ends: what is sent after that they were told comes later.
    fn not_before(&self) -> Option<Instant> {
        match self.stage {
            Stage::InDoubt(settle_by) => Some(settle_by),
            Stage::Running | Stage::Ending => None,
        }
    }

    /// What callers are told that have waited for long enough, and when the next one has.
    fn patience(&self) -> Option<(Error, Instant)> {
        let (error, not_before) = match self.stage {
            Stage::Running if self.is_overdue => (Error::OutcomeUnknown, None),
            // Mostly; who waits need not be looked through then.
            Stage::Running => return None,
            Stage::InDoubt(settle_by) => (Error::OutcomeUnknown, Some(settle_by)),
            Stage::Ending => (Error::StoreUnavailable, None),
        };
        let (first, _) = self.callers.doubt_ends()?;
        Some((error, not_before.map_or(first, |settle_by| first.max(settle_by))))
    }
}

impl Watchdog {
    pub(super) fn recovered(&mut self, delivery: &Delivery) {
        self.condition.recovered(delivery, self.waiting.load());
    }

    pub(super) fn failed(&mut self, error: &store::Error) -> Option<Error> {
        self.condition.failed(error, self.waiting.load())
    }

    /// Awaits a step of the work. When the work is overdue, the database does not take writes, and what waits behind the work
    /// waits for the database. `None` where its commit had not begun by then: the step was given up. Nothing of it must ever
    /// be stored: the connection is to be closed.
    pub(super) async fn over<T>(
        &mut self,
        work: &mut Work<'_>,
        step: impl Future<Output = T>,
    ) -> Option<T> {
        let mut step = pin!(step);
        loop {
            let Self { waiting, condition } = self;
            let hurries_at = waiting.hurried_at();
            let hurried_at = hurries_at.map(|at| work.not_before().map_or(at, |by| by.max(at)));
            let patience = work.patience();
            let is_over = async {
                match (&patience, hurried_at) {
                    (Some((_, until)), Some(at)) => sleep_until(at.min(*until)).await,
                    (Some((_, until)), None) => sleep_until(*until).await,
                    (None, _) => std::future::pending().await,
                }
            };
            let hurries = waiting.hurries();
            tokio::select! {
                biased;
                done = &mut step => return Some(done),
                () = sleep_until(work.progress.overdue_at()), if !work.is_overdue => {
                    // It may have come further meanwhile.
                    if Instant::now() < work.progress.overdue_at() {
                        continue;
                    }
                    condition.is_stuck(waiting.load());
                    if !work.overdue() {
                        return None;
                    }
                }
                () = is_over => match patience {
                    Some((error, _)) if hurried_at.is_some_and(|at| at <= Instant::now()) => {
                        work.callers.tell_all(&error);
                    }
                    // One whose doubt was to be over before that has waited as well.
                    Some((error, until)) => work.callers.tell_late(until, &error),
                    None => {}
                },
                // The limit of all waits is looked at anew.
                () = hurries.cancelled(), if hurried_at.is_none() => {}
                () = keep(waiting, condition.health()), if work.is_away => {}
            }
        }
    }
}

/// Does not end, unlike what it awaits.
async fn keep(waiting: &mut Waiting, health: DatabaseState) {
    waiting.keep(health).await;
    std::future::pending().await
}
