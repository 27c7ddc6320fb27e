//! Signs of a client's life, and what a session is asked to do about its client beside the frames that wait.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{NO_RECONNECT, Outgoing, wake};

impl Outgoing {
    /// Since the handshake.
    pub(in crate::ws) fn age(&self) -> Duration {
        self.created_at.elapsed()
    }

    /// Something came from the client.
    pub(in crate::ws) fn heard(&self, at: Instant) {
        let micros = at.saturating_duration_since(self.created_at).as_micros();
        self.heard_after.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.has_answered.store(true, Ordering::Relaxed);
    }

    /// When something came from the client last.
    pub(in crate::ws) fn heard_at(&self) -> Instant {
        self.created_at + Duration::from_micros(self.heard_after.load(Ordering::Relaxed))
    }

    /// Has the session ping the client.
    pub(in crate::ws) fn probe(&self) {
        self.has_answered.store(false, Ordering::Relaxed);
        self.is_probed.store(true, Ordering::Release);
        let session = self.state().session.take();
        wake(session);
    }

    /// Whether something came since the last probe.
    pub(in crate::ws) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Whether the client is to be pinged.
    pub(in crate::ws) fn take_probe(&self) -> bool {
        self.is_probed.load(Ordering::Relaxed) && self.is_probed.swap(false, Ordering::AcqRel)
    }

    /// Has the session tell the client when to connect anew: behind `hello`, and before all that waits.
    pub(in crate::ws) fn ask_to_reconnect(&self, after: Duration) {
        let after = u64::try_from(after.as_millis()).unwrap_or(NO_RECONNECT);
        self.reconnect_after.store(after, Ordering::Release);
        let session = self.state().session.take();
        wake(session);
    }

    /// When the client is to connect anew, once.
    pub(in crate::ws) fn take_reconnect(&self) -> Option<Duration> {
        if self.reconnect_after.load(Ordering::Relaxed) == NO_RECONNECT {
            return None;
        }
        let after = self.reconnect_after.swap(NO_RECONNECT, Ordering::AcqRel);
        (after != NO_RECONNECT).then(|| Duration::from_millis(after))
    }
}
