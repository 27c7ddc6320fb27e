//! A connection behind its TLS handshake, which is made as the connection is first read or written: whoever accepts does not
//! wait for it, and what bounds a connection that says nothing bounds it as well.

use std::{
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use netrox_metrics::By;
use netrox_tls::{FallibleAccept, HandshakeFailure, ServerStream, ServerTls};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tokio_util::{either::Either, sync::CancellationToken};

use super::received::PREFACE_TIMEOUT;
use crate::{auth::CertificateNames, notice::Notices};

/// Who makes a handshake.
#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) from: Option<IpAddr>,
    /// To be filled.
    pub(super) names: CertificateNames,
    /// Cancelled where the connection has to make room.
    pub(super) closed: CancellationToken,
}

/// TLS of the door, and what is told of handshakes that come to nothing.
#[derive(Debug)]
pub(super) struct Handshakes {
    tls: ServerTls,
    failed: By<HandshakeFailure, Counter>,
    notices: Notices<HandshakeFailure>,
}

impl Handshakes {
    pub(super) fn new(tls: ServerTls, failed: By<HandshakeFailure, Counter>) -> Self {
        Self { tls, failed, notices: Notices::default() }
    }

    fn failed(&self, failure: HandshakeFailure, from: Option<IpAddr>, cause: &str) {
        self.failed.count(failure);
        let peer = from.map(tracing::field::display);
        if failure.is_of_settings()
            && let Some(untold) = self.notices.happened(failure)
        {
            tracing::warn!(untold, peer, "a connection is refused by TLS: {failure} ({cause})");
        } else {
            tracing::debug!(peer, error = cause, "a TLS handshake failed");
        }
    }
}

/// As it comes, or in TLS.
pub(super) type Secured<S> = Either<S, Box<Tls<S>>>;

pub(super) fn secured<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    handshakes: Option<&Arc<Handshakes>>,
    stranger: Stranger,
) -> Secured<S> {
    let Some(handshakes) = handshakes else { return Either::Left(stream) };
    let state = State::Handshake(handshakes.tls.accept(stream).into_fallible());
    let (handshakes, begun) = (Arc::clone(handshakes), Instant::now());
    Either::Right(Box::new(Tls { state, handshakes, stranger, begun }))
}

pub(super) struct Tls<S> {
    state: State<S>,
    handshakes: Arc<Handshakes>,
    stranger: Stranger,
    begun: Instant,
}

enum State<S> {
    Handshake(FallibleAccept<S>),
    /// The peer is to read why.
    Refused(S, io::Error),
    Open(ServerStream<S>),
    Closed,
}

impl<S> std::fmt::Debug for Tls<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("stranger", &self.stranger).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tls<S> {
    /// The connection, once its handshake is over.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&mut ServerStream<S>>> {
        if let State::Handshake(accept) = &mut self.state {
            let made = ready!(Pin::new(accept).poll(context));
            self.state = match made {
                Ok(stream) => {
                    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
                    if let Some(names) = netrox_tls::names(chain) {
                        self.stranger.names.shown(names);
                    }
                    State::Open(stream)
                }
                Err((error, stream)) => {
                    let failure = HandshakeFailure::of(&error);
                    self.handshakes.failed(failure, self.stranger.from, &error.to_string());
                    State::Refused(stream, error)
                }
            };
        }
        if let State::Refused(stream, _) = &mut self.state {
            // Were it closed at once, what it still sends would reset it, and nobody read why.
            let _ = ready!(Pin::new(stream).poll_shutdown(context));
            if let State::Refused(_, error) = std::mem::replace(&mut self.state, State::Closed) {
                return Poll::Ready(Err(error));
            }
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(stream)),
            State::Handshake(_) | State::Refused(..) | State::Closed => {
                Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
            }
        }
    }
}

impl<S> Drop for Tls<S> {
    fn drop(&mut self) {
        let State::Handshake(_) = self.state else { return };
        let failure = if self.stranger.closed.is_cancelled() {
            HandshakeFailure::MadeRoom
        } else if self.begun.elapsed() >= PREFACE_TIMEOUT {
            HandshakeFailure::TimedOut
        } else {
            // The core drains.
            return;
        };
        self.handshakes.failed(failure, self.stranger.from, &failure.to_string());
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tls<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = ready!(self.get_mut().poll_open(context))?;
        Pin::new(stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tls<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = ready!(self.get_mut().poll_open(context))?;
        Pin::new(stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = ready!(self.get_mut().poll_open(context))?;
        Pin::new(stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        // A stream of rustls is.
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.get_mut().poll_open(context))?;
        Pin::new(stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Open(stream) => Pin::new(stream).poll_shutdown(context),
            State::Refused(stream, _) => Pin::new(stream).poll_shutdown(context),
            // There is nothing to say before it.
            State::Handshake(_) | State::Closed => Poll::Ready(Ok(())),
        }
    }
}
