//! Writes of one transaction, and who waits for them.

use netrox_proto::request_id::RequestId;
use tokio::time::Instant;
use tracing::{Span, field::display};

use super::{Queued, answer::WriteResult, caller::Caller, write::Write};
use crate::{error::Error, trace};

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    pub(super) callers: Callers,
}

/// In the order of their writes. Writes of our own have none.
#[derive(Debug, Default)]
pub(super) struct Callers(Vec<Caller>);

impl Batch {
    pub(super) fn of(queued: Queued) -> Self {
        let Queued { write, caller } = queued;
        Self { writes: vec![write], callers: Callers(vec![caller]) }
    }

    /// One for so many writes.
    pub(super) fn with_capacity(len: usize) -> Self {
        Self { writes: Vec::with_capacity(len), callers: Callers(Vec::with_capacity(len)) }
    }

    pub(super) fn push(&mut self, Queued { write, caller }: Queued) {
        self.writes.push(write);
        self.callers.0.push(caller);
    }

    /// One that nobody waits for.
    pub(super) fn own(writes: Vec<Write>) -> Self {
        Self { writes, callers: Callers::default() }
    }

    /// What is logged about it: of one write it has the id, of several it follows what they have. Where one of several is at
    /// fault, each is tried alone.
    pub(super) fn span(&self) -> Span {
        let Callers(callers) = &self.callers;
        let request = match &callers[..] {
            [caller] => caller.request(),
            _ => None,
        };
        let trace_id = request.and_then(RequestId::trace_id).map(display);
        let (writes, request_id) = (self.writes.len(), request.map(display));
        let span = tracing::info_span!("batch", writes, request_id, trace_id);
        for caller in callers {
            span.follows_from(caller.span());
        }
        span
    }

    /// The span of it in a trace of its own, where any of the writes is traced.
    pub(super) fn traced(&mut self) -> Option<netrox_traces::Span> {
        let Callers(callers) = &mut self.callers;
        let traced = callers.iter_mut().filter_map(|caller| caller.traced.as_mut());
        trace::batch(self.writes.len(), traced)
    }

    /// The writes that somebody still waits for.
    pub(super) fn into_queued(self) -> impl Iterator<Item = Queued> {
        let Self { writes, callers: Callers(callers) } = self;
        let queued = writes.into_iter().zip(callers);
        queued
            .map(|(write, caller)| Queued { write, caller })
            .filter(|queued| queued.caller.is_awaited())
    }

    pub(super) fn answer(&mut self, result: Result<Vec<WriteResult>, Error>) {
        match result {
            Ok(answers) => self.callers.tell(answers),
            Err(error) => self.callers.tell_all(&error),
        }
    }
}

impl Callers {
    /// What asked for each of the writes.
    pub(super) fn requests(&self) -> Vec<Option<RequestId>> {
        self.0.iter().map(|caller| caller.request().cloned()).collect()
    }

    /// What asked for one of them.
    pub(super) fn request(&self, index: usize) -> Option<&RequestId> {
        self.0.get(index).and_then(Caller::request)
    }

    /// Whether somebody still waits for an answer.
    pub(super) fn wait(&self) -> bool {
        self.0.iter().any(Caller::is_awaited)
    }

    pub(super) fn tell_all(&mut self, error: &Error) {
        self.tell(std::iter::repeat_with(|| Err(error.clone())));
    }

    fn tell(&mut self, answers: impl IntoIterator<Item = WriteResult>) {
        for (caller, answer) in self.0.iter_mut().zip(answers) {
            caller.tell(answer);
        }
    }

    /// Until when the first of them awaits what became of a commit, and until when the last does.
    pub(super) fn doubt_ends(&self) -> Option<(Instant, Instant)> {
        let awaited = self.0.iter().filter(|caller| caller.is_awaited());
        let ends = awaited.map(|caller| (caller.doubt_ends(), caller.doubt_ends()));
        ends.reduce(|(first, last), (one, _)| (first.min(one), last.max(one)))
    }

    /// Tells those that have waited for long enough.
    pub(super) fn tell_late(&mut self, now: Instant, error: &Error) {
        for caller in self.0.iter_mut().filter(|caller| caller.doubt_ends() <= now) {
            caller.tell(Err(error.clone()));
        }
    }
}
