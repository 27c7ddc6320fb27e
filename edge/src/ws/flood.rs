//! Bounds on what a client can make the server do for nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// A rate of so many a second with a burst, as the instant by which what was spent is earned back. Every connection holds
/// two.
#[derive(Debug)]
pub(super) struct Budget<const PER_SECOND: u32, const BURST: u32> {
    earned_at: Instant,
}

impl<const PER_SECOND: u32, const BURST: u32> Budget<PER_SECOND, BURST> {
    pub(super) fn new() -> Self {
        Self { earned_at: Instant::now() }
    }

    fn interval() -> Duration {
        Duration::from_secs(1) / PER_SECOND
    }

    fn burst() -> Duration {
        Self::interval() * BURST
    }

    /// Whether one more is within the budget.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let earned_at = self.earned_at.max(now) + Self::interval();
        if earned_at > now + Self::burst() {
            return false;
        }
        self.earned_at = earned_at;
        true
    }

    /// Spends one, within the budget or not.
    pub(super) fn charge(&mut self, now: Instant) {
        self.earned_at = self.earned_at.max(now) + Self::interval();
    }

    /// When there will be something to spend; `None` where there is now.
    pub(super) fn refilled_at(&self, now: Instant) -> Option<Instant> {
        let overdrawn =
            (self.earned_at + Self::interval()).saturating_duration_since(now + Self::burst());
        (!overdrawn.is_zero()).then(|| now + overdrawn)
    }
}

/// Counts the bytes read from a connection: a client can send fragments without end, even empty
/// ones, that never make a message and so are seen nowhere else.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    bytes_read: u64,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, bytes_read: 0 }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.bytes_read += (buffer.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_budget_allows_its_burst_and_then_its_rate() {
        let mut budget = Budget::<10, 3>::new();
        let mut spent = |now| (0..10).filter(|_| budget.spend(now)).count();
        let start = Instant::now();
        assert_eq!(spent(start), 3);
        assert_eq!(spent(start + Duration::from_millis(99)), 0);
        assert_eq!(spent(start + Duration::from_millis(100)), 1);
        assert_eq!(spent(start + Duration::from_secs(60)), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_is_overdrawn_takes_longer_to_refill() {
        let mut budget = Budget::<10, 3>::new();
        let start = Instant::now();
        for _ in 0..2 {
            budget.charge(start);
        }
        assert_eq!(budget.refilled_at(start), None);
        for overdrawn in 1..4 {
            budget.charge(start);
            let refilled_at = start + Duration::from_millis(100) * overdrawn;
            assert_eq!(budget.refilled_at(start), Some(refilled_at));
            assert_eq!(budget.refilled_at(refilled_at), None);
        }
    }
}
