//! The signals of one subscription, which wait behind its changes: of each peer the last one, and of so many peers at most.

use std::{collections::VecDeque, time::Duration};

use netrox_proto::ids::UserId;
use tokio::time::Instant;

use crate::change::Typing;

/// Peers whose signals wait.
const MAX_PEERS: usize = 64;
/// For how long somebody types who does not say so again (PROTOCOL-2 section 4).
const TYPING_FOR: Duration = Duration::from_secs(6);

/// Subscriptions are many, and hardly any ever holds one.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "an empty one is a word long")]
pub(super) struct Lane(Option<Box<VecDeque<(Typing, Instant)>>>);

impl Lane {
    /// Whether another signal had to go for it.
    pub(super) fn push(&mut self, typing: Typing) -> bool {
        let signals = self.0.get_or_insert_default();
        let now = Instant::now();
        if let Some(waiting) = signals.iter_mut().find(|(other, _)| other.from == typing.from) {
            *waiting = (typing, now);
            return false;
        }
        let is_full = signals.len() >= MAX_PEERS;
        if is_full {
            signals.pop_front();
        }
        signals.push_back((typing, now));
        is_full
    }

    /// The next one that still holds.
    pub(super) fn pop(&mut self) -> Option<Typing> {
        let signals = self.0.as_mut()?;
        let next = loop {
            match signals.pop_front() {
                Some((typing, at)) if typing.typing && at.elapsed() >= TYPING_FOR => {}
                next => break next.map(|(typing, _)| typing),
            }
        };
        if signals.is_empty() {
            self.0 = None;
        }
        next
    }

    /// Drops what a peer said.
    pub(super) fn forget(&mut self, peer: &str) {
        if self.0.is_some()
            && let Ok(peer) = peer.parse()
        {
            self.forget_user(peer);
        }
    }

    pub(super) fn forget_user(&mut self, peer: UserId) {
        let Some(signals) = &mut self.0 else { return };
        signals.retain(|(typing, _)| typing.from != peer);
        if signals.is_empty() {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn typing(from: u128, typing: bool) -> Typing {
        let user = |number| UserId(Uuid::from_u128(number));
        Typing { from: user(from), to: user(0), typing }
    }

    fn taken(lane: &mut Lane) -> Vec<Typing> {
        std::iter::from_fn(|| lane.pop()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn of_each_peer_the_last_word_waits() {
        let mut lane = Lane::default();
        for signal in [typing(1, true), typing(2, true), typing(1, false)] {
            assert!(!lane.push(signal));
        }
        assert_eq!(taken(&mut lane), [typing(1, false), typing(2, true)]);
        assert!(lane.0.is_none(), "it holds nothing where there is nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_wait_at_most_and_the_newest_stay() {
        let mut lane = Lane::default();
        let shed = (1..=100).filter(|peer| lane.push(typing(*peer, true))).count();
        assert_eq!(shed, 100 - MAX_PEERS);
        assert_eq!(taken(&mut lane).last(), Some(&typing(100, true)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_hold_any_more_is_not_told() {
        let mut lane = Lane::default();
        lane.push(typing(1, true));
        lane.push(typing(2, false));
        lane.push(typing(3, true));
        lane.forget(&typing(3, true).from.to_string());
        tokio::time::advance(TYPING_FOR).await;
        lane.push(typing(4, true));
        assert_eq!(taken(&mut lane), [typing(2, false), typing(4, true)]);
    }
}
