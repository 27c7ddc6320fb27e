//! TLS handshakes: how long they may take, and how those that came to nothing are told.

use std::{
    io,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use netrox_tls::{HandshakeFailure, ServerStream, ServerTls};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Those since the last look.
pub(super) struct Handshakes {
    metrics: Metrics,
    succeeded: AtomicU64,
    failed: [AtomicU64; HandshakeFailure::ALL.len()],
}

impl Handshakes {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, succeeded: AtomicU64::default(), failed: Default::default() }
    }

    fn count(&self, failure: HandshakeFailure) {
        self.metrics.handshakes_failed.count(failure);
        self.failed[failure as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The connection of a peer that has made its handshake in time. Where it has to make room, `closed` is cancelled, and this
    /// dropped.
    pub(super) async fn make<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        tls: &ServerTls,
        stream: S,
        until: Instant,
        peer: IpAddr,
        closed: &CancellationToken,
    ) -> Option<Box<ServerStream<S>>> {
        let mut under_way = UnderWay { handshakes: self, closed, is_over: false };
        let made = timeout_at(until, tls.accept(stream)).await;
        under_way.is_over = true;
        let failure = match made {
            Ok(Ok(stream)) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                return Some(Box::new(stream));
            }
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "a TLS handshake failed");
                HandshakeFailure::of(&error)
            }
            Err(_) => {
                tracing::debug!(%peer, "a TLS handshake took too long");
                HandshakeFailure::of(&io::ErrorKind::TimedOut.into())
            }
        };
        self.count(failure);
        None
    }

    /// Tells the operator of the last minute, once it is over. Where none came through, and not just since somebody looked for
    /// an open port, clients may be shown what they cannot trust.
    pub(super) fn tell(&self) {
        let counts = self.failed.each_ref().map(|count| count.swap(0, Ordering::Relaxed));
        let succeeded = self.succeeded.swap(0, Ordering::Relaxed);
        let failed = || HandshakeFailure::ALL.into_iter().zip(counts).filter(|(_, n)| *n > 0);
        if failed().next().is_none() {
            return;
        }
        let listed: Vec<_> =
            failed().map(|(failure, count)| format!("{count} times {failure}")).collect();
        let listed = listed.join(", ");
        if succeeded == 0 && failed().any(|(failure, _)| failure.is_of_settings()) {
            tracing::warn!(
                "all TLS handshakes of the last minute failed: {listed}; if they are of clients that should get in, the \
                 certificate of --http-tls-cert-file, or its chain, is not what they trust"
            );
        } else {
            tracing::debug!(succeeded, "TLS handshakes of the last minute that failed: {listed}");
        }
    }
}

/// A handshake.
struct UnderWay<'a> {
    handshakes: &'a Handshakes,
    closed: &'a CancellationToken,
    is_over: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.closed.is_cancelled() {
            self.handshakes.count(HandshakeFailure::MadeRoom);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Logs;

    #[test]
    fn each_failure_has_its_own_counter() {
        for (index, failure) in HandshakeFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index, "{failure:?}");
        }
    }

    #[test]
    fn the_operator_is_warned_where_no_client_trusts_the_certificate_and_only_there() {
        let logs = Logs::capture();
        let handshakes = Handshakes::new(Metrics::default());
        let failed = |failure: HandshakeFailure, count: u64| {
            handshakes.failed[failure as usize].fetch_add(count, Ordering::Relaxed);
        };
        handshakes.tell();
        assert_eq!(logs.take(), "");

        failed(HandshakeFailure::NotTls, 3);
        handshakes.tell();
        let lines = logs.take();
        assert!(lines.contains("DEBUG") && !lines.contains("WARN"), "{lines}");
        assert!(lines.contains("3 times what came was no TLS"), "{lines}");

        failed(HandshakeFailure::RefusedByPeer, 2);
        handshakes.tell();
        let lines = logs.take();
        assert!(lines.contains("WARN") && lines.contains("2 times the client refused"), "{lines}");

        failed(HandshakeFailure::RefusedByPeer, 2);
        handshakes.succeeded.fetch_add(1, Ordering::Relaxed);
        handshakes.tell();
        assert!(!logs.take().contains("WARN"));
        handshakes.tell();
        assert_eq!(logs.take(), "");
    }
}
