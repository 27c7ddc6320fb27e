//! What a core looks for that other cores have stored.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netrox_proto::ids::UserId;
use tokio::time::Instant;

use super::MAX_AGE;
use crate::store::standing::NewStanding;

/// After so long without a look, blocks may have come and gone out of sight.
pub(super) const LONGEST_GAP: Duration = Duration::from_secs(3);

/// After so long without a look, they may have grown too old to be found: what is found is 30 s old at most, by the clock of the
/// server, and as old as its transaction.
const BLIND_AFTER: Duration = Duration::from_secs(20);

/// What other cores have stored that changes who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Learnt {
    Block(UserId, UserId),
    /// A user hides, or no longer does, or was deleted.
    Hidden(UserId),
    /// Nobody has looked for so long that anything may have changed.
    Gap,
}

/// Looks for new blocks that followed each other closely.
#[derive(Debug, Default)]
pub(super) struct Looks {
    first: Option<Instant>,
    last: Option<Instant>,
    /// What the last one found.
    found: HashSet<NewStanding>,
    /// The same of users who hide.
    hidden: HashSet<NewStanding>,
}

impl Looks {
    /// What the last look did not find.
    pub(super) fn news(
        &self,
        begun: Instant,
        blocks: &HashSet<NewStanding>,
        hidden: &HashSet<NewStanding>,
    ) -> Vec<Learnt> {
        let is_blind = |last: Instant| begun.duration_since(last) > BLIND_AFTER;
        let gap = self.last.is_some_and(is_blind).then_some(Learnt::Gap);
        let blocks = blocks.difference(&self.found).map(NewStanding::users);
        let hidden = hidden.difference(&self.hidden).map(|new| Learnt::Hidden(new.users().0));
        let blocks = blocks.map(|(one, two)| Learnt::Block(one, two));
        blocks.chain(hidden).chain(gap).collect()
    }

    pub(super) fn note(
        &mut self,
        begun: Instant,
        found: HashSet<NewStanding>,
        hidden: HashSet<NewStanding>,
    ) {
        (self.found, self.hidden) = (found, hidden);
        if self.last.is_none_or(|last| begun.duration_since(last) > LONGEST_GAP) {
            self.first = Some(begun);
        }
        self.last = Some(begun);
    }

    /// Whether no block can have been missed that came after something was read, but for those of the last moment.
    pub(super) fn vouch_for(&self, read: Instant) -> bool {
        self.first.is_some_and(|first| first <= read)
            && self.last.is_some_and(|last| last.elapsed() < MAX_AGE)
    }
}

pub(super) fn lock(looks: &Mutex<Looks>) -> MutexGuard<'_, Looks> {
    looks.lock().unwrap_or_else(PoisonError::into_inner)
}
