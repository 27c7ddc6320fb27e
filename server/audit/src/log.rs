//! The audit log of a process, from its opening to its last line.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use netrox_metrics::Registry;

use crate::{
    Audit, QUEUE_BYTES, Shared, Target,
    event::Event,
    metrics::Metrics,
    output::Output,
    refusals::Refusals,
    told::Told,
    writer::{Message, Writer},
};

#[cfg(test)]
mod tests;

/// Events that wait to be written; `QUEUE_BYTES` is their memory.
const QUEUE_EVENTS: usize = 1024;
/// For what is queued when the process ends.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The audit log of a process, which has one. Ends with [`AuditLog::close`].
#[derive(Debug, Default)]
pub struct AuditLog {
    audit: Audit,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    thread: Thread,
    ended: Receiver<()>,
}

fn shared(role: &'static str, queue: SyncSender<Message>) -> Shared {
    Shared {
        role,
        queue,
        refusals: Mutex::new(Refusals::new(Instant::now())),
        metrics: Metrics::default(),
        queued_bytes: AtomicUsize::new(0),
        lost: AtomicU64::new(0),
        full_told: Told::default(),
        dead_told: Told::default(),
        write_told: Told::default(),
        open_told: Told::default(),
        last: Mutex::default(),
        is_to_reopen: AtomicBool::new(false),
        is_to_end: AtomicBool::new(false),
    }
}

impl AuditLog {
    /// Fails where the file cannot be opened. Without a target there is none, and nothing is kept.
    pub fn open(target: Option<Target>, role: &'static str) -> io::Result<Self> {
        let Some(target) = target else { return Ok(Self::default()) };
        let output = Output::open(target)?;
        let (queue, events) = mpsc::sync_channel(QUEUE_EVENTS);
        let shared = Arc::new(shared(role, queue));
        let (end, ended) = mpsc::sync_channel(1);
        let writer = Writer::new(Arc::clone(&shared), events, output);
        let spawned = thread::Builder::new().name("audit".to_owned()).spawn(move || {
            writer.run();
            // Nobody waits where it took too long.
            let _ = end.send(());
        })?;
        let running = Running { thread: spawned.thread().clone(), ended };
        Ok(Self { audit: Audit(Some(shared)), running: Some(running) })
    }

    pub fn handle(&self) -> Audit {
        self.audit.clone()
    }

    /// Has the registry show what there is to be measured.
    pub fn register(&self, registry: &mut Registry) {
        if let Audit(Some(shared)) = &self.audit {
            shared.metrics.register(registry);
            let shared = Arc::downgrade(shared);
            // What is dropped is counted in lines, and for other causes too.
            registry.queues().add("audit_bytes", QUEUE_BYTES, move || {
                Some(shared.upgrade()?.queued_bytes.load(Ordering::Relaxed))
            });
        }
    }

    /// Writes what is queued and one line more, and ends. Waits for a disk that hangs for two seconds. Blocks.
    pub fn close(self, last: Event) {
        let (Audit(Some(shared)), Some(running)) = (self.audit, self.running) else { return };
        *shared.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        shared.is_to_end.store(true, Ordering::Release);
        let _ = shared.queue.try_send(Message::Wake);
        running.thread.unpark();
        if running.ended.recv_timeout(END_TIMEOUT).is_err() {
            tracing::error!(
                "the audit log cannot be written in time: its last lines may be missing"
            );
        }
    }
}
