//! Marks of what was seen and delivered. Over the user's rate they wait, and while one of their thread is under way; those that
//! wait become one. They are never refused for it, and the last word always comes. Their answers wait for nobody else's.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, stream::FuturesUnordered};
use netrox_proto::{
    request_id::RequestId,
    v1::{ErrorReason, Failure},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    Session,
    answers::{Reply, note_sent},
    read::POSTPONED_INTERVAL,
};
use crate::{
    sends::{Mark, PendingSend, SendCommand, SendResult, Submission},
    wire::Echo,
    ws::close::CloseReason,
};

/// Connections are many, and hardly any ever holds one.
#[derive(Default)]
pub(super) struct Receipts(Option<Box<State>>);

#[derive(Default)]
struct State {
    /// In the order in which they are due.
    waiting: VecDeque<Waiting>,
    under_way: FuturesUnordered<UnderWay>,
    /// Words of all of them.
    count: usize,
}

struct Waiting {
    marks: Marks,
    /// By the rate, or because there was no room for it. Whatever it says, one of a thread and kind is under way at a time.
    due: Instant,
}

/// Marks of one kind and thread, as one.
struct Marks {
    /// The furthest of them.
    mark: Mark,
    words: Vec<Word>,
}

/// What a client said in one frame.
struct Word {
    up_to: i64,
    echo: Echo,
}

struct UnderWay {
    marks: Option<Marks>,
    pending: PendingSend,
}

impl Future for UnderWay {
    type Output = Option<(Marks, RequestId, SendResult)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(result) = Pin::new(&mut self.pending).poll(cx) else {
            return Poll::Pending;
        };
        let id = self.pending.request_id().clone();
        Poll::Ready(self.marks.take().map(|marks| (marks, id, result)))
    }
}

impl Marks {
    /// Whether a mark is of the same thread and kind.
    fn are_like(&self, mark: &Mark) -> bool {
        (self.mark.kind, self.mark.peer) == (mark.kind, mark.peer)
    }

    fn new(mark: Mark, echo: Echo) -> Self {
        Self { mark, words: vec![Word { up_to: mark.up_to, echo }] }
    }

    /// Gives how many words there are more. Those that want no answer of their own are one.
    fn add(&mut self, up_to: i64, echo: Echo) -> usize {
        self.mark.up_to = up_to.max(self.mark.up_to);
        if !echo.has_reference()
            && let Some(word) = self.words.iter_mut().find(|word| !word.echo.has_reference())
        {
            word.up_to = up_to.max(word.up_to);
            return 0;
        }
        self.words.push(Word { up_to, echo });
        1
    }

    /// Without those that went too far: the others may be good.
    fn split(self) -> (Option<Self>, Vec<Word>) {
        let Self { mark, words } = self;
        let (refused, left): (Vec<_>, Vec<_>) =
            words.into_iter().partition(|word| word.up_to == mark.up_to);
        let up_to = left.iter().map(|word| word.up_to).max();
        (up_to.map(|up_to| Self { mark: Mark { up_to, ..mark }, words: left }), refused)
    }
}

impl State {
    /// Whether nothing but its time keeps it.
    fn is_next(&self, waiting: &Waiting) -> bool {
        let mark = &waiting.marks.mark;
        !self.under_way.iter().filter_map(|it| it.marks.as_ref()).any(|marks| marks.are_like(mark))
    }
}

impl Receipts {
    /// How many frames are not answered.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |state| state.count)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the next one is due, if one waits for its time.
    pub(super) fn due(&self) -> Option<Instant> {
        let state = self.0.as_ref()?;
        state.waiting.iter().find(|waiting| state.is_next(waiting)).map(|waiting| waiting.due)
    }

    /// Adds a mark to those of its kind and thread that wait. Gives it back if there are none.
    fn join(&mut self, mark: Mark, echo: Echo) -> Option<Echo> {
        let Some(state) = &mut self.0 else { return Some(echo) };
        match state.waiting.iter_mut().find(|waiting| waiting.marks.are_like(&mark)) {
            Some(waiting) => {
                state.count += waiting.marks.add(mark.up_to, echo);
                None
            }
            None => Some(echo),
        }
    }

    fn push(&mut self, marks: Marks, due: Instant) {
        let state = self.0.get_or_insert_default();
        state.count += marks.words.len();
        state.waiting.push_back(Waiting { marks, due });
    }

    fn push_front(&mut self, marks: Marks, due: Instant) {
        let state = self.0.get_or_insert_default();
        state.count += marks.words.len();
        state.waiting.push_front(Waiting { marks, due });
    }

    /// The next one that is due by `now`.
    fn pop_due(&mut self, now: Instant) -> Option<Marks> {
        let state = self.0.as_ref()?;
        let is_next = |waiting: &Waiting| waiting.due <= now && state.is_next(waiting);
        let index = state.waiting.iter().position(is_next)?;
        self.pop(index)
    }

    fn pop(&mut self, index: usize) -> Option<Marks> {
        let state = self.0.as_mut()?;
        let waiting = state.waiting.remove(index)?;
        state.count -= waiting.marks.words.len();
        Some(waiting.marks)
    }

    fn begin(&mut self, marks: Marks, pending: PendingSend) {
        let state = self.0.get_or_insert_default();
        state.count += marks.words.len();
        state.under_way.push(UnderWay { marks: Some(marks), pending });
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<(Marks, RequestId, SendResult)> {
        let state = self.0.as_mut()?;
        let Poll::Ready(Some(Some(answered))) = Pin::new(&mut state.under_way).poll_next(cx) else {
            return None;
        };
        state.count -= answered.0.words.len();
        if state.under_way.is_empty() && state.waiting.is_empty() {
            self.0 = None;
        }
        Some(answered)
    }
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Takes a mark in that was read.
    pub(super) fn take_in_mark(&mut self, mark: Mark, echo: Echo, now: Instant) {
        if let Some(echo) = self.receipts.join(mark, echo) {
            let due = self.context.limiter.receipt(self.connection.user());
            self.receipts.push(Marks::new(mark, echo), due.unwrap_or(now));
        }
        self.submit_receipts(now);
    }

    /// Submits the marks that need not wait any more.
    pub(super) fn submit_receipts(&mut self, now: Instant) {
        // There is no time left to wait.
        let is_closing = self.closing.is_some();
        while let Some(marks) = self.next_receipt(is_closing, now) {
            let sends = &self.context.sends;
            let sender = self.connection.sender(&mut self.sender, sends);
            match sends.submit(sender, SendCommand::Mark(marks.mark), now) {
                Submission::Accepted(pending) => self.receipts.begin(marks, pending),
                Submission::NoRoom(_) => {
                    return self.receipts.push_front(marks, now + POSTPONED_INTERVAL);
                }
            }
        }
    }

    fn next_receipt(&mut self, is_closing: bool, now: Instant) -> Option<Marks> {
        if is_closing { self.receipts.pop(0) } else { self.receipts.pop_due(now) }
    }

    /// Gives whether there was any answer.
    pub(super) fn poll_receipts(&mut self, cx: &mut Context<'_>) -> bool {
        if self.receipts.is_empty() {
            return false;
        }
        self.submit_receipts(Instant::now());
        let mut progress = false;
        while let Some((marks, id, result)) = self.receipts.poll_next(cx) {
            progress = true;
            // What waited for it is polled with the rest.
            self.submit_receipts(Instant::now());
            match result {
                Ok(sent) => {
                    note_sent(self.connection.user(), &id, &sent);
                    for word in marks.words {
                        let frame = self.generation().sent(&word.echo, &sent);
                        if frame.is_none_or(|frame| self.tell(frame)) {
                            self.note_answered();
                        }
                    }
                }
                Err(failure) => self.refuse_marks(marks, failure, &id),
            }
        }
        progress
    }

    fn refuse_marks(&mut self, marks: Marks, failure: Failure, id: &RequestId) {
        let user = self.connection.user();
        let reason = failure.reason();
        if matches!(reason, ErrorReason::UserDeleted | ErrorReason::UserUnknown) {
            self.context.known_users.forget(user);
        }
        if reason == ErrorReason::UserDeleted {
            return self.begin_close(CloseReason::UserDeleted);
        }
        let words = if reason == ErrorReason::InvalidField {
            let (left, refused) = marks.split();
            if let Some(left) = left {
                self.receipts.push_front(left, Instant::now());
            }
            refused
        } else {
            marks.words
        };
        let span = tracing::info_span!("session", user.id = %user);
        let refused = span.in_scope(|| id.sync_scope(|| self.generation().failed(failure)));
        let refuse = |word: Word| Reply::Refused(word.echo, refused.clone());
        self.answers.extend(words.into_iter().map(refuse));
    }

    /// What was read takes effect, whatever becomes of the connection.
    pub(super) fn submit_last_receipts(&mut self) {
        let context = Arc::clone(&self.context);
        while let Some(marks) = self.receipts.pop(0) {
            let sender = self.connection.sender(&mut self.sender, &context.sends);
            let command = SendCommand::Mark(marks.mark);
            context.sends.submit_last(sender, command, Instant::now());
        }
    }
}
