//! The core on a socket.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};

use self::linger::{LINGER_TIMEOUT, Lingering};
use crate::Core;

mod linger;

/// An edge holds one stream a connected user, over a few connections.
const MAX_STREAMS: u32 = 32_768;
/// A peer that is gone without a word is noticed after the sum of the two.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// h2 ends a connection whose peer leaves small frames unread beyond half of its window.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// What a peer may open and reset before it is cut off (CVE-2023-44487, CVE-2025-8671).
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 256;

/// How long calls in flight, and callers that do not read, may hold up the drain.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

impl Core {
    /// Serves gRPC until `shutdown`, then drains and returns when every call has ended, or when those
    /// that do not have had their time.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let incoming =
            incoming.map(|accepted| accepted.map(|stream| Lingering::new(stream, LINGER_TIMEOUT)));
        let draining = async {
            shutdown.cancelled().await;
            self.drain();
        };
        let drained = Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
            .http2_max_local_error_reset_streams(Some(MAX_LOCAL_RESETS))
            .add_routes(self.routes())
            .serve_with_incoming_shutdown(incoming, draining);
        let too_late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_GRACE).await;
        };
        tokio::select! {
            result = drained => result,
            () = too_late => {
                tracing::warn!("calls that did not end are cut off");
                Ok(())
            }
        }
    }
}
