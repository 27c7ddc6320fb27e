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
//! * [`write`](mod@write): what can be written; [`answer`]: what it is answered.
//! * [`transaction`]: a batch as one transaction; [`sends`]: one of nothing but new messages.
//! * [`plan`]: what takes places in feeds, decided without a database.
//! * [`directory`]: what changes users; [`session`]: what edges learn; [`ticket`]: tickets that are used; [`upkeep`]: what nobody
//!   sees.

use std::{sync::Arc, time::Duration};

use netrox_proto::request_id::RequestId;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::{
    answer::WriteResult, caller::Caller, task::CommitTask, task::Told, waiting::Waiting,
    write::Write,
};
pub(crate) use self::{
    answer::{Dispatched, Erased, Marked, Pending, Stored},
    caller::{Returns, Terms},
    directory::{DeleteUser, Hide, UpsertUsers},
    session::{AnswerQuestion, ForgetEdges, SeeEdges},
    ticket::{AddTicketKey, SpendTicket, Spent},
    upkeep::{
        BeginUpload, CountFiles, EndUpload, IndexMessages, KeepRoll, NoteSeen, RemoveMessages,
    },
    write::Verb,
};
use crate::{
    delivery::Delivery,
    error::Error,
    metrics::{Commits, length},
    quotas::QuotaTeller,
    store::{DatabaseState, Writer},
};

mod answer;
mod batch;
mod caller;
mod condition;
mod directory;
mod plan;
mod sends;
mod session;
mod task;
mod ticket;
mod transaction;
mod upkeep;
mod waiting;
mod watchdog;
mod write;

#[cfg(test)]
mod tests;

/// Writes that wait; beyond it callers are told at once.
const QUEUE_WRITES: usize = 16_384;
/// What the waiting writes may hold in memory.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// How old a write may be when it is begun, unless it may wait for longer: what this core, stopped or starved meanwhile, stored
/// after it was given up could overtake what the same user sent later by way of another.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(3);
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
    refused: Counter,
    refused_bytes: Counter,
    erased: Arc<Notify>,
    erasures: Arc<Notify>,
    noticed: watch::Sender<u64>,
    rewound: watch::Sender<u64>,
}

impl Committer {
    /// Returns once messages with files were deleted or removed: which files is noted in the database.
    pub(crate) async fn erased(&self) {
        self.erased.notified().await;
    }

    /// Returns once all that a user has sent is to be erased: of whom is noted in the database.
    pub(crate) async fn began_erasures(&self) {
        self.erasures.notified().await;
    }

    /// Changes when edges are to learn something that was committed here.
    pub(crate) fn noticed(&self) -> &watch::Sender<u64> {
        &self.noticed
    }

    /// Changes when the database may have gone back, as far as the commits have found that out.
    pub(crate) fn rewound(&self) -> &watch::Sender<u64> {
        &self.rewound
    }

    /// Queues a write. Messages and dispatches take effect in the order of these calls; what of the
    /// directory is written with them takes effect before them.
    pub(crate) fn submit<V: Verb>(&self, verb: V) -> Result<Pending<V>, Error> {
        let write = verb.into_write();
        let wait = if write.may_wait() { self.wait } else { Duration::ZERO };
        let request = RequestId::current();
        let terms = Terms { age: Duration::ZERO, wait, returns: None, request };
        self.queue(write, terms).map(Pending::new)
    }

    /// Queues a write that was sent before. One that is too old is refused.
    pub(crate) fn submit_on<V: Verb>(&self, verb: V, terms: Terms) -> Result<Pending<V>, Error> {
        self.queue(verb.into_write(), terms).map(Pending::new)
    }

    fn queue(&self, write: Write, terms: Terms) -> Result<oneshot::Receiver<WriteResult>, Error> {
        if self.stop.is_cancelled() && !write.goes_last() {
            return Err(Error::ShuttingDown);
        }
        if terms.age > terms.wait.max(MAX_AGE) {
            return Err(Error::StoreUnavailable);
        }
        let bytes = u32::try_from(write.size()).map_err(|_| Error::Overloaded)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(|_| {
            self.refused_bytes.inc();
            Error::Overloaded
        })?;
        let (answer, answered) = oneshot::channel();
        let queued =
            Queued { write, caller: Caller::new(answer, terms, room, self.metrics.wait()) };
        self.queue.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.refused.inc();
                Error::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) if self.stop.is_cancelled() => Error::ShuttingDown,
            mpsc::error::TrySendError::Closed(_) => Error::StoreUnavailable,
        })?;
        Ok(answered)
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

/// How long writes may wait for a database that is away.
#[derive(Debug)]
pub(crate) struct Waits {
    pub(crate) store: Duration,
    /// Cancelled when the process begins to end.
    pub(crate) hurries: CancellationToken,
    /// From then on.
    pub(crate) hurried: Duration,
    /// Cancelled when nothing will be written any more, which is after whatever else has stopped.
    pub(crate) ends: CancellationToken,
}

/// Who is told of what becomes of writes.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) commits: Commits,
    pub(crate) quotas: QuotaTeller,
}

/// `stop` refuses further writes, but for those of this core that go last; `Waits::ends` ends the task after those that are queued.
/// [`CommitTask::run`] is to be spawned.
pub(crate) fn new(
    writer: Writer,
    delivery: Delivery,
    stop: CancellationToken,
    waits: Waits,
    watch: Watch,
) -> (Committer, CommitTask, watch::Receiver<DatabaseState>) {
    let Watch { commits, quotas } = watch;
    let metrics = commits.clone();
    let (queue, queued) = mpsc::channel(QUEUE_WRITES);
    let (health, health_seen) = watch::channel(DatabaseState::Serving);
    let room = Arc::new(Semaphore::new(QUEUE_BYTES));
    let looked_at = queue.downgrade();
    let refused = metrics.queues.add_refusing("writes", QUEUE_WRITES, move || length(&looked_at));
    let looked_at = Arc::downgrade(&room);
    let refused_bytes = metrics.queues.add_refusing("write_bytes", QUEUE_BYTES, move || {
        Some(QUEUE_BYTES.saturating_sub(looked_at.upgrade()?.available_permits()))
    });
    let wait = waits.store;
    let waiting = Waiting::new(queued, waits);
    let (erased, erasures) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (noticed, rewound) = (watch::Sender::new(0), watch::Sender::new(0));
    let told = Told {
        erased: Arc::clone(&erased),
        erasures: Arc::clone(&erasures),
        noticed: noticed.clone(),
        rewound: rewound.clone(),
        quotas,
    };
    let task = CommitTask::new(writer, delivery, waiting, health, commits, told);
    let committer = Committer {
        queue,
        room,
        stop,
        wait,
        metrics,
        refused,
        refused_bytes,
        erased,
        erasures,
        noticed,
        rewound,
    };
    (committer, task, health_seen)
}
