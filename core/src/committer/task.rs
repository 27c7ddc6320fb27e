//! The task that takes what waits, commits it, answers and publishes.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Health, MAX_AGE, Queued, Write,
    batch::Batch,
    condition::Condition,
    transaction::{self, Committed, Failure},
    waiting::Waiting,
    watchdog::{Progress, Watchdog, Work},
};
use crate::{
    clock,
    error::Error,
    hub::Hub,
    store::{
        self, Writer,
        writer::{Outcome, Trace},
    },
};

/// How often a batch is tried that another transaction was in the way of, and from when on no more.
const ATTEMPTS: usize = 3;
const LAST_ATTEMPT_AFTER: Duration = Duration::from_millis(300);
/// For finding out what became of a commit where its callers have waited for long already.
const MIN_SETTLE_TIME: Duration = Duration::from_millis(450);

#[derive(Debug)]
pub(crate) struct CommitTask {
    writer: Writer,
    hub: Hub,
    watchdog: Watchdog,
}

impl CommitTask {
    pub(super) fn new(
        writer: Writer,
        hub: Hub,
        queue: mpsc::Receiver<Queued>,
        stop: CancellationToken,
        health: watch::Sender<Health>,
    ) -> Self {
        let (waiting, condition) = (Waiting::new(queue, stop), Condition::new(health));
        Self { writer, hub, watchdog: Watchdog { waiting, condition } }
    }

    /// Commits until it is stopped and nothing waits. Gives the writer back to whoever closes the
    /// database.
    pub(crate) async fn run(mut self) -> Writer {
        loop {
            let Watchdog { waiting, condition } = &mut self.watchdog;
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(condition.next_look) => self.look().await,
                batch = waiting.next(condition.max_wait()) => match batch {
                    Some(batch) => self.commit(batch).await,
                    None => return self.writer,
                },
            }
        }
    }

    /// Looks whether the database takes writes again, or whether one that does is still there. The result is the
    /// health that it leaves.
    async fn look(&mut self) {
        self.look_at_database().await;
        self.tell_new_history();
    }

    async fn look_at_database(&mut self) {
        match self.health() {
            Health::Serving => self.check().await,
            Health::Unavailable => self.probe().await,
            Health::Damaged => {}
        }
        self.watchdog.condition.looked();
    }

    async fn probe(&mut self) {
        let probes = if self.watchdog.condition.is_full {
            vec![Write::TakeRoom, Write::GiveRoomBack]
        } else {
            vec![Write::Probe]
        };
        for probe in probes {
            if self.transact(&mut Batch::own(vec![probe])).await.is_err() {
                return;
            }
        }
        self.watchdog.condition.recovered(&self.hub);
    }

    async fn check(&mut self) {
        let (mut batch, progress) = (Batch::own(Vec::new()), Progress::new());
        let mut work = Work::begin(&mut batch.callers, &progress, &self.watchdog.condition);
        match self.watchdog.over(&mut work, self.writer.check()).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.discard(&mut work).await;
                self.watchdog.condition.failed(&error);
            }
            None => self.discard(&mut work).await,
        }
    }

    async fn commit(&mut self, mut batch: Batch) {
        // While the database fails, callers are told at once, and it is asked with a write of our own.
        let written = match self.health() {
            Health::Serving => self.write(&mut batch).await,
            Health::Unavailable | Health::Damaged => Err(Error::StoreUnavailable),
        };
        match written {
            // One of them is at fault: it shall fail alone. Where nobody waits any more, all of them have failed.
            Err(Error::Internal) if batch.writes.len() > 1 && batch.callers.wait() => {
                for mut single in batch.split() {
                    // Where the database fails meanwhile, the others would wait for it one by one.
                    let answer = match self.health() {
                        Health::Serving if !self.watchdog.condition.gave_up => {
                            self.write(&mut single).await
                        }
                        _ => Err(Error::StoreUnavailable),
                    };
                    single.answer(answer);
                }
            }
            written => batch.answer(written),
        }
    }

    /// Writes a batch as one transaction; when it is durable, publishes what users learn of it.
    async fn write(&mut self, batch: &mut Batch) -> Result<Vec<Answer>, Error> {
        if self.health() == Health::Damaged {
            return Err(Error::StoreUnavailable);
        }
        let result = self.transact(batch).await;
        for write in &batch.writes {
            // Also where it is unknown whether the user was deleted: whoever was not comes back.
            if let (Write::DeleteUser(user), Ok(_) | Err(Error::OutcomeUnknown)) = (write, &result)
            {
                self.hub.user_deleted(*user);
            }
        }
        let committed = result?;
        self.watchdog.condition.recovered(&self.hub);
        self.tell_new_history();
        self.hub.publish_committed(&committed.events);
        Ok(committed.answers)
    }

    async fn transact(&mut self, batch: &mut Batch) -> Result<Committed, Error> {
        let Batch { writes, callers, since } = batch;
        let (begun, mut attempts) = (Instant::now(), 0);
        loop {
            attempts += 1;
            let progress = Progress::new();
            let mut work = Work::begin(callers, &progress, &self.watchdog.condition);
            let run = transaction::run(&mut self.writer, writes, &progress);
            match self.watchdog.over(&mut work, run).await {
                Some(Ok(committed)) => return Ok(committed),
                Some(Err(Failure::NotStored(error))) => {
                    work.is_not_stored();
                    self.discard(&mut work).await;
                    let is_last = attempts == ATTEMPTS
                        || begun.elapsed() > LAST_ATTEMPT_AFTER
                        || !work.is_awaited();
                    if is_last || !matches!(error, store::Error::Conflict(_)) {
                        return Err(self.watchdog.condition.failed(&error));
                    }
                }
                Some(Err(Failure::InDoubt { committed, trace, cause })) => {
                    let settle_by = (*since + MAX_AGE).max(Instant::now() + MIN_SETTLE_TIME);
                    work.is_in_doubt(settle_by);
                    return match self.settle(&mut work, &trace, &cause, settle_by).await {
                        Outcome::Stored => Ok(committed),
                        Outcome::NotStored => Err(Error::StoreUnavailable),
                        Outcome::Unknown => Err(Error::OutcomeUnknown),
                    };
                }
                None => {
                    self.discard(&mut work).await;
                    return Err(Error::StoreUnavailable);
                }
            }
        }
    }

    /// What became of a batch whose commit failed.
    async fn settle(
        &mut self,
        work: &mut Work<'_>,
        trace: &Trace,
        cause: &store::Error,
        settle_by: Instant,
    ) -> Outcome {
        self.discard(work).await;
        self.watchdog.condition.failed(cause);
        // What was not synced may be read back from memory, and be gone after a power cut.
        if matches!(cause, store::Error::Damaged(_)) {
            return Outcome::Unknown;
        }
        let settled = self.writer.settle(trace, clock::now_micros(), settle_by);
        match self.watchdog.over(work, settled).await {
            Some(Ok(outcome)) => {
                self.watchdog.condition.recovered(&self.hub);
                outcome
            }
            Some(Err(error)) => {
                self.discard(work).await;
                self.watchdog.condition.failed(&error);
                Outcome::Unknown
            }
            None => Outcome::Unknown,
        }
    }

    /// Subscriptions go on from positions of the history before.
    fn tell_new_history(&mut self) {
        if self.writer.take_new_history() {
            self.hub.resync();
        }
    }

    /// Closes a connection that cannot be trusted any more.
    async fn discard(&mut self, work: &mut Work<'_>) {
        // Not given up: the work has ended, or is overdue already.
        self.watchdog.over(work, self.writer.discard()).await;
    }

    fn health(&self) -> Health {
        self.watchdog.condition.health()
    }
}
