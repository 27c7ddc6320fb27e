//! The core on a socket.

use std::{io, pin::pin, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::timeout};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};

use self::{
    burst::Bursts,
    calls::FewOfStrangers,
    linger::{LINGER_TIMEOUT, Lingering},
    protocol::{MAX_METADATA_BYTES, Protocol},
    received::{PREFACE_TIMEOUT, Received},
    remainder::ReadsOn,
    secured::{Handshakes, Stranger, secured},
};
use crate::{Core, attachment::MAX_UPLOADS, auth::CertificateNames, strangers::Strangers};

mod burst;
mod calls;
mod deadline;
mod linger;
mod one_request;
mod protocol;
mod received;
mod remainder;
mod secured;

/// An edge holds one stream a connected user, over a few connections.
const MAX_STREAMS: u32 = 32_768;
/// A peer that is gone without a word is noticed after the sum of the two.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Of what a peer may have unread: the uploads that a core takes at a time have half of it, if all are on one
/// connection, so that a media store that hangs stops nothing but them. h2 ends a connection whose peer leaves small frames unread
/// beyond half of its window.
const CONNECTION_WINDOW_BYTES: u32 = 128 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const _: () = assert!(
    MAX_UPLOADS as u64 * STREAM_WINDOW_BYTES as u64 <= CONNECTION_WINDOW_BYTES as u64 / 2,
    "uploads that are not read would stop chat"
);
/// More than calls may have, so that what is a little over can be answered as gRPC. h2 answers 431 up to four times as much, and
/// ends the connection beyond that.
const MAX_HEADER_BYTES: u32 = 32 * 1024;
const _: () = assert!(MAX_METADATA_BYTES < MAX_HEADER_BYTES as usize, "no room for a refusal");
/// What a peer may open and reset before the core has looked at it; beyond that it is cut off (CVE-2023-44487). Callers whose
/// deadline passes do that, many at a time where the core is slow; what is held for them are their heads.
const MAX_PENDING_RESETS: usize = 1024;
/// Frames on streams that the core reset are counted over the life of a connection, and so have no limit: who makes it
/// reset (CVE-2025-8671) gains nothing, since a call ends with its stream.
const MAX_LOCAL_RESETS: usize = usize::MAX;

/// How long calls in flight, and callers that do not read, may hold up the drain.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// For the connections to end that were cut off.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

impl Core {
    /// Serves gRPC until `shutdown`, then drains and returns when every call has ended, or when those
    /// that do not have had their time.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let cut = CancellationToken::new();
        let handshakes = self.tls().map(|(tls, failed)| Arc::new(Handshakes::new(tls, failed)));
        let strangers = Arc::new(Strangers::new(handshakes.is_some()));
        let incoming = incoming.then(async |accepted| {
            let stream = accepted?;
            strangers.room().await;
            let from = stream.peer_addr().ok().map(|address| address.ip().to_canonical());
            let stream = Lingering::new(stream, LINGER_TIMEOUT);
            let names = CertificateNames::default();
            let visitor = Strangers::welcome(&strangers, from, names.clone());
            let stranger = Stranger { from, names, closed: visitor.1.clone() };
            let stream = secured(stream, handshakes.as_ref(), stranger);
            Ok::<_, io::Error>(Received::new(stream, visitor, PREFACE_TIMEOUT, &cut))
        });
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
            .layer(FewOfStrangers::new(self.auth()))
            .layer(ReadsOn)
            .layer(Protocol::default())
            .layer(Bursts::default())
            .add_routes(self.routes())
            .serve_with_incoming_shutdown(incoming, draining);
        let too_late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_GRACE).await;
        };
        let mut drained = pin!(drained);
        tokio::select! {
            result = &mut drained => return result,
            () = too_late => {}
        }
        tracing::warn!("calls that did not end are cut off");
        // Else they would live on, and hold what is to be closed next.
        cut.cancel();
        match timeout(CUT_TIMEOUT, drained).await {
            Ok(result) => result,
            Err(_) => Ok(()),
        }
    }
}
