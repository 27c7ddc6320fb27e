//! The signals that wait to be written to one connection, behind all other frames: of each kind and peer the last one, and so many
//! at most.

use std::collections::VecDeque;

use netrox_proto::ids::UserId;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Beyond it those that have waited longest go: there is room for all that is told of as many peers as may be watched.
const MAX_SIGNALS: usize = 320;

/// What a signal is about: a later one takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalKey {
    Typing(UserId),
    Presence(UserId),
    /// The email or profile.
    User(UserId),
}

/// Connections are many, and hardly any ever holds one.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "an empty one is a word long")]
pub(super) struct Lane(Option<Box<VecDeque<(SignalKey, Utf8Bytes)>>>);

impl Lane {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether another had to go for it.
    pub(super) fn push(&mut self, key: SignalKey, frame: Utf8Bytes) -> bool {
        let signals = self.0.get_or_insert_default();
        if let Some((_, waiting)) = signals.iter_mut().find(|(other, _)| *other == key) {
            *waiting = frame;
            return false;
        }
        let is_full = signals.len() >= MAX_SIGNALS;
        if is_full {
            signals.pop_front();
        }
        signals.push_back((key, frame));
        is_full
    }

    pub(super) fn pop(&mut self) -> Option<Utf8Bytes> {
        let signals = self.0.as_mut()?;
        let frame = signals.pop_front().map(|(_, frame)| frame);
        if signals.is_empty() {
            self.0 = None;
        }
        frame
    }

    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(peer: u128) -> SignalKey {
        SignalKey::Typing(UserId(uuid::Uuid::from_u128(peer)))
    }

    #[test]
    fn of_each_peer_the_last_one_waits_and_so_many_at_most() {
        let mut lane = Lane::default();
        assert!(!lane.push(key(1), "a".into()) && !lane.push(key(2), "b".into()));
        assert!(!lane.push(key(1), "c".into()));
        assert_eq!(
            (lane.pop(), lane.pop(), lane.pop()),
            (Some("c".into()), Some("b".into()), None)
        );
        assert!(lane.is_empty());
        let shed = (0..1_000).filter(|peer| lane.push(key(*peer), "a".into())).count();
        assert_eq!(shed, 1_000 - MAX_SIGNALS);
        lane.clear();
        assert!(lane.is_empty());
    }
}
