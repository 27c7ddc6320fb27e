//! A connection that breaks at any byte.

use std::{
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, client_async};

pub(super) type Stream = WebSocketStream<Wire>;

/// After how many more bytes a connection is reset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Break {
    pub(super) is_upwards: bool,
    pub(super) after: usize,
}

#[derive(Debug)]
pub(super) struct Wire {
    tcp: TcpStream,
    breaks: Option<Break>,
}

/// Opens a socket, unless it breaks before, or nobody is there.
pub(super) async fn open(address: SocketAddr, path: &str, breaks: Option<Break>) -> Option<Stream> {
    let tcp = TcpStream::connect(address).await.ok()?;
    tcp.set_nodelay(true).ok()?;
    let wire = Wire { tcp, breaks };
    let opened = client_async(format!("ws://{address}{path}"), wire).await;
    opened.ok().map(|(stream, _)| stream)
}

impl Wire {
    pub(super) fn break_at(&mut self, breaks: Break) {
        self.breaks = Some(breaks);
    }

    /// How much of so many bytes passes still.
    fn room(&self, is_upwards: bool, bytes: usize) -> Result<usize> {
        match self.breaks {
            Some(Break { after: 0, .. }) => {
                let _ = self.tcp.set_zero_linger();
                Err(Error::from(ErrorKind::ConnectionReset))
            }
            Some(breaks) if breaks.is_upwards == is_upwards => Ok(bytes.min(breaks.after)),
            Some(_) | None => Ok(bytes),
        }
    }

    fn passed(&mut self, is_upwards: bool, bytes: usize) {
        if let Some(breaks) = &mut self.breaks
            && breaks.is_upwards == is_upwards
        {
            breaks.after -= bytes;
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let mut chunk = [0; 4096];
        let room = self.room(false, buffer.remaining().min(chunk.len()))?;
        let mut read = ReadBuf::new(&mut chunk[..room]);
        std::task::ready!(Pin::new(&mut self.tcp).poll_read(context, &mut read))?;
        buffer.put_slice(read.filled());
        let bytes = read.filled().len();
        self.passed(false, bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let room = self.room(true, bytes.len())?;
        let written =
            std::task::ready!(Pin::new(&mut self.tcp).poll_write(context, &bytes[..room]))?;
        self.passed(true, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
