//! Request bodies that nobody reads to their end.
//!
//! A client that is refused in the middle of its upload must be able to read why, also one that writes all before it
//! reads. Were the connection closed with bytes unread, the kernel would reset it and the answer be lost
//! (PROTOCOL section 2).

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::lingering::Lingering;
use crate::strangers::Visitor;

/// How much is read for nothing at most.
const KNOWN_BYTES: u64 = 64 * 1024 * 1024;
/// As much of somebody without a good token.
const STRANGER_BYTES: u64 = 8 * 1024 * 1024;
/// In each such time this much has to come: 4 KiB a second.
const WINDOW: Duration = Duration::from_secs(30);
const WINDOW_BYTES: u64 = 30 * 4 * 1024;

/// A body whose rest is read and thrown away when it is dropped.
pub(super) struct LingeringBody {
    /// Absent after its end.
    body: Option<Incoming>,
    /// The client may send nothing before it is told to, by the first read (RFC 9110 section 10.1.1).
    is_held_back: bool,
    /// Since when the next bytes are awaited, if they are.
    idle_since: Option<Instant>,
    course: Course,
    visitor: Visitor,
    lingering: Arc<Lingering>,
}

/// How far a request is.
#[derive(Clone, Default)]
pub(super) struct Course(Arc<(AtomicBool, Notify)>);

impl Course {
    fn end_body(&self) {
        self.0.0.store(true, Ordering::Relaxed);
    }

    /// Whether all of its body was read. One that has come is being read when the answer is there, by whoever throws it away.
    pub(super) async fn has_ended(&self) -> bool {
        const TURNS: usize = 2;
        for _ in 0..TURNS {
            if self.0.0.load(Ordering::Relaxed) {
                return true;
            }
            tokio::task::yield_now().await;
        }
        self.0.0.load(Ordering::Relaxed)
    }

    /// Its answer is on its way.
    pub(super) fn answer(&self) {
        self.0.1.notify_one();
    }

    async fn answered(&self) {
        self.0.1.notified().await;
    }
}

impl LingeringBody {
    pub(super) fn new(
        body: Incoming,
        expects_continue: bool,
        visitor: Visitor,
        lingering: &Arc<Lingering>,
    ) -> Self {
        let mut body = Self {
            body: Some(body),
            is_held_back: expects_continue,
            idle_since: None,
            course: Course::default(),
            visitor,
            lingering: Arc::clone(lingering),
        };
        body.look_for_end();
        body
    }

    pub(super) fn course(&self) -> Course {
        self.course.clone()
    }

    fn look_for_end(&mut self) {
        if self.body.as_ref().is_none_or(Body::is_end_stream) {
            self.body = None;
            self.course.end_body();
        }
    }
}

impl Body for LingeringBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_held_back = false;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(context);
        match &frame {
            Poll::Pending => {
                self.idle_since.get_or_insert_with(Instant::now);
            }
            Poll::Ready(Some(Ok(_))) => {
                self.idle_since = None;
                self.look_for_end();
            }
            Poll::Ready(None) => {
                self.body = None;
                self.course.end_body();
            }
            // It broke off: there is nothing to wait for.
            Poll::Ready(Some(Err(_))) => self.body = None,
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for LingeringBody {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        let idle_timeout = self.lingering.idle_timeout;
        // It was waited for already.
        if self.idle_since.is_some_and(|since| since.elapsed() >= idle_timeout) {
            return;
        }
        let is_known = self.visitor.is_known();
        let max_bytes = if is_known { KNOWN_BYTES } else { STRANGER_BYTES };
        let place = Lingering::enter(&self.lingering, self.visitor.address, is_known);
        let (draining, course) = (self.lingering.tasks.draining().clone(), self.course.clone());
        let is_held_back = self.is_held_back;
        self.lingering.tasks.spawn(async move {
            let drained = async {
                // Some do not wait for ever to be told to send it; reading it earlier would tell them to.
                if is_held_back {
                    course.answered().await;
                }
                drain(body, max_bytes, idle_timeout, |bytes| place.read(bytes)).await
            };
            let drained = place.until_cut(drained);
            // What comes later is not worth the wait: the connection is closed.
            if draining.run_until_cancelled(drained).await == Some(Some(true)) {
                course.end_body();
            }
        });
    }
}

/// Reads a body for as long as it comes; gives whether it was read to its end.
async fn drain<B>(
    body: B,
    max_bytes: u64,
    idle_timeout: Duration,
    mut tell: impl FnMut(u64),
) -> bool
where
    B: Body,
{
    let mut body = pin!(body);
    let mut bytes = 0;
    loop {
        let before = bytes;
        let window = async {
            loop {
                match timeout(idle_timeout, body.frame()).await {
                    Ok(Some(Ok(frame))) => {
                        let read = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                        bytes += read;
                        tell(read);
                        if bytes > max_bytes {
                            return false;
                        }
                    }
                    Ok(None) => return true,
                    Ok(Some(Err(_))) | Err(_) => return false,
                }
            }
        };
        match timeout(WINDOW, window).await {
            Ok(is_whole) => return is_whole,
            Err(_) if bytes - before < WINDOW_BYTES => return false,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use http_body_util::StreamBody;

    use super::*;

    /// Pieces of a size, one each so many milliseconds, and whether there is an end.
    async fn drained(pieces: usize, bytes: usize, every_ms: u64, ends: bool) -> (bool, u64) {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(every_ms)).await;
            Ok::<_, hyper::Error>(Frame::data(Bytes::from(vec![0; bytes])))
        });
        let rest = stream::pending().take(usize::from(!ends));
        let mut read = 0;
        let body = StreamBody::new(pieces.chain(rest));
        let idle_timeout = Duration::from_secs(30);
        let is_whole = drain(body, STRANGER_BYTES, idle_timeout, |bytes| read += bytes).await;
        (is_whole, read)
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_slowly_is_read_for_as_long_as_it_comes() {
        // 7 MiB at 8 KiB a second: a quarter of an hour.
        assert_eq!(drained(896, 8 * 1024, 1_000, true).await, (true, 7 << 20));
        assert_eq!(drained(0, 0, 0, true).await, (true, 0));
        // What has ended but for the end itself.
        assert_eq!(drained(4, 1024, 1, false).await, (false, 4 << 10));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_or_too_slow_is_cut() {
        let (is_whole, read) = drained(10_000, 64 * 1024, 1, true).await;
        assert!(!is_whole);
        assert_eq!(read, STRANGER_BYTES + 64 * 1024);
        // A byte a second, which is never idle.
        let begun = Instant::now();
        assert!(!drained(100_000, 1, 1_000, true).await.0);
        assert_eq!(begun.elapsed().as_secs(), WINDOW.as_secs());
        // Each time is looked at for itself, whatever came before.
        let begun = Instant::now();
        let mut every = [1; 1_000].into_iter().chain(std::iter::repeat(1_000));
        let pieces = stream::iter(0..100_000).then(|_| {
            let pause = Duration::from_millis(every.next().unwrap_or_default());
            async move {
                tokio::time::sleep(pause).await;
                Ok::<_, hyper::Error>(Frame::data(Bytes::from_static(&[0; 1_000])))
            }
        });
        assert!(!drain(StreamBody::new(pieces), STRANGER_BYTES, WINDOW, |_| ()).await);
        assert_eq!(begun.elapsed().as_secs(), 2 * WINDOW.as_secs());
    }
}
