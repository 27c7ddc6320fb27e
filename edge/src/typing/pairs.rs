//! What was said of each user and peer, and not told yet.

use std::collections::{HashMap, hash_map};

use netrox_proto::{ids::UserId, v1::Failure};
use tokio::{
    sync::oneshot,
    time::{Duration, Instant},
};

use super::Said;
use crate::revocation::TokenMark;

/// Words of one user to one peer, of all users of the edge; beyond it they are refused.
const MAX_PAIRS: usize = 16_384;
/// For how long somebody types who does not say so again.
const TYPING_FOR: Duration = Duration::from_secs(6);

/// Who types, and to whom.
pub(crate) type Pair = (UserId, UserId);

#[derive(Default)]
pub(super) struct Pairs {
    pairs: HashMap<Pair, State>,
    /// A task sees to them.
    pub(super) are_seen_to: bool,
}

/// There as long as something was said that is not told, or is being told.
#[derive(Default)]
struct State {
    words: Option<Words>,
    /// When they may be told, once that was asked.
    due: Option<Instant>,
    is_being_told: bool,
}

/// What was said since the last call.
pub(super) struct Words {
    pub(super) typing: bool,
    /// Of who said the last of them.
    pub(super) token: TokenMark,
    pub(super) since: Instant,
    /// When the last of them was said.
    last: Instant,
    said: Vec<oneshot::Sender<Said>>,
}

impl Words {
    /// Tells those who wait what became of it.
    pub(super) fn end(self, said: &Said) {
        for one in self.said {
            // Whoever left does not want to know.
            let _ = one.send(said.clone());
        }
    }
}

impl Pairs {
    /// Takes a word, if there is room for it.
    pub(super) fn add(
        &mut self,
        pair: Pair,
        typing: bool,
        token: TokenMark,
        said: Option<oneshot::Sender<Said>>,
    ) -> Result<(), Option<oneshot::Sender<Said>>> {
        let count = self.pairs.len();
        let state = match self.pairs.entry(pair) {
            hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hash_map::Entry::Vacant(_) if count >= MAX_PAIRS => return Err(said),
            hash_map::Entry::Vacant(entry) => entry.insert(State::default()),
        };
        let now = Instant::now();
        let words = state.words.get_or_insert_with(|| Words {
            typing,
            token,
            since: now,
            last: now,
            said: Vec::new(),
        });
        (words.typing, words.token, words.last) = (typing, token, now);
        // Who has left does not wait any more.
        words.said.retain(|said| !said.is_closed());
        words.said.extend(said);
        Ok(())
    }

    /// The user has written meanwhile, which says that they type no more.
    pub(super) fn wrote(&mut self, pair: Pair) {
        let words = self.pairs.get_mut(&pair).map(|state| &mut state.words);
        if let Some(words) = words.and_then(|words| words.take_if(|words| words.typing)) {
            words.end(&Ok(()));
        }
    }

    /// Those that may be told now, of each pair its last word, and `max` at most. `due` says when one may be, if not at once;
    /// with `at_once` that does not count any more.
    pub(super) fn take(
        &mut self,
        max: usize,
        at_once: bool,
        due: impl Fn(Pair) -> Option<Instant>,
    ) -> Vec<(Pair, Words)> {
        let now = Instant::now();
        let mut taken = Vec::new();
        self.pairs.retain(|pair, state| {
            if state.is_being_told || taken.len() >= max {
                return true;
            }
            if state.words.is_none() {
                return false;
            }
            let due = *state.due.get_or_insert_with(|| due(*pair).unwrap_or(now));
            if due > now && !at_once {
                return true;
            }
            state.due = None;
            match state.words.take() {
                // Nobody types any more who said so that long ago.
                Some(words) if words.typing && words.last.elapsed() >= TYPING_FOR => {
                    words.end(&Ok(()));
                    false
                }
                words => {
                    taken.extend(words.map(|words| (*pair, words)));
                    state.is_being_told = true;
                    true
                }
            }
        });
        taken
    }

    /// They were told, or never will be.
    pub(super) fn end(&mut self, pair: Pair, words: Words, said: &Said) {
        if let Some(state) = self.pairs.get_mut(&pair) {
            state.is_being_told = false;
        }
        words.end(said);
    }

    /// Keeps what could not be told until it is tried again, unless there is something newer to be told in its place.
    pub(super) fn give_back(&mut self, pair: Pair, words: Words, due: Instant) {
        let Some(state) = self.pairs.get_mut(&pair) else { return };
        state.is_being_told = false;
        state.due = Some(due);
        match &mut state.words {
            Some(newer) => {
                newer.said.extend(words.said);
                newer.since = newer.since.min(words.since);
            }
            none => *none = Some(words),
        }
    }

    /// Whether there is nothing more to be seen to.
    pub(super) fn is_over(&mut self) -> bool {
        if self.pairs.is_empty() {
            *self = Self::default();
        }
        !self.are_seen_to
    }
}

/// There are too many of them.
pub(super) fn refuse(said: Option<oneshot::Sender<Said>>) {
    use netrox_proto::v1::ErrorReason;
    if let Some(said) = said {
        // Whoever left does not want to know.
        let _ = said.send(Err(Failure::new(ErrorReason::Overloaded, "too many type")));
    }
}
