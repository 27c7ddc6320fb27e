//! Connections whose peer has stopped to read.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Fails a write that has not moved for so long, so that a peer that reads nothing does not hold
/// an answer, and with it a stream of the core's, for ever. Flushing and closing a TCP stream never
/// wait for the peer.
#[derive(Debug)]
pub(super) struct WriteTimeout<T> {
    stream: T,
    timeout: Duration,
    /// Runs while a write is stuck. In a box: most connections never need one.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<T> WriteTimeout<T> {
    pub(super) fn new(stream: T, timeout: Duration) -> Self {
        Self { stream, timeout, stuck: None }
    }

    fn watch(
        &mut self,
        context: &mut Context<'_>,
        write: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if write.is_ready() {
            self.stuck = None;
            return write;
        }
        let timeout = self.timeout;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(timeout)));
        match stuck.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteTimeout<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(context, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_to_a_peer_that_reads_nothing_fails() {
        let (stream, peer) = tokio::io::duplex(8);
        let mut stream = WriteTimeout::new(stream, Duration::from_secs(30));
        let error = stream.write_all(&[0; 9]).await.expect_err("a timeout");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(peer);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_waited_for() {
        let (stream, mut peer) = tokio::io::duplex(1);
        let mut stream = WriteTimeout::new(stream, Duration::from_secs(30));
        let reader = tokio::spawn(async move {
            let mut byte = [0; 1];
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                tokio::io::AsyncReadExt::read_exact(&mut peer, &mut byte).await.expect("a byte");
            }
        });
        stream.write_all(&[7; 5]).await.expect("all written");
        reader.await.expect("all read");
    }
}
