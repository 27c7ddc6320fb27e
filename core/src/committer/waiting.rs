//! What waits to be written: the queue, and what was taken out of it for the batches that come next.

use std::{collections::HashMap, time::Duration};

use netrox_proto::ids::UserId;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    Queued, Waits,
    batch::Batch,
    write::{SessionWrite, Write},
};
use crate::{
    error::Error,
    store::{DatabaseState, batch::MAX_MESSAGES},
};

const BATCH_WRITES: usize = MAX_MESSAGES;
/// Of them, what edges learn: one statement after the other.
const BATCH_NOTICES: usize = 32;
/// Text written in one transaction, so that a batch of the longest bodies delays nobody for long.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// What waits while the database is away (PROTOCOL section 5, `--store-wait`), in all and of one user.
const HELD_BYTES: usize = 16 * 1024 * 1024;
const HELD_BYTES_PER_USER: usize = HELD_BYTES / 16;
/// How often it is looked at who has waited for long enough.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Waiting {
    queue: mpsc::Receiver<Queued>,
    taken: Vec<Queued>,
    held: HeldBytes,
    waits: Waits,
    /// From then on nothing is held any more.
    refuses_from: Option<Instant>,
}

/// What the writes that wait while the database is away take.
#[derive(Debug, Default)]
struct HeldBytes {
    bytes: usize,
    by_user: HashMap<UserId, usize>,
}

impl HeldBytes {
    /// Whether there is room for one more.
    fn take(&mut self, queued: &Queued) -> bool {
        let bytes = queued.write.size();
        let of_user = queued.write.sender().map(|user| self.by_user.entry(user).or_default());
        let has_room = self.bytes + bytes <= HELD_BYTES
            && of_user.as_ref().is_none_or(|held| **held + bytes <= HELD_BYTES_PER_USER);
        if has_room {
            self.bytes += bytes;
            if let Some(held) = of_user {
                *held += bytes;
            }
        }
        has_room
    }
}

/// How much waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) writes: usize,
}

impl Waiting {
    pub(super) fn new(queue: mpsc::Receiver<Queued>, waits: Waits) -> Self {
        let taken = Vec::with_capacity(BATCH_WRITES);
        Self { queue, taken, held: HeldBytes::default(), waits, refuses_from: None }
    }

    /// Cancelled when the process begins to end.
    pub(super) fn hurries(&self) -> CancellationToken {
        self.waits.hurries.clone()
    }

    /// From when on nobody waits any more, if the process has begun to end.
    pub(super) fn hurried_at(&mut self) -> Option<Instant> {
        if self.refuses_from.is_none() && self.waits.hurries.is_cancelled() {
            self.refuses_from = Some(Instant::now() + self.waits.hurried);
        }
        self.refuses_from
    }

    pub(super) fn load(&self) -> Load {
        Load { writes: self.taken.len() + self.queue.len() }
    }

    /// The next batch. `None` when it is stopped and nothing waits. Nothing is lost where it is not awaited to its end.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        self.batch(batch_len).await
    }

    /// A batch of the first write alone: the others wait for what becomes of it.
    pub(super) async fn first(&mut self) -> Option<Batch> {
        self.batch(|_| 1).await
    }

    async fn batch(&mut self, len: impl Fn(&[Queued]) -> usize) -> Option<Batch> {
        loop {
            if self.taken.is_empty() && !self.take().await {
                return None;
            }
            if self.taken.iter().any(|queued| queued.write.goes_last()) {
                // All others stay in their order.
                self.taken.sort_by_key(|queued| queued.write.goes_last());
            }
            let (len, now) = (len(&self.taken), Instant::now());
            let mut batch = Batch::with_capacity(len);
            for mut queued in self.taken.drain(..len) {
                if queued.is_to_be_written(now) {
                    batch.push(queued);
                }
            }
            // After the database was away there was more.
            self.taken.shrink_to(BATCH_WRITES);
            if !batch.writes.is_empty() {
                return Some(batch);
            }
        }
    }

    /// Takes writes back of which nothing was stored.
    pub(super) fn put_back(&mut self, writes: impl Iterator<Item = Queued>) {
        let now = Instant::now();
        let mut first: Vec<_> = writes.collect();
        first.retain_mut(|queued| queued.may_wait(now));
        first.append(&mut self.taken);
        self.taken = first;
    }

    /// Lets what waits, and whatever comes, wait where that can help. Ends when it is stopped and nothing waits.
    pub(super) async fn keep(&mut self, health: DatabaseState) {
        match health {
            DatabaseState::Damaged => self.refuse().await,
            DatabaseState::Serving | DatabaseState::Unavailable => self.hold().await,
        }
    }

    async fn hold(&mut self) {
        loop {
            self.look();
            let is_ended = self.queue.is_closed() && self.queue.is_empty();
            if is_ended && self.taken.is_empty() {
                return;
            }
            let before = self.taken.len();
            tokio::select! {
                biased;
                _ = self.take(), if !is_ended => self.admit(before),
                () = sleep(LOOK_INTERVAL), if before > 0 => {}
            }
        }
    }

    async fn refuse(&mut self) {
        loop {
            for mut queued in self.taken.drain(..) {
                queued.caller.tell(Err(Error::StoreUnavailable));
            }
            if !self.take().await {
                return;
            }
        }
    }

    /// Counts anew what is held, without what has waited for long enough.
    fn look(&mut self) {
        let now = Instant::now();
        let refuses = self.hurried_at().is_some_and(|at| now >= at);
        self.held = HeldBytes::default();
        let held = &mut self.held;
        self.taken.retain_mut(|queued| {
            if refuses {
                queued.caller.tell(Err(Error::StoreUnavailable));
            }
            let stays = queued.may_wait(now);
            if stays {
                // What was taken before the database was away stays, whatever it takes.
                held.take(queued);
            }
            stays
        });
    }

    /// Refuses what there is no room for of what came after the first so many.
    fn admit(&mut self, before: usize) {
        let (now, held) = (Instant::now(), &mut self.held);
        let mut place = 0;
        self.taken.retain_mut(|queued| {
            place += 1;
            if place <= before {
                return true;
            }
            if !queued.may_wait(now) {
                return false;
            }
            let has_room = held.take(queued);
            if !has_room {
                queued.caller.tell(Err(Error::Overloaded));
            }
            has_room
        });
    }

    /// Takes some out of the queue; `false` when it is stopped and has no more.
    async fn take(&mut self) -> bool {
        loop {
            tokio::select! {
                biased;
                () = self.waits.ends.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                count = self.queue.recv_many(&mut self.taken, BATCH_WRITES) => return count > 0,
            }
        }
    }
}

impl Queued {
    /// Answers what must not be written any more.
    fn is_to_be_written(&mut self, now: Instant) -> bool {
        if self.caller.follows_returned() {
            self.caller.hand_back();
        } else if self.caller.is_late(now) {
            self.caller.tell(Err(Error::StoreUnavailable));
        }
        self.caller.is_awaited()
    }

    /// Answers what must not wait, or has waited for long enough.
    fn may_wait(&mut self, now: Instant) -> bool {
        if !self.caller.hand_back() && self.caller.is_tired(now) {
            self.caller.tell(Err(Error::StoreUnavailable));
        }
        self.caller.is_awaited()
    }
}

/// How many of the writes go into the next transaction.
fn batch_len(waiting: &[Queued]) -> usize {
    if waiting.first().is_some_and(|first| first.write.is_alone()) {
        return 1;
    }
    let (mut bytes, mut notices) = (0, 0);
    let are_last = waiting.first().is_some_and(|queued| queued.write.goes_last());
    let fits = |queued: &&Queued| {
        bytes += queued.write.size();
        notices += usize::from(takes_a_statement(&queued.write));
        let is_of_them = !queued.write.is_alone() && queued.write.goes_last() == are_last;
        bytes <= BATCH_BYTES && notices <= BATCH_NOTICES && is_of_them
    };
    waiting.iter().take(BATCH_WRITES).take_while(fits).count().max(1)
}

/// Tickets share one.
fn takes_a_statement(write: &Write) -> bool {
    match write {
        Write::Session(SessionWrite::SpendTicket(_)) => false,
        Write::Session(
            SessionWrite::Notice(_)
            | SessionWrite::SeeEdges(_)
            | SessionWrite::ForgetEdges(_)
            | SessionWrite::Answer(_)
            | SessionWrite::AddTicketKey(_),
        ) => true,
        Write::Chat(_) | Write::Directory(_) | Write::Upkeep(_) => false,
    }
}
