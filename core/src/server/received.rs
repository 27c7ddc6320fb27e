//! A connection as it is read: a stranger's slowly, and one that does not even begin to speak is closed.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::strangers::Visitor;

/// What every HTTP/2 connection begins with (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
pub(super) const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read at once of a peer that has shown no token, and how much of it more in each interval. What nobody looks at
/// in time is held in memory: heads of 32 KiB may come by the thousand. The first calls of who has a token fit.
const READ_BURST_BYTES: usize = 256 * 1024;
const READ_BYTES_AN_INTERVAL: usize = 16 * 1024;
const READ_INTERVAL: Duration = Duration::from_millis(10);
/// For a peer to take what TLS still holds for it, or the end of the connection. As long as one that is gone is waited for.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection that is closed where it has to make room, or does not begin to speak HTTP/2.
#[derive(Debug)]
pub(super) struct Received<S> {
    stream: S,
    visitor: Visitor,
    /// Resolves when all connections are to end, whatever is under way on them.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Until the visitor is known.
    vetting: Option<Box<Vetting>>,
    /// While a flush or a shutdown waits for the peer.
    unsent: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Vetting {
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Of the preface.
    missing_bytes: usize,
    deadline: Option<Pin<Box<Sleep>>>,
    /// May still be read.
    allowance: usize,
    /// When there is more.
    pause: Option<Pin<Box<Sleep>>>,
    /// The peer does not take what it is answered: nothing more is read of it, or answers would pile up in memory.
    is_unsent: bool,
    /// Who reads on when it does.
    reader: Option<Waker>,
}

impl Vetting {
    /// How much may be read; waits until it is something.
    fn poll_allowance(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        if self.is_unsent {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        while self.allowance == 0 {
            let pause = || Box::pin(tokio::time::sleep(READ_INTERVAL));
            ready!(self.pause.get_or_insert_with(pause).as_mut().poll(context));
            self.pause = None;
            self.allowance = READ_BYTES_AN_INTERVAL;
        }
        Poll::Ready(self.allowance)
    }

    fn has_written(&mut self, is_unsent: bool) {
        self.is_unsent = is_unsent;
        if !is_unsent && let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl<S> Received<S> {
    pub(super) fn new(
        stream: S,
        (visitor, closed): (Visitor, CancellationToken),
        preface_timeout: Duration,
        cut: &CancellationToken,
    ) -> Self {
        let vetting = Vetting {
            closed: Box::pin(closed.cancelled_owned()),
            missing_bytes: PREFACE_BYTES,
            deadline: Some(Box::pin(tokio::time::sleep(preface_timeout))),
            allowance: READ_BURST_BYTES,
            pause: None,
            is_unsent: false,
            reader: None,
        };
        let cut = Box::pin(cut.clone().cancelled_owned());
        Self { stream, visitor, cut, vetting: Some(Box::new(vetting)), unsent: None }
    }

    /// Whoever waits for its peer is woken when it is cut off.
    fn unless_cut<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_pending() && self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        result
    }

    /// What was written, or that the peer takes nothing.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(vetting) = &mut self.vetting {
            vetting.has_written(result.is_pending());
        }
        if result.is_ready() {
            self.unsent = None;
        }
        self.unless_cut(context, result)
    }

    /// Whether all was sent, for which TLS waits for the peer: h2 asks for nothing else when it has found an error, and would
    /// wait for ever.
    fn sent(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if result.is_ready() {
            self.unsent = None;
            return result;
        }
        let timeout = || Box::pin(tokio::time::sleep(SEND_TIMEOUT));
        if self.unsent.get_or_insert_with(timeout).as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.unless_cut(context, result)
    }

    /// Fails where the connection is to be closed.
    fn vet(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(vetting) = &mut self.vetting else { return Ok(()) };
        if self.visitor.is_known() {
            vetting.has_written(false);
            self.vetting = None;
            return Ok(());
        }
        if vetting.closed.as_mut().poll(context).is_ready() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let deadline = vetting.deadline.as_mut();
        if deadline.is_some_and(|deadline| deadline.as_mut().poll(context).is_ready()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> Received<S> {
    /// A stranger's slowly.
    fn poll_stream(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, vetting, .. } = self;
        let Some(vetting) = vetting else { return Pin::new(stream).poll_read(context, buffer) };
        let allowance = ready!(vetting.poll_allowance(context));
        let room = buffer.initialize_unfilled_to(buffer.remaining().min(allowance));
        let mut part = ReadBuf::new(room);
        ready!(Pin::new(stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        vetting.allowance -= read;
        vetting.missing_bytes = vetting.missing_bytes.saturating_sub(read);
        if vetting.missing_bytes == 0 {
            vetting.deadline = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Connected for Received<S> {
    type ConnectInfo = Visitor;

    fn connect_info(&self) -> Visitor {
        self.visitor.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Received<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.vet(context)?;
        let read = self.poll_stream(context, buffer);
        self.unless_cut(context, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Received<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.vet(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.vet(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.vet(context)?;
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if let Some(vetting) = &mut self.vetting {
            vetting.has_written(flushed.is_pending());
        }
        self.sent(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.vet(context)?;
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.sent(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter, duplex},
        time::Instant,
    };

    use std::sync::Arc;

    use super::*;
    use crate::strangers::Strangers;

    fn someone(strangers: &Arc<Strangers>) -> (Visitor, CancellationToken) {
        Strangers::welcome(strangers, None, Default::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_read_slowly_until_it_is_known() {
        const MORE_BYTES: usize = 1024 * 1024;
        let strangers = Arc::new(Strangers::default());
        let (mut peer, stream) = duplex(4 * MORE_BYTES);
        let mut stream =
            Received::new(stream, someone(&strangers), PREFACE_TIMEOUT, &CancellationToken::new());
        peer.write_all(&vec![b'P'; 4 * MORE_BYTES]).await.expect("sent");
        let mut read = vec![0; MORE_BYTES];
        let begun = Instant::now();
        stream.read_exact(&mut read[..READ_BURST_BYTES]).await.expect("read");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        stream.read_exact(&mut read).await.expect("read");
        let intervals = u32::try_from(MORE_BYTES / READ_BYTES_AN_INTERVAL).expect("few");
        assert!(begun.elapsed() >= READ_INTERVAL * intervals, "{:?}", begun.elapsed());
        stream.visitor.become_known();
        let known = Instant::now();
        stream.read_exact(&mut read).await.expect("read");
        assert_eq!(known.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_peer_that_takes_no_answer_is_not_read_until_it_is_known() {
        let strangers = Arc::new(Strangers::default());
        for becomes_known in [false, true] {
            let (mut peer, stream) = duplex(8);
            let received = Received::new(
                stream,
                someone(&strangers),
                PREFACE_TIMEOUT,
                &CancellationToken::new(),
            );
            let visitor = received.visitor.clone();
            let (mut reader, mut writer) = tokio::io::split(received);
            peer.write_all(&[7; 8]).await.expect("sent");
            let writing = tokio::spawn(async move { writer.write_all(&[0; 16]).await });
            tokio::task::yield_now().await;
            let reading = tokio::spawn(async move { reader.read_u8().await });
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(!reading.is_finished() && !writing.is_finished());
            if becomes_known {
                visitor.become_known();
            }
            // One byte less waits, and the writer looks again.
            let mut answers = [0; 16];
            peer.read_exact(&mut answers[..if becomes_known { 1 } else { 16 }])
                .await
                .expect("read");
            assert_eq!(reading.await.expect("a task").expect("read"), 7);
            peer.read_exact(&mut answers[..if becomes_known { 15 } else { 0 }])
                .await
                .expect("read");
            writing.await.expect("a task").expect("written");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_has_so_long_for_its_preface() {
        let strangers = Arc::new(Strangers::default());
        let never = CancellationToken::new();
        for sent in [0, PREFACE_BYTES - 1, PREFACE_BYTES] {
            let (mut peer, stream) = duplex(64);
            let mut stream = Received::new(stream, someone(&strangers), PREFACE_TIMEOUT, &never);
            peer.write_all(&vec![b'P'; sent]).await.expect("sent");
            let mut read = vec![0; sent];
            stream.read_exact(&mut read).await.expect("read");
            let next = tokio::time::timeout(2 * PREFACE_TIMEOUT, stream.read(&mut [0])).await;
            let is_closed = matches!(next, Ok(Err(_)));
            assert_eq!(is_closed, sent < PREFACE_BYTES, "{sent}: {next:?}");
        }
    }

    #[tokio::test]
    async fn a_cut_ends_a_read_and_a_write_that_wait() {
        let strangers = Arc::new(Strangers::default());
        let cut = CancellationToken::new();
        let (_peer, stream) = duplex(8);
        let received = Received::new(stream, someone(&strangers), PREFACE_TIMEOUT, &cut);
        received.visitor.become_known();
        let (mut reader, mut writer) = tokio::io::split(received);
        let (read, written, ()) = tokio::join!(
            async { reader.read_u8().await },
            async { writer.write_all(&[0; 9]).await },
            async {
                tokio::task::yield_now().await;
                cut.cancel();
            },
        );
        for kind in
            [read.map(drop).map_err(|error| error.kind()), written.map_err(|error| error.kind())]
        {
            assert_eq!(kind, Err(io::ErrorKind::ConnectionAborted));
        }
    }

    /// TLS holds what the peer does not take as a buffer does.
    #[tokio::test(start_paused = true)]
    async fn a_flush_or_a_shutdown_that_waits_for_its_peer_ends() {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum End {
            Evicted,
            Cut,
            Late,
        }
        let strangers = Arc::new(Strangers::default());
        for end in [End::Evicted, End::Cut, End::Late] {
            for is_known in [false, true] {
                if is_known && end == End::Evicted {
                    continue;
                }
                for is_shutdown in [false, true] {
                    let (mut peer, stream) = duplex(PREFACE_BYTES);
                    let (visitor, closed) = someone(&strangers);
                    let cut = CancellationToken::new();
                    let stream = BufWriter::new(stream);
                    let mut stream =
                        Received::new(stream, (visitor, closed.clone()), PREFACE_TIMEOUT, &cut);
                    peer.write_all(&[b'P'; PREFACE_BYTES]).await.expect("sent");
                    stream.read_exact(&mut [0; PREFACE_BYTES]).await.expect("read");
                    if is_known {
                        stream.visitor.become_known();
                    }
                    stream.write_all(&[0; 2 * PREFACE_BYTES]).await.expect("buffered");
                    let begun = Instant::now();
                    let (ended, ()) = tokio::join!(
                        async {
                            if is_shutdown { stream.shutdown().await } else { stream.flush().await }
                        },
                        async {
                            tokio::task::yield_now().await;
                            match end {
                                End::Evicted => closed.cancel(),
                                End::Cut => cut.cancel(),
                                End::Late => {}
                            }
                        },
                    );
                    let (kind, waited) = match end {
                        End::Evicted | End::Cut => {
                            (io::ErrorKind::ConnectionAborted, Duration::ZERO)
                        }
                        End::Late => (io::ErrorKind::TimedOut, SEND_TIMEOUT),
                    };
                    let of = (end, is_known, is_shutdown);
                    assert_eq!(ended.map_err(|error| error.kind()), Err(kind), "{of:?}");
                    assert!(begun.elapsed() - waited < Duration::from_millis(10), "{of:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_peer_that_does_not_take_what_is_flushed_is_not_read() {
        let strangers = Arc::new(Strangers::default());
        let (mut peer, stream) = duplex(8);
        let never = CancellationToken::new();
        let stream = BufWriter::new(stream);
        let received = Received::new(stream, someone(&strangers), PREFACE_TIMEOUT, &never);
        let (mut reader, mut writer) = tokio::io::split(received);
        peer.write_all(&[7]).await.expect("sent");
        writer.write_all(&[0; 16]).await.expect("buffered");
        let flushing = tokio::spawn(async move { writer.flush().await });
        tokio::task::yield_now().await;
        let reading = tokio::spawn(async move { reader.read_u8().await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!reading.is_finished() && !flushing.is_finished());
        peer.read_exact(&mut [0; 16]).await.expect("read");
        assert_eq!(reading.await.expect("a task").expect("read"), 7);
        flushing.await.expect("a task").expect("flushed");
    }
}
