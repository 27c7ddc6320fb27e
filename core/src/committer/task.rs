//! The task that takes what waits, commits it, answers and publishes.

use std::time::Duration;

use netrox_proto::ids::UserId;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Health, Queued, Write, Written,
    plan::{self, Plan},
};
use crate::{
    clock,
    error::Error,
    hub::{Hub, LiveEvent},
    store::{self, Writer},
};

const BATCH_WRITES: usize = 1_024;
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

/// What a committed batch is answered, and what users learn of it.
struct Committed {
    answers: Vec<Answer>,
    events: Vec<(UserId, LiveEvent)>,
}

enum Failure {
    NotStored(store::Error),
    /// The commit itself failed: the batch is stored exactly if this message is.
    InDoubt {
        committed: Committed,
        message_id: i64,
        cause: store::Error,
    },
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::NotStored(error)
    }
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

    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_WRITES);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                taken = self.queue.recv_many(&mut batch, BATCH_WRITES) => {
                    if taken == 0 {
                        break;
                    }
                    self.commit(&mut batch).await;
                }
                () = tokio::time::sleep(PROBE_INTERVAL), if self.health() == Health::Unavailable => {
                    // Its result is the health that it leaves.
                    let _ = self.write(&[Write::Probe]).await;
                }
            }
        }
        if let Err(error) = self.writer.close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }

    async fn commit(&mut self, batch: &mut Vec<Queued>) {
        let (writes, callers): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|Queued { write, answer, room }| (write, (answer, room))).unzip();
        let answers = match self.write(&writes).await {
            Ok(answers) => answers,
            // One of them is at fault: it shall fail alone.
            Err(Error::Internal) if writes.len() > 1 => {
                let mut answers = Vec::with_capacity(writes.len());
                for write in writes.chunks(1) {
                    let answer = self.write(write).await;
                    answers.push(
                        answer
                            .and_then(|one| one.into_iter().collect::<Result<Vec<_>, _>>())
                            .and_then(|mut one| one.pop().ok_or(Error::Internal)),
                    );
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

    /// Writes a batch as one transaction; when it is durable, publishes its events.
    async fn write(&mut self, writes: &[Write]) -> Result<Vec<Answer>, Error> {
        if self.health() == Health::Damaged {
            return Err(Error::StoreUnavailable);
        }
        let committed = match transact(&mut self.writer, writes).await {
            Ok(committed) => committed,
            Err(Failure::NotStored(error)) => {
                self.writer.discard().await;
                return Err(self.failed(&error));
            }
            Err(Failure::InDoubt { committed, message_id, cause }) => {
                self.writer.discard().await;
                match self.writer.has_message(message_id).await {
                    Ok(true) => committed,
                    Ok(false) => return Err(self.failed(&cause)),
                    Err(error) => {
                        self.failed(&error);
                        return Err(Error::OutcomeUnknown);
                    }
                }
            }
        };
        self.recovered();
        for (user, event) in &committed.events {
            self.hub.publish(*user, event);
        }
        for (write, answer) in writes.iter().zip(&committed.answers) {
            if let (Write::DeleteUser(user), Ok(_)) = (write, answer) {
                self.hub.close_user(*user, &Error::UserDeleted);
            }
        }
        Ok(committed.answers)
    }

    fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// Notes that the database takes writes.
    fn recovered(&self) {
        if self.health() != Health::Serving {
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

async fn transact(writer: &mut Writer, writes: &[Write]) -> Result<Committed, Failure> {
    let now = clock::now_micros();
    let mut transaction = writer.begin().await?;

    // The directory first: it is asked rarely, and messages look users up in it.
    let mut directory = Vec::new();
    for write in writes {
        match write {
            Write::UpsertUsers(changes) => {
                let mut users = Vec::with_capacity(changes.len());
                for change in changes {
                    users.push(transaction.upsert_user(change, now).await?);
                }
                directory.push(Ok(Written::Users(users)));
            }
            Write::EnsureUser(change) => {
                let user = transaction.ensure_user(change, now).await?;
                directory.push(match user {
                    Some(user) => Ok(Written::Users(vec![user])),
                    None => Err(Error::UserDeleted),
                });
            }
            Write::DeleteUser(user) => {
                let found = transaction.delete_user(*user, now).await?;
                directory.push(if found { Ok(Written::Nothing) } else { Err(Error::UserUnknown) });
            }
            Write::Probe => {
                transaction.probe(now).await?;
                directory.push(Ok(Written::Nothing));
            }
            Write::Message(_) | Write::Dispatch(_) => {}
        }
    }

    let wanted = plan::wanted(writes);
    let loaded =
        if wanted.users.is_empty() { Default::default() } else { transaction.load(wanted).await? };
    let mut plan = Plan::new(loaded, transaction.last_ids(), now);
    let mut directory = directory.into_iter();
    let answers = writes
        .iter()
        .map(|write| match write {
            Write::Message(message) => plan.message(message),
            Write::Dispatch(dispatch) => plan.dispatch(dispatch),
            Write::UpsertUsers(_) | Write::EnsureUser(_) | Write::DeleteUser(_) | Write::Probe => {
                directory.next().unwrap_or(Err(Error::Internal))
            }
        })
        .collect();
    plan.finish();
    transaction.store(&plan.rows).await?;

    let newest = plan.rows.messages.last().map(|message| message.id);
    let last_ids = plan.last_ids;
    let committed = Committed { answers, events: plan.events };
    match (transaction.commit(last_ids).await, newest) {
        (Ok(()), _) => Ok(committed),
        (Err(cause), Some(message_id)) => Err(Failure::InDoubt { committed, message_id, cause }),
        // Everything else may be repeated without harm.
        (Err(cause), None) => Err(Failure::NotStored(cause)),
    }
}
