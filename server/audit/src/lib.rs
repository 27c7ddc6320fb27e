//! The audit trail: a stream of JSON lines apart from the log, of what services did to users, who was refused, and what
//! the program is made to take up anew. No body, no token and no name of a file is ever in it.
//!
//! * [`event`]: what there is to tell, and how a line looks.
//! * [`refusals`]: what may come very often is summed up, so that nobody fills a disk by it.
//! * [`output`]: the file or stderr; lines are never torn.
//! * [`log`]: the audit log of a process. [`writer`]: its thread, behind a queue. Nobody waits for it. [`told`]: what the log of the
//!   program hears of it.
//! * [`metrics`]: what of it can be measured.

mod event;
mod log;
mod metrics;
mod output;
mod refusals;
mod told;
mod writer;

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
};

pub use self::{
    event::{Event, Name, Outcome},
    log::AuditLog,
    metrics::Metrics,
    output::Target,
};
use self::{refusals::Refusals, told::Told, writer::Message};

/// What the events that wait may take of memory: one may be about 1,000 users.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Where events are told: a cheap handle. By default it is off, and keeps nothing.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Shared>>);

/// What the handles and the thread that writes share.
struct Shared {
    role: &'static str,
    queue: SyncSender<Message>,
    refusals: Mutex<Refusals>,
    metrics: Metrics,
    /// What waits there.
    queued_bytes: AtomicUsize,
    /// Lines that found the queue full, and were not told of so far.
    lost: AtomicU64,
    /// Of those, and of what the thread itself meets.
    full_told: Told,
    dead_told: Told,
    write_told: Told,
    open_told: Told,
    /// The last line of all.
    last: Mutex<Option<Event>>,
    is_to_reopen: AtomicBool,
    is_to_end: AtomicBool,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Audit").field(&self.is_on()).finish()
    }
}

impl Audit {
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Queues an event. Never waits: one that finds the queue full is counted, and told of later.
    pub fn record(&self, event: Event) {
        if let Some(shared) = &self.0 {
            shared.enqueue(event);
        }
    }

    /// Counts a refusal, which is written with all that are like it but for request and target: within a second, or
    /// in its turn once many kinds wait. Those of the first are in the line. `event` is only asked for where nobody was refused like it since the last line.
    pub fn refused(&self, refused: Refused<'_>, event: impl FnOnce(Event) -> Event) {
        let Some(shared) = &self.0 else { return };
        let mut refusals = shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.count(refused, event);
    }

    /// Has the file be opened anew by its path, within a second: something like logrotate has moved it away.
    pub fn reopen(&self) {
        if let Some(shared) = &self.0 {
            shared.is_to_reopen.store(true, Ordering::Relaxed);
            // Full is as good: the thread looks with each line.
            let _ = shared.queue.try_send(Message::Wake);
        }
    }

    /// What was asked to be read anew was, or the old one stays because of `error`.
    pub fn reloaded(&self, name: Name, result: Result<String, String>) {
        let event = Event::new(name);
        self.record(match result {
            Ok(what) => event.target(what),
            Err(error) => event.outcome(Outcome::Refused).reason(error),
        });
    }
}

/// What refusals that are summed up have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused<'a> {
    pub name: Name,
    /// A word of ours.
    pub reason: &'a str,
    /// The service, where it is known.
    pub actor: Option<&'a str>,
    /// The user, where each is to have lines of their own.
    pub target: Option<&'a str>,
    pub method: Option<&'static str>,
    pub peer: Option<IpAddr>,
}

impl Shared {
    fn enqueue(&self, event: Event) {
        let (lines, bytes) = (event.line_count(), event.bytes());
        let room = |queued: usize| Some(queued + bytes).filter(|all| *all <= QUEUE_BYTES);
        let has_room =
            self.queued_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if !has_room {
            return self.lose(lines, true);
        }
        match self.queue.try_send(Message::Event(Box::new(event))) {
            Ok(()) => {}
            Err(error) => {
                self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.lose(lines, matches!(error, TrySendError::Full(_)));
            }
        }
    }

    /// The thread may be unable to say so: it waits for its disk, or is no more.
    fn lose(&self, lines: u64, is_full: bool) {
        self.metrics.dropped.inc_by(lines);
        self.lost.fetch_add(lines, Ordering::Relaxed);
        if self.is_to_end.load(Ordering::Relaxed) {
            return;
        }
        self.metrics.failing.set(1);
        if is_full && self.full_told.is_due() {
            tracing::error!(
                "the audit log is not written in time: its queue is full, chat goes on, and events are lost"
            );
        }
        if !is_full && self.dead_told.is_due() {
            tracing::error!(
                "nothing writes the audit log any more: chat goes on, and events are lost until a restart"
            );
        }
    }
}
