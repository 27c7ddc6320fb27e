//! Who waits for a write, and for how long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use netrox_proto::request_id::RequestId;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};

use tracing::Span;

use super::{MAX_AGE, answer::WriteResult};
use crate::{error::Error, metrics::WaitingWrite, trace};

/// How old a write is when it comes, and how long it may wait from then on that it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) age: Duration,
    /// While the database is away. With none it is refused at once.
    pub(crate) wait: Duration,
    /// Where its caller keeps what it sent.
    pub(crate) returns: Option<Returns>,
    /// Of what is to be written.
    pub(crate) request: Option<RequestId>,
}

/// Of a stream whose caller keeps what it sent, and can send it again, here or to another core: while the database is
/// away, what has not begun to be stored is given back (chat.proto, `HANDED_BACK`). From then on all that comes on the
/// stream is, so that nothing is stored before what was sent before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Returns(Arc<AtomicBool>);

impl Returns {
    fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn have_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct Caller {
    /// Absent once it was told.
    answer: Option<oneshot::Sender<WriteResult>>,
    sent: Instant,
    wait: Duration,
    returns: Option<Returns>,
    request: Option<RequestId>,
    /// From when it was queued until it is answered.
    span: Span,
    /// The same, where the request is traced.
    pub(super) traced: Option<netrox_traces::Span>,
    /// What the write holds in memory, also when its caller was told.
    _room: OwnedSemaphorePermit,
    /// Until it was told.
    counted: Option<WaitingWrite>,
}

impl Caller {
    pub(super) fn new(
        answer: oneshot::Sender<WriteResult>,
        terms: Terms,
        room: OwnedSemaphorePermit,
        counted: WaitingWrite,
    ) -> Self {
        let (now, Terms { age, wait, returns, request }) = (Instant::now(), terms);
        let sent = now.checked_sub(age).unwrap_or(now);
        let (traced, request) = trace::write(request);
        let span = tracing::debug_span!("write", request_id = request.as_ref().map(display));
        Self {
            answer: Some(answer),
            sent,
            wait,
            returns,
            request,
            span,
            traced,
            _room: room,
            counted: Some(counted),
        }
    }

    pub(super) fn request(&self) -> Option<&RequestId> {
        self.request.as_ref()
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn tell(&mut self, answer: WriteResult) {
        if let (Err(Error::OutcomeUnknown), Some(returns)) = (&answer, &self.returns) {
            // It will be sent again, and so is what came after it.
            returns.begin();
        }
        if let (Err(error), Some(span)) = (&answer, &mut self.traced) {
            trace::refused(span, error);
        }
        // Before anybody is told.
        self.traced = None;
        let is_unknown = matches!(answer, Err(Error::OutcomeUnknown));
        if let Some(counted) = self.counted.take()
            && is_unknown
        {
            counted.is_unknown();
        }
        if let Some(caller) = self.answer.take() {
            // A caller that went away does not want it.
            let _ = caller.send(answer);
        }
    }

    /// A call that was cancelled, and a stream that broke, want nothing any more that has not begun.
    pub(super) fn is_awaited(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }

    /// Gives the write back, where its caller keeps it; gives whether it does.
    pub(super) fn hand_back(&mut self) -> bool {
        let Some(returns) = &self.returns else { return false };
        returns.begin();
        self.tell(Err(Error::HandedBack));
        true
    }

    /// Whether what came before it on its stream was given back.
    pub(super) fn follows_returned(&self) -> bool {
        self.returns.as_ref().is_some_and(Returns::have_begun)
    }

    /// Whether it has waited for a database that is away for as long as it may.
    pub(super) fn is_tired(&self, now: Instant) -> bool {
        now >= self.sent + self.wait
    }

    /// Whether it is too old to be begun: its caller may have been told that it failed, and have sent more.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now > self.sent + self.wait.max(MAX_AGE)
    }

    /// Until when it awaits what became of a commit that failed. Whoever keeps what it sent finds out sooner at another
    /// core.
    pub(super) fn doubt_ends(&self) -> Instant {
        let wait = if self.returns.is_some() { MAX_AGE } else { self.wait.max(MAX_AGE) };
        self.sent + wait
    }
}
