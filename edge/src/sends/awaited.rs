//! Whoever waits for what becomes of a command, with its span where it is traced.

use netrox_proto::v1::Failure;
use netrox_traces::Span;
use tokio::sync::oneshot;

use super::{SendResult, Sent};
use crate::trace;

/// The span ends when it is told, or nobody will be.
#[derive(Debug)]
pub(super) struct Awaited {
    answer: oneshot::Sender<SendResult>,
    span: Option<Span>,
}

impl Awaited {
    /// With where it is awaited.
    pub(super) fn new(span: Option<Span>) -> (Self, oneshot::Receiver<SendResult>) {
        let (answer, pending) = oneshot::channel();
        (Self { answer, span }, pending)
    }

    pub(super) fn took_effect(self, sent: Sent) {
        self.tell(Ok(sent));
    }

    pub(super) fn failed(mut self, failure: Failure) {
        if let Some(span) = &mut self.span {
            trace::refused(span, &failure);
        }
        self.tell(Err(failure));
    }

    fn tell(self, result: SendResult) {
        // It has ended before anybody knows.
        drop(self.span);
        // The sender may have gone.
        let _ = self.answer.send(result);
    }
}
