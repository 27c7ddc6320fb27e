//! Looks around while the writer is at work: a disk, a lock or a server may keep it for as long as they like, and callers
//! are not to wait for that.

use std::{
    pin::pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{batch::Callers, condition::Condition, waiting::Waiting};
use crate::error::Error;

/// How long a transaction may take to begin, and to commit. Those of PostgreSQL are ended before that (`store::writer`), so
/// that it goes by only while it is found out what became of one. SQLite has no server that could hang: there it is a lock
/// or the disk that does.
const OVERDUE_AFTER: Duration = Duration::from_millis(1_500);
/// Each step of what it reads and writes in between, which may be much.
const WORK_OVERDUE_AFTER: Duration = Duration::from_secs(5);

/// How far a transaction is.
#[derive(Debug)]
pub(super) struct Progress(Mutex<(Phase, Instant)>);

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
        Self(Mutex::new((Phase::Beginning, Instant::now())))
    }

    fn state(&self) -> (Phase, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (phase, Instant::now());
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
    /// Whether nothing may wait behind it.
    keeps_nobody: bool,
}

enum Stage {
    Running,
    /// Its commit has failed; its callers wait until then to hear what became of it.
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
        Self {
            callers,
            progress,
            stage: Stage::Running,
            is_overdue: false,
            keeps_nobody: !condition.takes_writes(),
        }
    }

    /// Its callers may wait until then.
    pub(super) fn is_in_doubt(&mut self, settle_by: Instant) {
        self.stage = Stage::InDoubt(settle_by);
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
        self.keeps_nobody = true;
        match self.stage {
            Stage::Running if self.progress.state().0 == Phase::Committing => {
                self.callers.tell_all(&Error::OutcomeUnknown);
            }
            Stage::Running => {
                self.callers.tell_all(&Error::StoreUnavailable);
                return false;
            }
            Stage::InDoubt(_) => {}
            Stage::Ending => self.callers.tell_all(&Error::StoreUnavailable),
        }
        true
    }

    async fn settle_time_is_over(&self) {
        match self.stage {
            Stage::InDoubt(settle_by) if self.is_awaited() => sleep_until(settle_by).await,
            _ => std::future::pending().await,
        }
    }
}

impl Watchdog {
    /// Awaits a step of the work. When the work is overdue, the database does not take writes, whoever waits for the work
    /// is told, and what waits behind it is refused for as long as it lasts. `None` where its commit had not begun by
    /// then: the step was given up. Nothing of it must ever be stored: the connection is to be closed.
    pub(super) async fn over<T>(
        &mut self,
        work: &mut Work<'_>,
        step: impl Future<Output = T>,
    ) -> Option<T> {
        let mut step = pin!(step);
        loop {
            tokio::select! {
                biased;
                done = &mut step => return Some(done),
                () = sleep_until(work.progress.overdue_at()), if !work.is_overdue => {
                    // It may have come further meanwhile.
                    if Instant::now() < work.progress.overdue_at() {
                        continue;
                    }
                    self.condition.is_stuck();
                    if !work.overdue() {
                        return None;
                    }
                }
                () = work.settle_time_is_over() => work.callers.tell_all(&Error::OutcomeUnknown),
                () = self.waiting.refuse(), if work.keeps_nobody => {}
            }
        }
    }
}
