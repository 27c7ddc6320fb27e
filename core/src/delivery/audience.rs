//! Who may be told what a user does just now: those to whom the user has written, unless either blocks the other or was deleted
//! (PROTOCOL-2 section 6).
//!
//! It is asked for each signal, so that it is kept in memory, for so many pairs. What this core commits it knows before anybody is
//! answered. What other cores commit it learns by looking for new blocks while it is asked: what it knows without having
//! looked for longer than [`MAX_AGE`] is read again. All else may be late by [`SHUT_FOR`], or for good where it only makes
//! quieter.
//!
//! * [`pairs`]: what is kept of pairs.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use netrox_proto::ids::UserId;
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::pairs::{Kept, Pairs};
use crate::{
    error::Error,
    metrics::{Shed, SignalMetrics},
    store::{Store, block::NewBlock},
};

mod pairs;

/// Locks that pairs are spread over.
const SHARDS: usize = 16;
/// How long nobody asks the store again about a pair that may not.
const SHUT_FOR: Duration = Duration::from_secs(5);
/// The same of one that may, where nobody else writes to the database, and where others do and blocks are looked for.
const OPEN_FOR: Duration = Duration::from_secs(300);
/// With what was known longer ago nobody is told anything: others may have blocked somebody since. A second is promised.
const MAX_AGE: Duration = Duration::from_millis(800);
/// How often new blocks of other cores are looked for, while anybody asks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// After so long without a look, blocks may have come and gone out of sight.
const LONGEST_GAP: Duration = Duration::from_secs(3);
/// How often a pair is read anew that changed while it was read.
const READS: usize = 3;
/// Pairs that are read at a time; beyond it nobody is told.
const MAX_READS: usize = 32;

/// Whether one user may be told of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Told,
    NotTold,
    /// There is no such peer.
    PeerUnknown,
    UserUnknown,
    UserDeleted,
}

/// Who does something, and whom it is told.
pub(crate) type Pair = (UserId, UserId);

#[derive(Debug)]
pub(crate) struct Audience {
    shards: [Mutex<Pairs>; SHARDS],
    /// Where other cores write to the database.
    looks: Option<Mutex<Looks>>,
    created: Instant,
    /// When it was asked last, in milliseconds after that; 0: never.
    asked: AtomicU64,
    wanted: Notify,
    reads: Semaphore,
    metrics: SignalMetrics,
}

/// Looks for new blocks that followed each other closely.
#[derive(Debug, Default)]
struct Looks {
    first: Option<Instant>,
    last: Option<Instant>,
    /// What the last one found.
    found: HashSet<NewBlock>,
}

impl Audience {
    pub(super) fn new(is_shared: bool, metrics: SignalMetrics) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            looks: is_shared.then(Mutex::default),
            created: Instant::now(),
            asked: AtomicU64::new(0),
            wanted: Notify::new(),
            reads: Semaphore::new(MAX_READS),
            metrics,
        }
    }

    /// A few instructions that do not panic.
    fn shard(&self, (from, to): Pair) -> MutexGuard<'_, Pairs> {
        let (one, two) = (from.0.as_u128(), to.0.as_u128());
        let mixed =
            (one ^ two.rotate_left(64)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let place = usize::try_from(mixed >> 124).unwrap_or_default();
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out how a pair stands, and acts where the one may be told of the other: not before, and not after a block that
    /// this core has told of.
    pub(crate) async fn ask(
        &self,
        store: &Store,
        pair: Pair,
        act: impl Fn(),
    ) -> Result<Standing, Error> {
        self.note_asked();
        for _ in 0..READS {
            let version = {
                let mut pairs = self.shard(pair);
                let fresh = pairs.get(pair).filter(|kept| self.holds(kept));
                if let Some(kept) = fresh {
                    if kept.standing == Standing::Told {
                        act();
                    }
                    return Ok(kept.standing);
                }
                pairs.version()
            };
            let Ok(_place) = self.reads.try_acquire() else {
                self.metrics.shed(Shed::Reads);
                return Err(Error::Overloaded);
            };
            let begun = Instant::now();
            let standing = store.standing(pair.0, pair.1).await?;
            let mut pairs = self.shard(pair);
            if !pairs.keep(pair, Kept { standing, begun }, version) {
                continue;
            }
            if standing == Standing::Told {
                act();
            }
            return Ok(standing);
        }
        // It changes faster than it is read: nobody is told.
        Ok(Standing::NotTold)
    }

    /// Acts upon what another core tells, which has asked, unless this one knows better.
    pub(super) fn pass(&self, pair: Pair, act: impl FnOnce()) {
        let pairs = self.shard(pair);
        if !pairs.is_shut(pair) {
            act();
        }
    }

    fn holds(&self, kept: &Kept) -> bool {
        let age = kept.begun.elapsed();
        match kept.standing {
            Standing::Told => {
                let Some(looks) = &self.looks else { return age < OPEN_FOR };
                age < MAX_AGE || age < OPEN_FOR && lock(looks).vouch_for(kept.begun)
            }
            Standing::NotTold
            | Standing::PeerUnknown
            | Standing::UserUnknown
            | Standing::UserDeleted => age < SHUT_FOR,
        }
    }

    /// One blocks the other: neither learns anything of the other any more.
    pub(super) fn block(&self, one: UserId, two: UserId) {
        for pair in [(one, two), (two, one)] {
            self.shard(pair).shut(pair, SHUT_FOR);
        }
    }

    /// What is kept of two users does not hold any more.
    pub(super) fn forget(&self, one: UserId, two: UserId) {
        for pair in [(one, two), (two, one)] {
            self.shard(pair).forget(pair);
        }
    }

    pub(super) fn forget_user(&self, user: UserId) {
        for shard in &self.shards {
            let mut pairs = shard.lock().unwrap_or_else(PoisonError::into_inner);
            pairs.forget_user(user);
        }
    }

    /// One has written to the other.
    pub(super) fn wrote(&self, from: UserId, to: UserId) {
        self.shard((from, to)).open((from, to));
    }

    /// Whether anything is kept that a message could change.
    pub(super) fn is_in_use(&self) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        asked > 0 && self.now().saturating_sub(asked) < 2 * millis(SHUT_FOR)
    }

    fn now(&self) -> u64 {
        millis(self.created.elapsed()) + 1
    }

    fn note_asked(&self) {
        let now = self.now();
        let before = self.asked.swap(now, Ordering::Relaxed);
        if now.saturating_sub(before) > millis(LOOK_INTERVAL) {
            self.wanted.notify_one();
        }
    }
}

impl Audience {
    /// Looks for blocks of other cores, while anybody asks, until `stop`. To be spawned where there are others.
    pub(super) async fn follow(&self, store: &Store, stop: CancellationToken) {
        let Some(looks) = &self.looks else { return };
        let following = async {
            loop {
                if !self.is_in_use() {
                    self.wanted.notified().await;
                }
                let begun = Instant::now();
                match store.blocks_of_late().await {
                    Ok(found) => {
                        let found: HashSet<_> = found.into_iter().collect();
                        let before = std::mem::take(&mut lock(looks).found);
                        for block in found.difference(&before) {
                            self.learn_block(block.blocker(), block.blocked());
                        }
                        lock(looks).note(begun, found);
                    }
                    Err(error) => tracing::debug!(%error, "new blocks cannot be read"),
                }
                sleep_until(begun + LOOK_INTERVAL).await;
            }
        };
        stop.run_until_cancelled(following).await;
    }

    fn learn_block(&self, one: UserId, two: UserId) {
        for pair in [(one, two), (two, one)] {
            self.shard(pair).learn_shut(pair);
        }
    }
}

impl Looks {
    fn note(&mut self, begun: Instant, found: HashSet<NewBlock>) {
        self.found = found;
        if self.last.is_none_or(|last| begun.duration_since(last) > LONGEST_GAP) {
            self.first = Some(begun);
        }
        self.last = Some(begun);
    }

    /// Whether no block can have been missed that came after something was read, but for those of the last moment.
    fn vouch_for(&self, read: Instant) -> bool {
        self.first.is_some_and(|first| first <= read)
            && self.last.is_some_and(|last| last.elapsed() < MAX_AGE)
    }
}

fn lock(looks: &Mutex<Looks>) -> MutexGuard<'_, Looks> {
    looks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn alone() -> Audience {
        Audience::new(false, SignalMetrics::default())
    }

    fn shared() -> Audience {
        Audience::new(true, SignalMetrics::default())
    }

    fn keep(audience: &Audience, pair: Pair, standing: Standing) {
        let mut pairs = audience.shard(pair);
        let (version, begun) = (pairs.version(), Instant::now());
        assert!(pairs.keep(pair, Kept { standing, begun }, version));
    }

    fn held(audience: &Audience, pair: Pair) -> Option<Standing> {
        let mut pairs = audience.shard(pair);
        pairs.get(pair).filter(|kept| audience.holds(kept)).map(|kept| kept.standing)
    }

    #[tokio::test(start_paused = true)]
    async fn a_core_alone_keeps_what_it_knows_until_it_tells_otherwise() {
        let (audience, pair) = (alone(), (user(1), user(2)));
        keep(&audience, pair, Standing::Told);
        tokio::time::advance(OPEN_FOR / 2).await;
        assert_eq!(held(&audience, pair), Some(Standing::Told));
        audience.block(user(2), user(1));
        assert_eq!(held(&audience, pair), Some(Standing::NotTold));
        tokio::time::advance(SHUT_FOR).await;
        assert_eq!(held(&audience, pair), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_may_have_changed_is_known_for_a_moment_unless_it_is_looked_for() {
        let (audience, pair) = (shared(), (user(1), user(2)));
        let looks = audience.looks.as_ref().expect("others");
        keep(&audience, pair, Standing::Told);
        tokio::time::advance(MAX_AGE).await;
        assert_eq!(held(&audience, pair), None);
        // A look that began after it was read says nothing of what came between.
        lock(looks).note(Instant::now(), HashSet::new());
        assert_eq!(held(&audience, pair), None);
        keep(&audience, pair, Standing::Told);
        for _ in 0..20 {
            tokio::time::advance(MAX_AGE - Duration::from_millis(1)).await;
            lock(looks).note(Instant::now(), HashSet::new());
            assert_eq!(held(&audience, pair), Some(Standing::Told));
        }
        tokio::time::advance(LONGEST_GAP * 2).await;
        lock(looks).note(Instant::now(), HashSet::new());
        assert_eq!(held(&audience, pair), None, "nobody looked for a while");
        keep(&audience, pair, Standing::Told);
        audience.learn_block(user(1), user(2));
        assert_eq!(held(&audience, pair), Some(Standing::NotTold));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_opens_what_was_shut() {
        let (audience, pair) = (alone(), (user(1), user(2)));
        assert!(!audience.is_in_use());
        audience.note_asked();
        assert!(audience.is_in_use());
        keep(&audience, pair, Standing::NotTold);
        audience.wrote(user(2), user(1));
        assert_eq!(held(&audience, pair), Some(Standing::NotTold), "the other way");
        audience.wrote(user(1), user(2));
        assert_eq!(held(&audience, pair), None, "it is read again");
        tokio::time::advance(SHUT_FOR * 2).await;
        assert!(!audience.is_in_use());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_over_the_bus_stops_at_a_block_of_this_core() {
        let (audience, pair) = (shared(), (user(1), user(2)));
        let passes = |pair| {
            let mut passed = false;
            audience.pass(pair, || passed = true);
            passed
        };
        assert!(passes(pair));
        audience.block(user(2), user(1));
        assert!(!passes(pair) && !passes((user(2), user(1))));
        assert!(passes((user(1), user(3))));
        tokio::time::advance(SHUT_FOR).await;
        assert!(passes(pair), "by now the others know");
        audience.block(user(2), user(1));
        audience.forget(user(2), user(1));
        assert!(passes(pair), "it was taken back");
    }
}
