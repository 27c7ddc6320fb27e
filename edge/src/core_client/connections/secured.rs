//! A connection to a core as hyper has it: as it is, or in TLS. In TLS 1.3 a core says only after the handshake that it does not
//! believe who we are: what a connection broke of is kept, for who is to tell why.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use netrox_tls::{ClientStream, ClientTls, trust_broken};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::either::Either;

/// Why one end does not trust the other, once it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Distrust(Arc<OnceLock<String>>);

impl Distrust {
    pub(super) fn cause(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    fn note(&self, error: &io::Error) {
        if trust_broken(error) {
            // The first counts.
            let _ = self.0.set(error.to_string());
        }
    }

    fn noted<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result {
            self.note(error);
        }
        result
    }
}

/// As it is, or in TLS.
pub(super) type Secured = Either<TcpStream, Box<Trusting>>;

pub(super) async fn over_tls(
    stream: TcpStream,
    tls: &ClientTls,
    host: &str,
    distrust: &Distrust,
) -> io::Result<Secured> {
    let stream = tls.connect(host, stream).await.inspect_err(|error| distrust.note(error))?;
    Ok(Either::Right(Box::new(Trusting { stream, distrust: distrust.clone() })))
}

#[derive(Debug)]
pub(super) struct Trusting {
    stream: ClientStream<TcpStream>,
    distrust: Distrust,
}

impl AsyncRead for Trusting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.distrust.noted(read)
    }
}

impl AsyncWrite for Trusting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.distrust.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.distrust.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.distrust.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = Pin::new(&mut self.stream).poll_shutdown(context);
        self.distrust.noted(shut_down)
    }
}
