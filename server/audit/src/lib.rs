//! The audit trail: a stream of JSON lines apart from the log, of what services did to users, who was refused, and what
//! the program is made to take up anew. No body, no token and no name of a file is ever in it.
//!
//! * [`event`]: what there is to tell, and how a line looks.
//! * [`refusals`]: what may come very often is summed up, so that nobody fills a disk by it.
//! * [`output`]: the file or stderr; lines are never torn.
//! * [`writer`]: the thread that writes, behind a queue. Nobody waits for it.
//! * [`metrics`]: what of it can be measured.

mod event;
mod metrics;
mod output;
mod refusals;
mod writer;

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
};

pub use self::{
    event::{Event, Name, Outcome},
    metrics::Metrics,
    output::Target,
    writer::AuditLog,
};
use self::{refusals::Refusals, writer::Message};

/// Where events are told: a cheap handle. By default it is off, and keeps nothing.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Shared>>);

/// What the handles and the thread that writes share.
struct Shared {
    role: &'static str,
    queue: SyncSender<Message>,
    refusals: Mutex<Refusals>,
    metrics: Metrics,
    /// Events that found the queue full, and were not told of so far.
    lost: AtomicU64,
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

    /// Queues a line. Never waits: one that finds the queue full is counted, and told of later.
    pub fn record(&self, event: Event) {
        if let Some(shared) = &self.0 {
            shared.enqueue(event);
        }
    }

    /// Counts a refusal, which is written within a second with all that are like it but for request and target. Those
    /// of the first are in the line. `event` is only asked for where nobody was refused like it since the last line.
    pub fn refused(&self, refused: Refused<'_>, event: impl FnOnce(Event) -> Event) {
        let Some(shared) = &self.0 else { return };
        let mut refusals = shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.count(refused, event);
    }

    /// Has the file opened anew by its path, within a second: something like logrotate has moved it away.
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
    pub method: Option<&'static str>,
    pub peer: Option<IpAddr>,
}

impl Shared {
    fn enqueue(&self, event: Event) {
        match self.queue.try_send(Message::Event(Box::new(event))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.metrics.dropped.inc();
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
