//! Closing a connection whose peer is still sending.
//!
//! Were it closed with bytes unread, the kernel would reset it, and answers be lost that the peer has not read yet:
//! those to other calls on it, in the middle of a drain.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

/// What a peer has to notice the end. An edge closes at once.
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const DISCARDED_AT_ONCE: usize = 4 * 1024;

/// A connection that is shut down when its peer has closed too, or has had its time.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    time: Duration,
    /// Since the way out was closed.
    timeout: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream, time: Duration) -> Self {
        Self { stream, time, timeout: None }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, time, timeout } = &mut *self;
        if timeout.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        let timeout = timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(*time)));
        let mut discarded = [0; DISCARDED_AT_ONCE];
        loop {
            if timeout.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut discarded);
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::Instant,
    };

    use super::*;

    async fn connected(time: Duration) -> (TcpStream, Lingering) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (peer.expect("connected"), Lingering::new(accepted.expect("accepted").0, time))
    }

    #[tokio::test]
    async fn a_peer_that_is_still_sending_reads_its_answer() {
        let (mut peer, mut connection) = connected(Duration::from_secs(600)).await;
        peer.write_all(&[7; 10_000]).await.expect("sent");
        connection.write_all(b"answer").await.expect("sent");
        let closing = tokio::spawn(async move { connection.shutdown().await });
        for _ in 0..20 {
            peer.write_all(&[7; 10_000]).await.expect("taken");
        }
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).await.expect("no reset");
        assert_eq!(answer, b"answer");
        assert!(!closing.is_finished());
        drop(peer);
        closing.await.expect("a task").expect("closed");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_close_is_left() {
        let time = Duration::from_millis(50);
        let (mut peer, mut connection) = connected(time).await;
        let begun = Instant::now();
        connection.shutdown().await.expect("closed");
        assert!(begun.elapsed() >= time);
        drop(connection);
        assert_eq!(peer.read(&mut [0; 10]).await.expect("no reset"), 0);
    }
}
