//! Who may be told what a user does just now: those to whom the user has written, unless either blocks the other or was deleted
//! (PROTOCOL-2 section 6).
//!
//! It is asked for each signal, so that it is kept in memory, for so many pairs. What this core commits it knows before anybody is
//! answered. What other cores commit it learns by looking for new blocks while it is asked: what it knows without having
//! looked for longer than [`MAX_AGE`] is read again. All else may be late by [`SHUT_FOR`], or for good where it only makes
//! quieter.
//!
//! * [`pairs`]: what is kept of pairs; [`looks`]: what other cores have stored; [`follow`]: the task that looks for it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use netrox_proto::ids::UserId;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

pub(super) use self::looks::Learnt;
use self::{
    looks::{Looks, lock},
    pairs::{Kept, Pairs},
};
use crate::{
    error::Error,
    metrics::{Shed, SignalMetrics},
    store::Store,
};

mod follow;
mod looks;
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

/// The same, with whether either hides: then the one is not shown whether the other is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) standing: Standing,
    pub(crate) hidden: bool,
}

impl Sight {
    pub(super) const NONE: Self = Self { standing: Standing::NotTold, hidden: true };

    fn is_seen(self) -> bool {
        self.standing == Standing::Told && !self.hidden
    }
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
    /// Users who watch others.
    watching: AtomicUsize,
    metrics: SignalMetrics,
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
            watching: AtomicUsize::new(0),
            metrics,
        }
    }

    /// A few instructions that do not panic.
    fn shard(&self, pair: Pair) -> MutexGuard<'_, Pairs> {
        let place = usize::try_from(mixed(pair) >> 124).unwrap_or_default();
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
                if let Some(Kept { sight: Sight { standing, .. }, .. }) = fresh {
                    if standing == Standing::Told {
                        act();
                    }
                    return Ok(standing);
                }
                pairs.version(pair)
            };
            let Ok(_place) = self.reads.try_acquire() else {
                self.metrics.shed(Shed::Reads);
                return Err(Error::Overloaded);
            };
            let begun = Instant::now();
            let read = store.standings(&[pair.0], pair.1).await?;
            let sight = read.first().map_or(Sight::NONE, |(_, sight)| *sight);
            let mut pairs = self.shard(pair);
            if !pairs.keep(pair, Kept { sight, begun }, version) {
                continue;
            }
            if sight.standing == Standing::Told {
                act();
            }
            return Ok(sight.standing);
        }
        // It changes faster than it is read: nobody is told.
        Ok(Standing::NotTold)
    }

    /// Those of some users whose presence another may be shown. How many ask at a time is for them to bound: who types does not
    /// wait for it.
    pub(super) async fn seen_by(
        &self,
        store: &Store,
        users: &[UserId],
        by: UserId,
    ) -> Result<HashSet<UserId>, Error> {
        self.note_asked();
        let mut seen = HashSet::new();
        let mut asked: HashSet<_> = users.iter().copied().collect();
        for _ in 0..READS {
            let mut unknown = Vec::new();
            for user in asked {
                let mut pairs = self.shard((user, by));
                match pairs.get((user, by)).filter(|kept| self.holds(kept)) {
                    Some(kept) if kept.sight.is_seen() => {
                        seen.insert(user);
                    }
                    Some(_) => {}
                    None => unknown.push((user, pairs.version((user, by)))),
                }
            }
            if unknown.is_empty() {
                return Ok(seen);
            }
            let begun = Instant::now();
            let read: Vec<_> = unknown.iter().map(|(user, _)| *user).collect();
            let read: HashMap<_, _> = store.standings(&read, by).await?.into_iter().collect();
            // What has changed while it was read is read again: who is online must not look as if they were not.
            asked = HashSet::new();
            for (user, version) in unknown {
                let sight = read.get(&user).copied().unwrap_or(Sight::NONE);
                let pair = (user, by);
                if !self.shard(pair).keep(pair, Kept { sight, begun }, version) {
                    asked.insert(user);
                } else if sight.is_seen() {
                    seen.insert(user);
                }
            }
            if asked.is_empty() {
                return Ok(seen);
            }
        }
        Err(Error::Overloaded)
    }

    /// Whether a pair is known to be shut, perhaps since it was asked about.
    pub(super) fn is_shut(&self, pair: Pair) -> bool {
        let mut pairs = self.shard(pair);
        pairs.is_shut(pair) || pairs.get(pair).is_some_and(|kept| !kept.sight.is_seen())
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
        match kept.sight.standing {
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

    /// One has written to the other. Gives whether that may be news.
    pub(super) fn wrote(&self, from: UserId, to: UserId) -> bool {
        self.shard((from, to)).open((from, to))
    }

    pub(super) fn add_watching(&self) {
        self.watching.fetch_add(1, Ordering::Relaxed);
        self.wanted.notify_one();
    }

    pub(super) fn remove_watching(&self) {
        self.watching.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether anything is kept that a message could change.
    pub(super) fn is_in_use(&self) -> bool {
        if self.watching.load(Ordering::Relaxed) > 0 {
            return true;
        }
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

fn mixed((from, to): Pair) -> u128 {
    let (one, two) = (from.0.as_u128(), to.0.as_u128());
    (one ^ two.rotate_left(64)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
