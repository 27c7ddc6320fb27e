//! Connections on which nobody has shown a service token yet. Whatever they send is held for them, so there are few, which
//! are read slowly; and one that does not even begin to speak is closed.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, timeout_at},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// Beyond it the oldest is closed of the address that has the most. Who has a token shows it with the first call.
const MAX_STRANGERS: usize = 16;
/// For the first call: while none of them has had it, another connection waits to be accepted. Short, since strangers without
/// end keep everybody waiting so.
const GRACE: Duration = Duration::from_millis(50);
/// At a time on a connection of a stranger: health is asked by one or two, and what shows a wrong token is answered at once.
const MAX_CALLS: usize = 64;
/// What every HTTP/2 connection begins with (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
pub(super) const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read at once of a peer that has shown no token, and how much of it more in each interval. What nobody looks at
/// in time is held in memory: heads of 32 KiB may come by the thousand. The first calls of who has a token fit.
const READ_BURST_BYTES: usize = 256 * 1024;
const READ_BYTES_AN_INTERVAL: usize = 16 * 1024;
const READ_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(super) struct Strangers {
    state: Mutex<State>,
    /// One has gone, or is no stranger any more.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    /// By age.
    connections: BTreeMap<u64, Unknown>,
}

/// A connection of somebody who has shown no token.
#[derive(Debug)]
struct Unknown {
    from: Option<IpAddr>,
    came: Instant,
    /// Cancelled where it has to make room.
    closed: CancellationToken,
}

impl State {
    fn most_crowding(&self) -> Option<u64> {
        let of = |wanted| self.connections.values().filter(|it| it.from == wanted).count();
        // Of those alike the first, which is the oldest.
        let oldest = self.connections.iter().rev().max_by_key(|(_, it)| of(it.from))?;
        Some(*oldest.0)
    }
}

impl Strangers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when there is a place, or somebody who has had time enough to make room.
    pub(super) async fn room(&self) {
        loop {
            let left = self.left.notified();
            let waits_until = {
                let state = self.state();
                let oldest = state.connections.values().next().map(|oldest| oldest.came + GRACE);
                oldest.filter(|_| state.connections.len() >= MAX_STRANGERS)
            };
            let Some(until) = waits_until.filter(|until| *until > Instant::now()) else { return };
            // Either is a reason to look again.
            let _ = timeout_at(until, left).await;
        }
    }

    fn welcome(strangers: &Arc<Self>, from: Option<IpAddr>) -> (Visitor, CancellationToken) {
        let closed = CancellationToken::new();
        let mut state = strangers.state();
        let id = state.next_id;
        state.next_id += 1;
        let unknown = Unknown { from, came: Instant::now(), closed: closed.clone() };
        state.connections.insert(id, unknown);
        let crowding = (state.connections.len() > MAX_STRANGERS).then(|| state.most_crowding());
        if let Some(crowding) = crowding.flatten().and_then(|id| state.connections.remove(&id)) {
            tracing::debug!(from = ?crowding.from, "a connection without a token made room for another");
            crowding.closed.cancel();
        }
        drop(state);
        let strangers = Arc::clone(strangers);
        let calls = Arc::new(Semaphore::new(MAX_CALLS));
        let stranger = Stranger { id, from, strangers, calls, is_known: false.into() };
        (Visitor(Arc::new(stranger)), closed)
    }
}

#[derive(Debug)]
struct Stranger {
    id: u64,
    from: Option<IpAddr>,
    strangers: Arc<Strangers>,
    /// Free for calls without a token.
    calls: Arc<Semaphore>,
    is_known: AtomicBool,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if !*self.is_known.get_mut() {
            self.strangers.state().connections.remove(&self.id);
            self.strangers.left.notify_one();
        }
    }
}

/// Who made a connection; goes with each of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Visitor(Arc<Stranger>);

impl Visitor {
    pub(crate) fn from(&self) -> Option<IpAddr> {
        self.0.from
    }

    /// A request carried a token.
    pub(crate) fn become_known(&self) {
        if !self.0.is_known.swap(true, Ordering::Relaxed) {
            self.0.strangers.state().connections.remove(&self.0.id);
            self.0.strangers.left.notify_one();
        }
    }

    /// For one more call without a token.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.calls).try_acquire_owned().ok()
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.is_known.load(Ordering::Relaxed)
    }
}

/// A connection that is closed where it has to make room, or does not begin to speak HTTP/2.
#[derive(Debug)]
pub(super) struct Received<S> {
    stream: S,
    visitor: Visitor,
    /// Resolves when all connections are to end, whatever is under way on them.
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Until the visitor is known.
    vetting: Option<Box<Vetting>>,
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
        from: Option<IpAddr>,
        strangers: &Arc<Strangers>,
        preface_timeout: Duration,
        cut: &CancellationToken,
    ) -> Self {
        let (visitor, closed) = Strangers::welcome(strangers, from);
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
        Self { stream, visitor, cut, vetting: Some(Box::new(vetting)) }
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
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some([127, 0, 0, last].into())
    }

    #[test]
    fn who_crowds_makes_room_and_who_is_known_stays() {
        let strangers = Arc::new(Strangers::default());
        let welcome = |last| Strangers::welcome(&strangers, address(last));
        let (known, known_closed) = welcome(1);
        known.become_known();
        let other = welcome(2);
        let crowd: Vec<_> = (1..MAX_STRANGERS).map(|_| welcome(3)).collect();
        let closed = || crowd.iter().map(|(_, closed)| closed.is_cancelled()).collect::<Vec<_>>();
        assert!(!closed().contains(&true));
        let late = welcome(4);
        let later = welcome(3);
        assert!(closed()[..2].iter().all(|closed| *closed), "{:?}", closed());
        assert!(!closed()[2..].contains(&true));
        for (_, closed) in [&other, &late, &later] {
            assert!(!closed.is_cancelled());
        }
        assert!(!known_closed.is_cancelled());
        drop((crowd, other, late, later));
        assert!(strangers.state().connections.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_read_slowly_until_it_is_known() {
        const MORE_BYTES: usize = 1024 * 1024;
        let strangers = Arc::new(Strangers::default());
        let (mut peer, stream) = duplex(4 * MORE_BYTES);
        let mut stream =
            Received::new(stream, None, &strangers, PREFACE_TIMEOUT, &CancellationToken::new());
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
            let received =
                Received::new(stream, None, &strangers, PREFACE_TIMEOUT, &CancellationToken::new());
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
            let mut stream = Received::new(stream, None, &strangers, PREFACE_TIMEOUT, &never);
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
        let received = Received::new(stream, None, &strangers, PREFACE_TIMEOUT, &cut);
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
}
