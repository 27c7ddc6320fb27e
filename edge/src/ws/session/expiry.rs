//! The end of the token that a session goes on under.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::{auth::accepted_until, wire::Generation};

/// How long before it a client is told, where that is told at all.
const WARNING: Duration = Duration::from_secs(60);
/// How long the end waits at most while it is looked whether another token is good.
const LONGEST_LOOK: Duration = Duration::from_secs(15);
/// Timers do not reach further than this.
const MAX_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Of a token whose expiry closes the connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::ws) struct Expiry {
    expires_at: Instant,
    /// When its client is told. Absent once it was, or where it is not.
    warns_at: Option<Instant>,
    /// Later, for clocks that disagree. Absent once it was time.
    closes_at: Option<Instant>,
}

impl Expiry {
    /// `expires_at` is in seconds since the epoch.
    pub(in crate::ws) fn of(generation: Generation, expires_at: i64) -> Self {
        let closes_at = instant(accepted_until(expires_at));
        let expires_at = instant(expires_at);
        let warns_at = match generation {
            Generation::V1 => None,
            Generation::V2 => Some(expires_at.checked_sub(WARNING).unwrap_or(expires_at)),
        };
        Self { expires_at, warns_at, closes_at: Some(closes_at) }
    }

    /// Of which its client is not told before.
    #[cfg(test)]
    pub(in crate::ws) fn closing_at(at: Instant) -> Self {
        Self { expires_at: at, warns_at: None, closes_at: Some(at) }
    }

    /// When something happens next. `is_refreshing`: it is looked whether another token is good.
    pub(super) fn due(&self, is_refreshing: bool) -> Option<Instant> {
        self.warns_at.into_iter().chain(self.ends_at(is_refreshing)).min()
    }

    fn ends_at(&self, is_refreshing: bool) -> Option<Instant> {
        let held_for = if is_refreshing { LONGEST_LOOK } else { Duration::ZERO };
        self.closes_at.map(|at| at + held_for)
    }

    /// When the token expires, where that is to be told now.
    pub(super) fn take_warning(&mut self, now: Instant) -> Option<Instant> {
        self.warns_at.take_if(|at| now >= *at)?;
        Some(self.expires_at)
    }

    /// Whether the connection is to be closed now.
    pub(super) fn take_end(&mut self, now: Instant, is_refreshing: bool) -> bool {
        let is_over = self.ends_at(is_refreshing).is_some_and(|at| now >= at);
        is_over && self.closes_at.take().is_some()
    }
}

#[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
fn instant(unix_seconds: i64) -> Instant {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_epoch = Duration::from_secs(unix_seconds.try_into().unwrap_or(0));
    Instant::now() + since_epoch.saturating_sub(now).min(MAX_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::now;

    #[tokio::test(start_paused = true)]
    async fn it_is_told_a_minute_before_and_once() {
        let mut expiry = Expiry::of(Generation::V2, now() + 100);
        let told_at = expiry.due(false).expect("a warning");
        let until = told_at - Instant::now();
        assert!((38..=40).contains(&until.as_secs()), "{until:?}");
        assert_eq!(expiry.take_warning(told_at - Duration::from_millis(1)), None);
        assert_eq!(expiry.take_warning(told_at), Some(told_at + WARNING));
        assert_eq!(expiry.take_warning(told_at), None);
        let closes_at = expiry.due(false).expect("an end");
        assert_eq!((closes_at - told_at).as_secs(), 70, "with the leeway");
        assert!(!expiry.take_end(closes_at - Duration::from_millis(1), false));
        assert!(expiry.take_end(closes_at, false) && !expiry.take_end(closes_at, false));
        assert_eq!(expiry.due(false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_a_while_until_it_is_known_whether_another_is_good() {
        let at = Instant::now() + Duration::from_secs(5);
        let mut expiry = Expiry::closing_at(at);
        assert_eq!(expiry.due(true), Some(at + LONGEST_LOOK));
        assert!(!expiry.take_end(at + LONGEST_LOOK - Duration::from_millis(1), true));
        assert_eq!(expiry.due(false), Some(at));
        assert!(expiry.take_end(at + LONGEST_LOOK, true) && !expiry.take_end(at, false));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_told_at_once_and_a_documented_client_is_told_nothing() {
        let mut soon = Expiry::of(Generation::V2, now() + 7);
        let left = soon.take_warning(Instant::now()).expect("a warning") - Instant::now();
        assert!((5..=7).contains(&left.as_secs()), "{left:?}");
        let mut over = Expiry::of(Generation::V2, now() - 5);
        assert_eq!(over.take_warning(Instant::now()), Some(Instant::now()));
        assert!(!over.take_end(Instant::now(), false), "within the leeway");
        let mut documented = Expiry::of(Generation::V1, now() + 7);
        assert_eq!(documented.take_warning(Instant::now() + Duration::from_secs(3)), None);
    }
}
