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

#[derive(Debug)]
pub(super) enum Secured {
    Plain(TcpStream),
    Tls(Box<ClientStream<TcpStream>>, Distrust),
}

impl Secured {
    pub(super) async fn over_tls(
        stream: TcpStream,
        tls: &ClientTls,
        host: &str,
        distrust: &Distrust,
    ) -> io::Result<Self> {
        let stream = tls.connect(host, stream).await.inspect_err(|error| distrust.note(error))?;
        Ok(Self::Tls(Box::new(stream), distrust.clone()))
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream, distrust) => {
                distrust.noted(Pin::new(stream).poll_read(context, buffer))
            }
        }
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream, distrust) => {
                distrust.noted(Pin::new(stream).poll_write(context, bytes))
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream, distrust) => {
                distrust.noted(Pin::new(stream).poll_write_vectored(context, slices))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream, distrust) => distrust.noted(Pin::new(stream).poll_flush(context)),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream, distrust) => distrust.noted(Pin::new(stream).poll_shutdown(context)),
        }
    }
}
