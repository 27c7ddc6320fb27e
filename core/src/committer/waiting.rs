//! What waits to be written: the queue, and what was taken out of it for the batches that come next.

use std::time::Duration;

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{MAX_AGE, Queued, batch::Batch};
use crate::error::Error;

const BATCH_WRITES: usize = 1_024;
/// Text written in one transaction, so that a batch of the longest bodies delays nobody for long.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Waiting {
    queue: mpsc::Receiver<Queued>,
    taken: Vec<Queued>,
    stop: CancellationToken,
}

impl Waiting {
    pub(super) fn new(queue: mpsc::Receiver<Queued>, stop: CancellationToken) -> Self {
        Self { queue, taken: Vec::with_capacity(BATCH_WRITES), stop }
    }

    /// The next batch; what has waited for longer than `max_wait` is refused. `None` when it is stopped and nothing
    /// waits. Nothing is lost where it is not awaited to its end.
    pub(super) async fn next(&mut self, max_wait: Duration) -> Option<Batch> {
        loop {
            if self.taken.is_empty() && !self.take().await {
                return None;
            }
            let rest = self.taken.split_off(batch_len(&self.taken));
            let mut batch = std::mem::replace(&mut self.taken, rest);
            refuse_late(&mut batch, max_wait);
            if !batch.is_empty() {
                return Some(Batch::new(batch));
            }
        }
    }

    /// Refuses what waits, and whatever comes, for as long as it is awaited.
    pub(super) async fn refuse(&mut self) {
        loop {
            for queued in self.taken.drain(..) {
                queued.refuse();
            }
            if !self.take().await {
                return std::future::pending().await;
            }
        }
    }

    /// Takes some out of the queue; `false` when it is stopped and has no more.
    async fn take(&mut self) -> bool {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                count = self.queue.recv_many(&mut self.taken, BATCH_WRITES) => return count > 0,
            }
        }
    }
}

impl Queued {
    fn refuse(self) {
        // A caller that went away does not want it.
        let _ = self.answer.send(Err(Error::StoreUnavailable));
    }
}

/// Refuses what is too old, or has waited for too long, so that the waits for several batches do not add up.
fn refuse_late(batch: &mut Vec<Queued>, max_wait: Duration) {
    let now = Instant::now();
    let is_late = |queued: &Queued| now - queued.since > max_wait || now - queued.sent > MAX_AGE;
    for late in batch.extract_if(.., |queued| is_late(queued)) {
        late.refuse();
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
