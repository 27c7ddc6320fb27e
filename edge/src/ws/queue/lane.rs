//! The signals that wait to be written to one connection, behind all other frames: of each kind and peer the last one, and so many
//! at most.

use std::{collections::VecDeque, time::Duration};

use netrox_proto::ids::UserId;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Beyond it those that have waited longest go: there is room for all that is told of as many peers as may be watched.
const MAX_SIGNALS: usize = 320;

/// For how long somebody types who does not say so again (PROTOCOL-2 section 4).
const TYPING_FOR: Duration = Duration::from_secs(6);

/// What a signal is about: a later one takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalKey {
    /// That the peer types, which does not hold for long.
    Typing(UserId),
    Presence(UserId),
    /// The email or profile.
    User(UserId),
}

#[derive(Debug)]
struct Signal {
    key: SignalKey,
    frame: Utf8Bytes,
    /// After it there is no use in it.
    until: Option<Instant>,
}

/// Connections are many, and hardly any ever holds one.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "an empty one is a word long")]
pub(super) struct Lane(Option<Box<VecDeque<Signal>>>);

impl Lane {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether another had to go for it.
    pub(super) fn push(&mut self, key: SignalKey, frame: Utf8Bytes, passes: bool) -> bool {
        let until = passes.then(|| Instant::now() + TYPING_FOR);
        let signals = self.0.get_or_insert_default();
        if let Some(waiting) = signals.iter_mut().find(|signal| signal.key == key) {
            (waiting.frame, waiting.until) = (frame, until);
            return false;
        }
        let is_full = signals.len() >= MAX_SIGNALS;
        if is_full {
            signals.pop_front();
        }
        signals.push_back(Signal { key, frame, until });
        is_full
    }

    pub(super) fn pop(&mut self) -> Option<Utf8Bytes> {
        let signals = self.0.as_mut()?;
        let now = Instant::now();
        let frame = loop {
            match signals.pop_front() {
                Some(Signal { until: Some(until), .. }) if until <= now => {}
                next => break next.map(|signal| signal.frame),
            }
        };
        if signals.is_empty() {
            self.0 = None;
        }
        frame
    }

    /// Drops what there is no use in any more.
    pub(super) fn retain(&mut self, keeps: impl Fn(SignalKey) -> bool) {
        let Some(signals) = &mut self.0 else { return };
        signals.retain(|signal| keeps(signal.key));
        if signals.is_empty() {
            self.0 = None;
        }
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
        assert!(!lane.push(key(1), "a".into(), false) && !lane.push(key(2), "b".into(), false));
        assert!(!lane.push(key(1), "c".into(), false));
        assert_eq!(
            (lane.pop(), lane.pop(), lane.pop()),
            (Some("c".into()), Some("b".into()), None)
        );
        assert!(lane.is_empty());
        let shed = (0..1_000).filter(|peer| lane.push(key(*peer), "a".into(), false)).count();
        assert_eq!(shed, 1_000 - MAX_SIGNALS);
        lane.clear();
        assert!(lane.is_empty());
    }
    #[tokio::test(start_paused = true)]
    async fn that_somebody_types_holds_for_a_while_and_until_they_have_written() {
        let mut lane = Lane::default();
        lane.push(key(1), "types".into(), true);
        lane.push(key(2), "no more".into(), false);
        tokio::time::advance(TYPING_FOR).await;
        lane.push(key(3), "types".into(), true);
        lane.push(key(4), "types, too".into(), true);
        lane.retain(|other| other != key(3));
        assert_eq!(
            (lane.pop(), lane.pop(), lane.pop()),
            (Some("no more".into()), Some("types, too".into()), None)
        );
        lane.push(key(1), "types".into(), true);
        tokio::time::advance(TYPING_FOR).await;
        assert_eq!(lane.pop(), None);
        assert!(lane.is_empty());
    }
}
