//! Connections whose peer has stopped to read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::head_timeout::Heads;
use crate::written::Written;

/// A stream of which the system may be told how much of what is written it takes before the peer does.
pub(super) trait Unsent {
    /// Little, so that it can be seen how fast the peer reads, and a slow one costs little.
    fn keep_little(&self);
}

/// What the system takes beyond what is on the way to the peer.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 64 * 1024;

impl Unsent for TcpStream {
    fn keep_little(&self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = socket2::SockRef::from(self).set_tcp_notsent_lowat(UNSENT_BYTES) {
            tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
        }
    }
}

/// Fails a write that has not moved for so long, so that a peer that reads nothing does not hold
/// an answer, and with it a stream of the core's, for ever. Flushing and closing a TCP stream never
/// wait for the peer.
#[derive(Debug)]
pub(super) struct WriteTimeout<T> {
    stream: T,
    timeout: Duration,
    written: Arc<Written>,
    heads: Arc<Heads>,
    keeps_little: bool,
    /// Runs while a write is stuck. In a box: most connections never need one.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<T: Unsent> WriteTimeout<T> {
    pub(super) fn new(
        stream: T,
        timeout: Duration,
        written: Arc<Written>,
        heads: Arc<Heads>,
    ) -> Self {
        Self { stream, timeout, written, heads, keeps_little: false, stuck: None }
    }

    fn prepare(&mut self) {
        if !self.keeps_little && self.written.keeps_little() {
            self.keeps_little = true;
            self.stream.keep_little();
        }
    }

    fn watch(
        &mut self,
        context: &mut Context<'_>,
        write: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = &write {
            if let Ok(bytes) = written {
                self.written.wrote(*bytes);
            }
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
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heads.read();
        }
        read
    }
}

impl<T: AsyncWrite + Unsent + Unpin> AsyncWrite for WriteTimeout<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.prepare();
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.prepare();
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
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpSocket},
    };

    use super::*;

    impl Unsent for tokio::io::DuplexStream {
        fn keep_little(&self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_to_a_peer_that_reads_nothing_fails() {
        let (stream, peer) = tokio::io::duplex(8);
        let mut stream =
            WriteTimeout::new(stream, Duration::from_secs(30), Arc::default(), Arc::default());
        let error = stream.write_all(&[0; 9]).await.expect_err("a timeout");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(peer);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_waited_for() {
        let (stream, mut peer) = tokio::io::duplex(1);
        let mut stream =
            WriteTimeout::new(stream, Duration::from_secs(30), Arc::default(), Arc::default());
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

    /// What the system takes for a peer that reads nothing.
    async fn taken(keep_little: bool) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let peer = TcpSocket::new_v4().expect("a socket");
        peer.set_recv_buffer_size(4_096).expect("a small buffer");
        let address = listener.local_addr().expect("an address");
        let (peer, accepted) = tokio::join!(peer.connect(address), listener.accept());
        let (_peer, stream) = (peer.expect("connected"), accepted.expect("accepted").0);
        let written = Arc::<Written>::default();
        if keep_little {
            written.keep_little();
        }
        let timeout = Duration::from_secs(600);
        let mut stream = WriteTimeout::new(stream, timeout, written, Arc::default());
        let mut taken = 0;
        // What is on its way comes to rest soon.
        while let Ok(bytes) =
            tokio::time::timeout(Duration::from_millis(300), stream.write(&[0; 512])).await
        {
            taken += bytes.expect("open");
        }
        taken
    }

    #[tokio::test]
    async fn little_is_taken_for_a_peer_that_does_not_read() {
        let (little, usual) = (taken(true).await, taken(false).await);
        assert!(little < 512 * 1024 && little < usual / 2, "{little} of {usual} bytes");
    }
}
