//! The task that takes what waits, commits it, answers and publishes.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Health, Queued, Write,
    transaction::{self, Failure},
};
use crate::{
    clock,
    error::Error,
    hub::Hub,
    store::{self, Writer},
};

const BATCH_WRITES: usize = 1_024;
/// Text written in one transaction, so that a batch of the longest bodies delays nobody for long.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How often a database that failed is asked whether it takes writes again.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct CommitTask {
    writer: Writer,
    hub: Hub,
    queue: mpsc::Receiver<Queued>,
    stop: CancellationToken,
    health: watch::Sender<Health>,
}

impl CommitTask {
    pub(super) fn new(
        writer: Writer,
        hub: Hub,
        queue: mpsc::Receiver<Queued>,
        stop: CancellationToken,
        health: watch::Sender<Health>,
    ) -> Self {
        Self { writer, hub, queue, stop, health }
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
                () = tokio::time::sleep(PROBE_INTERVAL), if self.health() == Health::Unavailable => {
                    // Its result is the health that it leaves.
                    let _ = self.write(&[Write::Probe]).await;
                }
            }
        }
    }

    async fn commit(&mut self, batch: Vec<Queued>) {
        let (writes, callers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|Queued { write, answer, room }| (write, (answer, room))).unzip();
        let answers = match self.write(&writes).await {
            Ok(answers) => answers,
            // One of them is at fault: it shall fail alone.
            Err(Error::Internal) if writes.len() > 1 => {
                let mut answers = Vec::with_capacity(writes.len());
                for write in &writes {
                    let answer = self.write(std::slice::from_ref(write)).await;
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
                self.hub.close_user(*user, &Error::UserDeleted);
            }
        }
        result
    }

    async fn transact(&mut self, writes: &[Write]) -> Result<Vec<Answer>, Error> {
        let committed = match transaction::run(&mut self.writer, writes).await {
            Ok(committed) => committed,
            Err(Failure::NotStored(error)) => {
                self.writer.discard().await;
                return Err(self.failed(&error));
            }
            Err(Failure::InDoubt { committed, message_id, cause }) => {
                if !self.settle(message_id, &cause).await? {
                    return Err(Error::StoreUnavailable);
                }
                committed
            }
        };
        self.recovered();
        for (user, event) in &committed.events {
            self.hub.publish(*user, event);
        }
        Ok(committed.answers)
    }

    /// Whether the batch of a failed commit is stored, if that can be found out.
    async fn settle(
        &mut self,
        message_id: Option<i64>,
        cause: &store::Error,
    ) -> Result<bool, Error> {
        self.writer.discard().await;
        self.failed(cause);
        let Some(message_id) = message_id else { return Err(Error::OutcomeUnknown) };
        // What was not synced may be read back from memory, and be gone after a power cut.
        if matches!(cause, store::Error::Damaged(_)) {
            return Err(Error::OutcomeUnknown);
        }
        match self.writer.settle(message_id, clock::now_micros()).await {
            Ok(stored) => {
                self.recovered();
                Ok(stored)
            }
            Err(error) => {
                self.writer.discard().await;
                self.failed(&error);
                Err(Error::OutcomeUnknown)
            }
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
    fn failed(&self, error: &store::Error) -> Error {
        let (health, answer) = match error {
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
        }
        answer
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
