//! The references that an edge draws for its sends.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

/// Draws UUIDs of version 8, each above the one before, all with the same first half: the core tells by it what a
/// repetition came too late for (chat.proto, `is_repetition`). Those of a sender also come to stand at one place of its
/// index instead of all over it.
#[derive(Debug)]
pub(super) struct ClientRefs {
    /// Of this start of the edge.
    first: u64,
    /// The count in the second half of the last one: nanoseconds since the epoch where the clock allows it. A machine that is
    /// put back with its memory would draw the same references again, for other messages, if it only counted.
    last: AtomicU64,
}

impl ClientRefs {
    const VERSION: u64 = 0x8000;
    const VERSION_BITS: u64 = 0xf000;
    const VARIANT: u64 = 1 << 63;
    /// The count has 62 bits; a clock beyond the year 2100 leaves room for it.
    const LATEST: u64 = (1 << 62) - (1 << 59);

    pub(super) fn new() -> Self {
        let first = rand::random::<u64>() & !Self::VERSION_BITS | Self::VERSION;
        Self { first, last: AtomicU64::new(0) }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what has to differ from what was drawn before the memory was put back"
    )]
    pub(super) fn draw(&self) -> Uuid {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(Self::LATEST).min(Self::LATEST);
        let following = |last: u64| now.max(last + 1);
        let drawn = following(self.last.update(Ordering::Relaxed, Ordering::Relaxed, following));
        Uuid::from_u64_pair(self.first, Self::VARIANT | drawn)
    }
}

#[cfg(test)]
mod tests {
    use netrox_proto::ids::ClientRef;

    use super::*;

    #[test]
    fn references_grow_whatever_the_clock_does() {
        let refs = ClientRefs::new();
        let drawn: Vec<_> = (0..10_000).map(|_| refs.draw()).collect();
        assert!(drawn.is_sorted_by(|one, next| one < next));
        assert_eq!(drawn[9_999].get_version_num(), 8);
        assert_eq!(drawn[9_999].get_variant(), uuid::Variant::RFC4122);
        // The clock steps back by a day.
        refs.last.fetch_add(86_400_000_000_000, Ordering::Relaxed);
        let ahead = refs.draw();
        assert!(drawn[9_999] < ahead && ahead < refs.draw());
        // It was beyond all dates.
        refs.last.store(ClientRefs::LATEST, Ordering::Relaxed);
        let ahead = refs.draw();
        assert!(ahead < refs.draw());
        assert_eq!(ahead.get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn only_references_of_one_start_are_compared() {
        let (one, other) = (ClientRefs::new(), ClientRefs::new());
        let [first, second] = [one.draw(), one.draw()].map(ClientRef);
        let last = first.last_later().expect("an order");
        assert!(first < second && second <= last);
        let elsewhere = ClientRef(other.draw());
        assert!(elsewhere < first || elsewhere > last);
    }
}
