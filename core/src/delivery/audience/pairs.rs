//! What is kept of pairs of users: of those that were asked about last.

use std::{collections::HashMap, time::Duration};

use netrox_proto::ids::UserId;
use tokio::time::Instant;

use super::{Pair, Sight, Standing, mixed};

/// Of each of two halves: of the pairs that were asked about last, and of those before.
const HALF: usize = 4_096;
/// Of versions.
const PLACES: usize = 32;

/// How a pair stood when it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) sight: Sight,
    /// When the read began.
    pub(super) begun: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Pairs {
    recent: HashMap<Pair, Kept>,
    before: HashMap<Pair, Kept>,
    /// Blocked by this core, until when that is kept whatever else is: others may not know yet.
    shut: HashMap<Pair, Instant>,
    /// Grow when something changes that may be being read: of the pairs of a place, so that few others are read again.
    versions: [u64; PLACES],
    /// The same of all.
    version: u64,
}

impl Pairs {
    pub(super) fn version(&self, pair: Pair) -> u64 {
        // Both do nothing but grow.
        self.version + self.versions[place(pair)]
    }

    fn change(&mut self, pair: Pair) {
        self.versions[place(pair)] += 1;
    }

    pub(super) fn get(&mut self, pair: Pair) -> Option<Kept> {
        if let Some(kept) = self.recent.get(&pair) {
            return Some(*kept);
        }
        let kept = self.before.remove(&pair)?;
        self.insert(pair, kept);
        Some(kept)
    }

    /// Keeps what was read, unless something has changed since that version.
    pub(super) fn keep(&mut self, pair: Pair, kept: Kept, version: u64) -> bool {
        let is_true = self.version(pair) == version;
        if is_true {
            self.before.remove(&pair);
            self.insert(pair, kept);
        }
        is_true
    }

    fn insert(&mut self, pair: Pair, kept: Kept) {
        if self.recent.len() >= HALF {
            self.before = std::mem::take(&mut self.recent);
        }
        self.recent.insert(pair, kept);
    }

    /// A block of this core.
    pub(super) fn shut(&mut self, pair: Pair, keep_for: Duration) {
        let now = Instant::now();
        self.shut.retain(|_, until| *until > now);
        self.shut.insert(pair, now + keep_for);
        self.change(pair);
        self.before.remove(&pair);
        self.insert(pair, Kept { sight: Sight::NONE, begun: now });
    }

    pub(super) fn is_shut(&self, pair: Pair) -> bool {
        self.shut.get(&pair).is_some_and(|until| *until > Instant::now())
    }

    /// A block of another core: it may have been known for long.
    pub(super) fn learn_shut(&mut self, pair: Pair) {
        self.change(pair);
        let is_open = |kept: &Kept| kept.sight.standing == Standing::Told;
        if self.get(pair).as_ref().is_some_and(is_open) {
            let begun = Instant::now();
            self.recent.insert(pair, Kept { sight: Sight::NONE, begun });
        }
    }

    pub(super) fn forget(&mut self, pair: Pair) {
        self.change(pair);
        self.shut.remove(&pair);
        self.recent.remove(&pair);
        self.before.remove(&pair);
    }

    /// Forgets that it was shut, if it was. Gives whether it is not known to have been open.
    pub(super) fn open(&mut self, pair: Pair) -> bool {
        let is_open = |kept: &Kept| kept.sight.standing == Standing::Told;
        let was_open =
            self.recent.get(&pair).or_else(|| self.before.get(&pair)).is_some_and(is_open);
        if !was_open {
            self.change(pair);
            self.recent.remove(&pair);
            self.before.remove(&pair);
        }
        !was_open
    }

    pub(super) fn forget_user(&mut self, user: UserId) {
        self.version += 1;
        let is_of_others = |pair: &Pair| pair.0 != user && pair.1 != user;
        self.recent.retain(|pair, _| is_of_others(pair));
        self.before.retain(|pair, _| is_of_others(pair));
    }
}

fn place(pair: Pair) -> usize {
    // Other bits than those that say whose lock it is.
    usize::try_from(mixed(pair) >> 100).unwrap_or_default() % PLACES
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn pair(number: u128) -> Pair {
        (UserId(Uuid::from_u128(number)), UserId(Uuid::from_u128(0)))
    }

    fn kept() -> Kept {
        let sight = Sight { standing: Standing::Told, hidden: false };
        Kept { sight, begun: Instant::now() }
    }

    #[test]
    fn so_many_are_kept_and_those_that_are_asked_about_longest() {
        let mut pairs = Pairs::default();
        for number in 0..10 * HALF as u128 {
            assert!(pairs.keep(pair(number), kept(), 0));
            assert!(pairs.get(pair(0)).is_some(), "{number}");
            assert!(pairs.recent.len() + pairs.before.len() <= 2 * HALF);
        }
        assert!(pairs.get(pair(1)).is_none());
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_kept() {
        let mut pairs = Pairs::default();
        let changes: [fn(&mut Pairs); 5] = [
            |pairs| pairs.shut(pair(1), Duration::from_secs(1)),
            |pairs| pairs.learn_shut(pair(1)),
            |pairs| pairs.forget(pair(1)),
            |pairs| {
                pairs.open(pair(1));
            },
            |pairs| pairs.forget_user(pair(1).0),
        ];
        for change in changes {
            let version = pairs.version(pair(1));
            change(&mut pairs);
            assert!(!pairs.keep(pair(1), kept(), version));
        }
        let version = pairs.version(pair(1));
        assert!(pairs.keep(pair(1), kept(), version));
        assert!(!pairs.open(pair(1)));
        assert_eq!(pairs.version(pair(1)), version, "it was open");
        let other = (2..).map(pair).find(|other| place(*other) != place(pair(1))).expect("one");
        pairs.forget(other);
        assert_eq!(pairs.version(pair(1)), version, "it is of others");
    }
}
