//! Group commit: every change goes through one queue; a task takes whatever waits, writes it as one
//! transaction and answers all of it. Latency is one commit, and every sender shares its fsync.
//!
//! A batch runs to its end whoever waits for it, unless it takes too long to come to its commit. Nothing is
//! published before the commit is durable, nor told as stored. While the database is away, what was not begun waits, or is
//! given back to whoever keeps it.
//!
//! * [`task`]: the task that commits.
//! * [`waiting`]: what waits for it; [`batch`]: what it takes of that at a time; [`caller`]: who waits, and for how long.
//! * [`watchdog`]: what becomes of both while the database hangs; [`condition`]: whether it takes writes.
//! * [`transaction`]: a batch as one transaction.
//! * [`directory`]: the writes of a batch that are no messages.
//! * [`plan`]: what a batch becomes, decided without a database.

use std::{sync::Arc, time::Duration};

use netrox_proto::{ids::UserId, request_id::RequestId, v1};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use self::caller::{Returns, Terms};
use self::{caller::Caller, task::CommitTask, waiting::Waiting};
use crate::{
    command::{Claims, Dispatch, NewMessage, UserChange},
    error::Error,
    hub::Hub,
    metrics::Commits,
    store::{Writer, batch::StoredMessage, user::UserRow},
};

mod batch;
mod caller;
mod condition;
mod directory;
mod plan;
mod task;
mod transaction;
mod waiting;
mod watchdog;

#[cfg(test)]
mod tests;

/// Writes that wait; beyond it callers are told at once.
const QUEUE_WRITES: usize = 16_384;
/// What the waiting writes may hold in memory.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// How old a write may be when it is begun, unless it may wait for longer: what this core, stopped or starved meanwhile, stored
/// after it was given up could overtake what the same user sent later by way of another.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(3);
/// The cost of a write besides its text (PROTOCOL section 5, `--store-wait`).
const WRITE_OVERHEAD_BYTES: usize = 512;

#[derive(Debug)]
pub(crate) enum Write {
    Message(NewMessage),
    Dispatch(Dispatch),
    UpsertUsers(Vec<UserChange>),
    /// As an upsert, but of what a token says: a deleted user stays deleted, and what is newer stays.
    EnsureUser(Claims),
    DeleteUser(UserId),
    /// Notes a file before it is begun.
    BeginUpload(String),
    /// Forgets a file that was removed.
    EndUpload(String),
    /// Changes nothing that anyone sees.
    Probe,
    /// Nor does this, which needs more room than a batch; what it took is given back by the next.
    TakeRoom,
    GiveRoomBack,
}

#[derive(Debug)]
pub(crate) enum Written {
    Message(StoredMessage),
    /// A form that was sent before: nothing, since it is this message.
    SentBefore(Arc<v1::Message>),
    Dispatched(Dispatched),
    Users(Vec<UserRow>),
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Dispatched {
    /// Microseconds since the epoch.
    pub(crate) at: i64,
    pub(crate) already: bool,
}

/// Whether an upload was one for itself.
#[derive(Debug)]
pub(crate) enum Uploaded {
    Now(StoredMessage),
    /// The library of the client sent it again: it is this message.
    Before(Arc<v1::Message>),
}

type Answer = Result<Written, Error>;

#[derive(Debug)]
struct Queued {
    write: Write,
    caller: Caller,
}

/// The way into the queue.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    stop: CancellationToken,
    /// How long a write may wait for a database that is away.
    wait: Duration,
    metrics: Commits,
}

/// A write in the queue.
#[derive(Debug)]
pub(crate) struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    pub(crate) async fn answer(self) -> Answer {
        // The task answers all that it has taken, unless it died.
        self.0.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    pub(crate) async fn message(self) -> Result<StoredMessage, Error> {
        match self.answer().await? {
            Written::Message(stored) => Ok(stored),
            _ => Err(Error::Internal),
        }
    }

    /// Of a message with a file.
    pub(crate) async fn uploaded(self) -> Result<Uploaded, Error> {
        match self.answer().await? {
            Written::Message(stored) => Ok(Uploaded::Now(stored)),
            Written::SentBefore(message) => Ok(Uploaded::Before(message)),
            _ => Err(Error::Internal),
        }
    }

    pub(crate) async fn dispatched(self) -> Result<Dispatched, Error> {
        match self.answer().await? {
            Written::Dispatched(dispatched) => Ok(dispatched),
            _ => Err(Error::Internal),
        }
    }

    pub(crate) async fn users(self) -> Result<Vec<UserRow>, Error> {
        match self.answer().await? {
            Written::Users(users) => Ok(users),
            _ => Err(Error::Internal),
        }
    }
}

impl Committer {
    /// Queues a write. Messages and dispatches take effect in the order of these calls; what of the
    /// directory is written with them takes effect before them.
    pub(crate) fn submit(&self, write: Write) -> Result<Pending, Error> {
        let wait = if write.may_wait() { self.wait } else { Duration::ZERO };
        self.submit_on(
            write,
            Terms { age: Duration::ZERO, wait, returns: None, request: RequestId::current() },
        )
    }

    /// Queues a write that was sent before. One that is too old is refused.
    pub(crate) fn submit_on(&self, write: Write, terms: Terms) -> Result<Pending, Error> {
        if self.stop.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        if terms.age > terms.wait.max(MAX_AGE) {
            return Err(Error::StoreUnavailable);
        }
        let bytes = u32::try_from(write.size()).map_err(|_| Error::Overloaded)?;
        let room =
            Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(|_| Error::Overloaded)?;
        let (answer, pending) = oneshot::channel();
        let queued =
            Queued { write, caller: Caller::new(answer, terms, room, self.metrics.wait()) };
        self.queue.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) if self.stop.is_cancelled() => Error::ShuttingDown,
            mpsc::error::TrySendError::Closed(_) => Error::StoreUnavailable,
        })?;
        Ok(Pending(pending))
    }

    /// How long a write may wait for a database that is away.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// Returns once no further write is taken.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

impl Write {
    fn changes_directory(&self) -> bool {
        matches!(self, Self::UpsertUsers(_) | Self::EnsureUser(_) | Self::DeleteUser(_))
    }

    /// Whether it waits for a database that is away. Whoever calls meanwhile is looked up, and told at once.
    fn may_wait(&self) -> bool {
        !matches!(self, Self::EnsureUser(_))
    }

    /// Whose room it takes while it waits.
    fn sender(&self) -> Option<UserId> {
        match self {
            Self::Message(message) => Some(message.sender),
            Self::Dispatch(dispatch) => Some(dispatch.sender),
            _ => None,
        }
    }

    fn size(&self) -> usize {
        WRITE_OVERHEAD_BYTES
            + match self {
                Self::Message(message) => message.body.len(),
                Self::EnsureUser(claims) => claims.change.size(),
                Self::UpsertUsers(changes) => {
                    changes.iter().map(|change| change.size() + WRITE_OVERHEAD_BYTES).sum()
                }
                Self::BeginUpload(path) | Self::EndUpload(path) => path.len(),
                Self::Dispatch(_)
                | Self::DeleteUser(_)
                | Self::Probe
                | Self::TakeRoom
                | Self::GiveRoomBack => 0,
            }
    }
}

/// The state of the database, as the last commit found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Serving,
    /// Writes fail; they may work later.
    Unavailable,
    /// Nothing must be acknowledged any more.
    Damaged,
}

/// How long writes may wait for a database that is away.
#[derive(Debug)]
pub(crate) struct Waits {
    pub(crate) store: Duration,
    /// Cancelled when the process begins to end.
    pub(crate) hurries: CancellationToken,
    /// From then on.
    pub(crate) hurried: Duration,
}

/// `stop` refuses further writes and ends the task after those that are queued.
/// [`CommitTask::run`] is to be spawned.
pub(crate) fn new(
    writer: Writer,
    hub: Hub,
    stop: CancellationToken,
    waits: Waits,
    metrics: Commits,
) -> (Committer, CommitTask, watch::Receiver<Health>) {
    let (queue, queued) = mpsc::channel(QUEUE_WRITES);
    let (health, health_seen) = watch::channel(Health::Serving);
    let room = Arc::new(Semaphore::new(QUEUE_BYTES));
    let wait = waits.store;
    let waiting = Waiting::new(queued, stop.clone(), waits);
    let task = CommitTask::new(writer, hub, waiting, health, metrics.clone());
    (Committer { queue, room, stop, wait, metrics }, task, health_seen)
}
