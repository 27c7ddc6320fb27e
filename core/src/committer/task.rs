//! The task that takes what waits, commits it, answers and publishes.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tracing::Instrument as _;

use super::{
    answer::{Stored, WriteResult, Written},
    batch::Batch,
    condition::Condition,
    sends, session,
    transaction::{self, Committed, TransactionError},
    waiting::Waiting,
    watchdog::{Progress, Watchdog, Work},
    write::{UpkeepWrite, Write},
};
use crate::{
    change::Signal,
    clock,
    delivery::Delivery,
    error::Error,
    metrics::{CommitFailure, Commits},
    quotas::QuotaTeller,
    store::{
        self, DatabaseState, Writer,
        user::UserRow,
        writer::{CommitOutcome, Trace},
    },
};

/// How often a batch is tried that another transaction was in the way of, and from when on no more.
const ATTEMPTS: usize = 3;
const LAST_ATTEMPT_AFTER: Duration = Duration::from_millis(300);
/// For finding out what became of a commit where its callers have waited for long already.
const MIN_SETTLE_TIME: Duration = Duration::from_millis(450);

/// Why a batch was not stored.
#[derive(Debug)]
enum BatchError {
    /// It can be, when the database takes writes again.
    NotNow,
    Told(Error),
}

#[derive(Debug)]
pub(crate) struct CommitTask {
    writer: Writer,
    delivery: Delivery,
    pub(super) watchdog: Watchdog,
    metrics: Commits,
    told: Told,
}

/// Who is told of what was committed, besides those who wait for it and who receive it.
#[derive(Debug)]
pub(super) struct Told {
    /// When there are files to remove.
    pub(super) erased: Arc<Notify>,
    /// When all that a user has sent is to be erased.
    pub(super) erasures: Arc<Notify>,
    /// When edges are to learn something.
    pub(super) noticed: watch::Sender<u64>,
    /// When the database may have gone back.
    pub(super) rewound: watch::Sender<u64>,
    /// What was refused by quotas.
    pub(super) quotas: QuotaTeller,
}

impl CommitTask {
    pub(super) fn new(
        writer: Writer,
        delivery: Delivery,
        waiting: Waiting,
        health: watch::Sender<DatabaseState>,
        metrics: Commits,
        told: Told,
    ) -> Self {
        let condition = Condition::new(health);
        Self { writer, delivery, watchdog: Watchdog { waiting, condition }, metrics, told }
    }

    /// Commits until it is stopped and nothing waits. Gives the writer back to whoever closes the
    /// database.
    pub(crate) async fn run(mut self) -> Writer {
        loop {
            let Watchdog { waiting, condition } = &mut self.watchdog;
            let (is_away, pauses_until) = (!condition.takes_writes(), condition.pauses_until);
            let pause = async {
                match pauses_until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let (health, next_look) = (condition.health(), condition.next_look);
            let is_trying = condition.is_away();
            let next = async {
                if is_away || pauses_until.is_some() {
                    waiting.keep(health).await;
                    return None;
                }
                if is_trying { waiting.first().await } else { waiting.next().await }
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(next_look) => self.look().await,
                () = pause, if !is_away => self.watchdog.condition.pauses_until = None,
                batch = next => match batch {
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
            DatabaseState::Serving => self.check().await,
            DatabaseState::Unavailable => self.probe().await,
            DatabaseState::Damaged => {}
        }
        self.watchdog.condition.looked();
    }

    async fn probe(&mut self) {
        let probes = if self.watchdog.condition.is_full {
            vec![UpkeepWrite::TakeRoom, UpkeepWrite::GiveRoomBack]
        } else {
            vec![UpkeepWrite::Probe]
        };
        for probe in probes {
            if self.transact(&mut Batch::own(vec![Write::Upkeep(probe)])).await.is_err() {
                return;
            }
        }
        self.watchdog.recovered(&self.delivery);
    }

    async fn check(&mut self) {
        let (mut batch, progress) = (Batch::own(Vec::new()), Progress::new());
        let mut work = Work::begin(&mut batch.callers, &progress, &self.watchdog.condition);
        match self.watchdog.over(&mut work, self.writer.check()).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.discard(&mut work).await;
                self.watchdog.failed(&error);
            }
            None => self.discard(&mut work).await,
        }
    }

    async fn commit(&mut self, mut batch: Batch) {
        match self.write(&mut batch).await {
            Ok(answers) => batch.answer(Ok(answers)),
            Err(BatchError::NotNow) => self.watchdog.waiting.put_back(batch.into_queued()),
            // One of them is at fault: it shall fail alone. Where nobody waits any more, all of them have failed.
            Err(BatchError::Told(Error::Internal))
                if batch.writes.len() > 1 && batch.callers.wait() =>
            {
                self.commit_singly(batch).await;
            }
            Err(BatchError::Told(error)) => batch.answer(Err(error)),
        }
    }

    async fn commit_singly(&mut self, batch: Batch) {
        let mut rest = batch.into_queued();
        while let Some(queued) = rest.next() {
            let mut single = Batch::of(queued);
            match self.write(&mut single).await {
                Ok(answers) => single.answer(Ok(answers)),
                Err(BatchError::Told(error)) => single.answer(Err(error)),
                Err(BatchError::NotNow) => {
                    return self.watchdog.waiting.put_back(single.into_queued().chain(rest));
                }
            }
        }
    }

    /// Writes a batch as one transaction; when it is durable, publishes what users learn of it.
    async fn write(&mut self, batch: &mut Batch) -> Result<Vec<WriteResult>, BatchError> {
        let begun = Instant::now();
        let (span, mut traced) = (batch.span(), batch.traced());
        let result = self.transact(batch).instrument(span).await;
        if let (Err(_), Some(span)) = (&result, &mut traced) {
            span.failed("not stored");
        }
        drop(traced);
        self.measure(&result, begun);
        // Also where nobody knows what became of it: whoever looks finds out.
        if session::has_notice(&batch.writes) {
            self.told.noticed.send_modify(|count| *count = count.wrapping_add(1));
        }
        let committed = result?;
        self.watchdog.recovered(&self.delivery);
        self.tell_new_history();
        self.tell(&committed.signals);
        self.delivery.publish(&committed.changes);
        if committed.answers.iter().flatten().any(Written::erases_files) {
            self.told.erased.notify_one();
        }
        if begins_erasure(&batch.writes, &committed.answers) {
            self.told.erasures.notify_one();
        }
        self.tell_quotas(batch, &committed.answers);
        let users = |answer: &WriteResult| match answer {
            Ok(Written::Users(users)) => users.iter().map(UserRow::id).collect(),
            Ok(_) | Err(_) => Vec::new(),
        };
        self.delivery.profiles_changed(committed.answers.iter().flat_map(users));
        Ok(committed.answers)
    }

    fn tell_quotas(&self, batch: &Batch, answers: &[WriteResult]) {
        for (index, (write, answer)) in batch.writes.iter().zip(answers).enumerate() {
            if let (Err(error), Some(sender)) = (answer, write.sender()) {
                self.told.quotas.tell(sender, error, batch.callers.request(index));
            }
        }
    }

    fn measure(&self, result: &Result<Committed, BatchError>, begun: Instant) {
        match result {
            Ok(Committed { answers, swallowed, .. }) => {
                let is_message =
                    |answer: &&WriteResult| matches!(answer, Ok(Written::Message(Stored::Now(..))));
                let messages = answers.iter().filter(is_message).count();
                let writes = answers.iter().filter(|answer| answer.is_ok()).count();
                self.metrics.stored(writes, messages, begun.elapsed());
                self.metrics.swallowed(*swallowed);
            }
            Err(BatchError::NotNow) => self.metrics.failed(CommitFailure::PutBack),
            Err(BatchError::Told(Error::OutcomeUnknown)) => {
                self.metrics.failed(CommitFailure::Unknown);
            }
            Err(BatchError::Told(_)) => self.metrics.failed(CommitFailure::Refused),
        }
    }

    async fn transact(&mut self, batch: &mut Batch) -> Result<Committed, BatchError> {
        if self.health() == DatabaseState::Damaged {
            return Err(BatchError::Told(Error::StoreUnavailable));
        }
        let Batch { writes, callers } = batch;
        if self.writer.stores_at_once() {
            sends::name(writes);
        }
        let requests = callers.requests();
        let (begun, mut attempts) = (Instant::now(), 0);
        loop {
            attempts += 1;
            let progress = Progress::new();
            let mut work = Work::begin(callers, &progress, &self.watchdog.condition);
            let run = transaction::run(&mut self.writer, writes, &requests, &progress);
            match self.watchdog.over(&mut work, run).await {
                Some(Ok(committed)) => return Ok(committed),
                Some(Err(TransactionError::NotStored(error))) => {
                    work.is_not_stored();
                    self.discard(&mut work).await;
                    // It says nothing of what others write.
                    if error.is_of_the_moment() && writes.iter().all(Write::is_alone) {
                        tracing::debug!(%error, "a step of upkeep is given up");
                        return Err(BatchError::Told(Error::StoreUnavailable));
                    }
                    let is_last = attempts == ATTEMPTS
                        || begun.elapsed() > LAST_ATTEMPT_AFTER
                        || !work.is_awaited();
                    if is_last || !matches!(error, store::Error::Conflict(_)) {
                        return Err(match self.watchdog.failed(&error) {
                            Some(error) => BatchError::Told(error),
                            None => BatchError::NotNow,
                        });
                    }
                }
                Some(Err(TransactionError::InDoubt { committed, trace, cause })) => {
                    return match self.settle(&mut work, &trace, &cause).await {
                        CommitOutcome::Stored => Ok(committed),
                        CommitOutcome::Found(messages) => {
                            // Subscriptions read what they were not told, those on other cores too.
                            self.delivery.resync();
                            self.delivery.look(sends::participants(writes));
                            Ok(Committed::found(messages))
                        }
                        CommitOutcome::NotStored => Err(BatchError::NotNow),
                        CommitOutcome::Unknown => {
                            // Whoever was not deleted comes back.
                            self.tell(&committed.signals);
                            Err(BatchError::Told(Error::OutcomeUnknown))
                        }
                    };
                }
                None => {
                    self.discard(&mut work).await;
                    return Err(BatchError::NotNow);
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
    ) -> CommitOutcome {
        let settle_by = Instant::now() + MIN_SETTLE_TIME;
        let settle_by = trace.may_begin_until().map_or(settle_by, |until| until.max(settle_by));
        let settle_by = work.is_in_doubt(settle_by);
        self.discard(work).await;
        self.watchdog.failed(cause);
        // What was not synced may be read back from memory, and be gone after a power cut.
        if matches!(cause, store::Error::Damaged(_)) {
            return CommitOutcome::Unknown;
        }
        let settled = self.writer.settle(trace, clock::now_micros(), settle_by);
        match self.watchdog.over(work, settled).await {
            Some(Ok(outcome)) => {
                self.watchdog.recovered(&self.delivery);
                outcome
            }
            Some(Err(error)) => {
                self.discard(work).await;
                self.watchdog.failed(&error);
                CommitOutcome::Unknown
            }
            None => CommitOutcome::Unknown,
        }
    }

    fn tell(&self, signals: &[Signal]) {
        signals.iter().for_each(|signal| self.delivery.signal(*signal));
    }

    /// Subscriptions go on from positions of the history before.
    fn tell_new_history(&mut self) {
        if self.writer.take_new_history() {
            self.delivery.resync();
            self.told.rewound.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Closes a connection that cannot be trusted any more.
    async fn discard(&mut self, work: &mut Work<'_>) {
        // Not given up: the work has ended, or is overdue already.
        self.watchdog.over(work, self.writer.discard()).await;
    }

    fn health(&self) -> DatabaseState {
        self.watchdog.condition.health()
    }
}

fn begins_erasure(writes: &[Write], answers: &[WriteResult]) -> bool {
    writes.iter().zip(answers).any(|(write, answer)| answer.is_ok() && write.begins_erasure())
}
