//! The task that takes what waits, commits it, answers and publishes.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Health, Queued, Write,
    transaction::{self, Failure},
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

const BATCH_WRITES: usize = 1_024;
/// Text written in one transaction, so that a batch of the longest bodies delays nobody for long.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How often a database that failed is asked whether it takes writes again.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// How often a database is looked at that nobody writes to.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a batch is tried that another transaction was in the way of, and from when on no more.
const ATTEMPTS: usize = 3;
const LAST_ATTEMPT_AFTER: Duration = Duration::from_millis(300);
/// How long a write may have waited for a batch that was given up. With an attempt of its own, which may take as long as
/// a lock is waited for, its caller is answered within two seconds.
const MAX_WAIT_BEHIND_LOCK: Duration = Duration::from_millis(500);
/// How long any write may have waited: an edge gives a send up after 5 s, and what this core, stopped or starved
/// meanwhile, stored after that could overtake what the same user sent later by way of another.
const MAX_WAIT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct CommitTask {
    writer: Writer,
    hub: Hub,
    queue: mpsc::Receiver<Queued>,
    stop: CancellationToken,
    health: watch::Sender<Health>,
    /// Another transaction was in the way of the last batch for too long.
    gave_up: bool,
    /// When the database is looked at next.
    next_look: Instant,
}

impl CommitTask {
    pub(super) fn new(
        writer: Writer,
        hub: Hub,
        queue: mpsc::Receiver<Queued>,
        stop: CancellationToken,
        health: watch::Sender<Health>,
    ) -> Self {
        let next_look = Instant::now() + CHECK_INTERVAL;
        Self { writer, hub, queue, stop, health, gave_up: false, next_look }
    }

    /// Commits until it is stopped and nothing waits. Gives the writer back to whoever closes the
    /// database.
    pub(crate) async fn run(mut self) -> Writer {
        let mut taken = Vec::with_capacity(BATCH_WRITES);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                count = self.queue.recv_many(&mut taken, BATCH_WRITES) => {
                    if count == 0 {
                        return self.writer;
                    }
                    while !taken.is_empty() {
                        let rest = taken.split_off(batch_len(&taken));
                        self.commit(std::mem::replace(&mut taken, rest)).await;
                    }
                }
                () = tokio::time::sleep_until(self.next_look) => self.look().await,
            }
        }
    }

    /// Looks whether the database takes writes again, or whether an idle one is still there. The result is the
    /// health that it leaves.
    async fn look(&mut self) {
        self.look_at_database().await;
        self.tell_new_history();
    }

    async fn look_at_database(&mut self) {
        match self.health() {
            Health::Serving => {
                if let Err(error) = self.writer.check().await {
                    self.writer.discard().await;
                    self.failed(&error);
                }
                self.next_look = Instant::now() + CHECK_INTERVAL;
            }
            Health::Unavailable => {
                let _ = self.write(&[Write::Probe]).await;
                self.next_look = Instant::now() + PROBE_INTERVAL;
            }
            Health::Damaged => self.next_look = Instant::now() + CHECK_INTERVAL,
        }
    }

    async fn commit(&mut self, mut batch: Vec<Queued>) {
        refuse_late(&mut batch, if self.gave_up { MAX_WAIT_BEHIND_LOCK } else { MAX_WAIT });
        if batch.is_empty() {
            return;
        }
        let (writes, callers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|Queued { write, answer, room, .. }| (write, (answer, room)))
            .unzip();
        // While the database fails, callers are told at once, and it is asked with a write of our own.
        let written = match self.health() {
            Health::Serving => self.write(&writes).await,
            Health::Unavailable | Health::Damaged => Err(Error::StoreUnavailable),
        };
        let answers = match written {
            Ok(answers) => answers,
            // One of them is at fault: it shall fail alone.
            Err(Error::Internal) if writes.len() > 1 => {
                let mut answers = Vec::with_capacity(writes.len());
                for write in &writes {
                    // Where the database fails meanwhile, the others would wait for it one by one.
                    let answer = match self.health() {
                        Health::Serving if !self.gave_up => {
                            self.write(std::slice::from_ref(write)).await
                        }
                        _ => Err(Error::StoreUnavailable),
                    };
                    answers.extend(answer.unwrap_or_else(|error| vec![Err(error)]));
                }
                answers
            }
            Err(error) => writes.iter().map(|_| Err(error.clone())).collect(),
        };
        for ((caller, _room), answer) in callers.into_iter().zip(answers) {
            // A caller that went away does not want it.
            let _ = caller.send(answer);
        }
    }

    /// Writes a batch as one transaction; when it is durable, publishes what users learn of it.
    async fn write(&mut self, writes: &[Write]) -> Result<Vec<Answer>, Error> {
        if self.health() == Health::Damaged {
            return Err(Error::StoreUnavailable);
        }
        let result = self.transact(writes).await;
        for write in writes {
            // Also where it is unknown whether the user was deleted: whoever was not comes back.
            if let (Write::DeleteUser(user), Ok(_) | Err(Error::OutcomeUnknown)) = (write, &result)
            {
                self.hub.user_deleted(*user);
            }
        }
        result
    }

    async fn transact(&mut self, writes: &[Write]) -> Result<Vec<Answer>, Error> {
        let (begun, mut attempts) = (Instant::now(), 0);
        let committed = loop {
            attempts += 1;
            match transaction::run(&mut self.writer, writes).await {
                Ok(committed) => break committed,
                Err(Failure::NotStored(error)) => {
                    self.writer.discard().await;
                    let is_last = attempts == ATTEMPTS || begun.elapsed() > LAST_ATTEMPT_AFTER;
                    if is_last || !matches!(error, store::Error::Conflict(_)) {
                        return Err(self.failed(&error));
                    }
                }
                Err(Failure::InDoubt { committed, trace, cause }) => {
                    match self.settle(&trace, &cause).await {
                        Outcome::Stored => break committed,
                        Outcome::NotStored => return Err(Error::StoreUnavailable),
                        Outcome::Unknown => return Err(Error::OutcomeUnknown),
                    }
                }
            }
        };
        self.gave_up = false;
        self.recovered();
        self.tell_new_history();
        self.hub.publish_committed(&committed.events);
        Ok(committed.answers)
    }

    /// What became of a batch whose commit failed.
    async fn settle(&mut self, trace: &Trace, cause: &store::Error) -> Outcome {
        self.writer.discard().await;
        self.failed(cause);
        // What was not synced may be read back from memory, and be gone after a power cut.
        if matches!(cause, store::Error::Damaged(_)) {
            return Outcome::Unknown;
        }
        match self.writer.settle(trace, clock::now_micros()).await {
            Ok(outcome) => {
                self.recovered();
                outcome
            }
            Err(error) => {
                self.writer.discard().await;
                self.failed(&error);
                Outcome::Unknown
            }
        }
    }

    /// Subscriptions go on from positions of the history before.
    fn tell_new_history(&mut self) {
        if self.writer.take_new_history() {
            self.hub.resync();
        }
    }

    fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// Notes that the database takes writes.
    fn recovered(&self) {
        if self.health() == Health::Unavailable {
            tracing::info!("the database takes writes again");
            self.health.send_replace(Health::Serving);
            // A commit whose outcome was unknown may have been stored and not published.
            self.hub.resync();
        }
    }

    /// Notes what an error says of the database; logs what is new.
    fn failed(&mut self, error: &store::Error) -> Error {
        self.gave_up = matches!(error, store::Error::Conflict(_));
        let (health, answer) = match error {
            // A lock that another core holds for too long, not a database that is gone.
            store::Error::Conflict(_) => {
                tracing::warn!(%error, "a batch was given up");
                return Error::StoreUnavailable;
            }
            store::Error::Unavailable(_) => (Health::Unavailable, Error::StoreUnavailable),
            store::Error::Damaged(_) => (Health::Damaged, Error::StoreUnavailable),
            store::Error::Rejected(_) => {
                tracing::error!(%error, "the database rejected a statement");
                return Error::Internal;
            }
        };
        if self.health() != health {
            tracing::error!(%error, ?health, "the database does not take writes");
            self.health.send_replace(health);
            self.next_look = Instant::now() + PROBE_INTERVAL;
        }
        answer
    }
}

/// Refuses what has waited for too long, so that the waits for several batches do not add up.
fn refuse_late(batch: &mut Vec<Queued>, max_wait: Duration) {
    let now = Instant::now();
    let is_late = |queued: &Queued| now - queued.since > max_wait;
    // The first has waited longest.
    if !batch.first().is_some_and(is_late) {
        return;
    }
    for late in batch.extract_if(.., |queued| is_late(queued)) {
        // A caller that went away does not want it.
        let _ = late.answer.send(Err(Error::StoreUnavailable));
    }
}

/// How many of the writes go into the next transaction.
fn batch_len(waiting: &[Queued]) -> usize {
    let mut bytes = 0;
    let fits = |queued: &&Queued| {
        bytes += queued.write.size();
        bytes <= BATCH_BYTES
    };
    waiting.iter().take_while(fits).count().max(1)
}
