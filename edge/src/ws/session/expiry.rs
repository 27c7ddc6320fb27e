//! The end of the token that a session goes on under.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::{auth::accepted_until, wire::Generation};

/// How long before it a client is told, where that is told at all.
const WARNING: Duration = Duration::from_secs(60);
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

    /// What happens next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.warns_at.into_iter().chain(self.closes_at).min()
    }

    /// In how many seconds the token expires, where that is to be told now.
    pub(super) fn take_warning(&mut self, now: Instant) -> Option<u64> {
        self.warns_at.take_if(|at| now >= *at)?;
        let left = self.expires_at.saturating_duration_since(now);
        Some((left + Duration::from_millis(500)).as_secs())
    }

    /// Whether the connection is to be closed now.
    pub(super) fn take_end(&mut self, now: Instant) -> bool {
        self.closes_at.take_if(|at| now >= *at).is_some()
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
        let told_at = expiry.due().expect("a warning");
        let until = told_at - Instant::now();
        assert!((38..=40).contains(&until.as_secs()), "{until:?}");
        assert_eq!(expiry.take_warning(told_at - Duration::from_millis(1)), None);
        assert_eq!(expiry.take_warning(told_at), Some(60));
        assert_eq!(expiry.take_warning(told_at), None);
        let closes_at = expiry.due().expect("an end");
        assert_eq!((closes_at - told_at).as_secs(), 70, "with the leeway");
        assert!(!expiry.take_end(closes_at - Duration::from_millis(1)));
        assert!(expiry.take_end(closes_at) && !expiry.take_end(closes_at));
        assert_eq!(expiry.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_told_at_once_and_a_documented_client_is_told_nothing() {
        let mut soon = Expiry::of(Generation::V2, now() + 7);
        let told = soon.take_warning(Instant::now()).expect("a warning");
        assert!((5..=7).contains(&told), "{told}");
        let mut over = Expiry::of(Generation::V2, now() - 5);
        assert_eq!(over.take_warning(Instant::now()), Some(0));
        assert!(!over.take_end(Instant::now()), "within the leeway");
        let mut documented = Expiry::of(Generation::V1, now() + 7);
        assert_eq!(documented.take_warning(Instant::now() + Duration::from_secs(3)), None);
    }
}
