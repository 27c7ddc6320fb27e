//! The commands of a lane, by how far each is: waiting, on the stream, or in doubt. No I/O in here.

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
    time::Duration,
};

use netrox_proto::v1::{ErrorReason, Failure, SendMessagesRequest, send_messages_request::Request};
use tokio::{sync::oneshot, time::Instant};
use tonic::Code;

use super::Outcome;

/// The core stops reading a stream beyond it (chat.proto, `SendMessages`).
pub(super) const MAX_UNANSWERED: usize = 1_024;
pub(super) const MAX_WAITING: usize = 4_096;
pub(super) const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// How long a command waits for a place on the stream.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How long the answer to a command is awaited, repetitions included.
const MAX_DOUBT: Duration = Duration::from_secs(5);
/// How long a command counts as new, whatever is done with it. A core begins nothing that is 3 s old (chat.proto,
/// `sent_after_ms`): with what a commit may take, all ends before the doubt does.
const NEW: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct State {
    pub(super) link: Link,
    pub(super) closing: bool,
    /// Grows with each stream; the requests of an earlier one take nothing more.
    pub(super) generation: u64,
    /// When the stream was opened, if that is known well enough to tell the core by it how old a request is.
    pub(super) opened: Option<Instant>,
    /// To be repeated, in the order submitted; they go before what is waiting.
    pub(super) in_doubt: VecDeque<OnStream>,
    /// To be repeated after a moment: the core could not tell yet.
    pub(super) in_doubt_later: Vec<OnStream>,
    /// Never on a stream.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) waiting_bytes: usize,
    /// On the stream, by request id.
    pub(super) unanswered: BTreeMap<u64, OnStream>,
    pub(super) last_request_id: u64,
    /// Of the stream's requests, when they wait for a command or a place.
    pub(super) requests: Option<Waker>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Not known to be down: commands wait.
    #[default]
    Connecting,
    Up,
    Down,
}

pub(super) struct Waiting {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Outcome>,
    pub(super) submitted: Instant,
}

pub(super) struct OnStream {
    /// Absent once the command was given up; the core has yet to answer it.
    pub(super) answer: Option<oneshot::Sender<Outcome>>,
    pub(super) submitted: Instant,
    /// What to repeat; absent in process.
    pub(super) request: Option<Request>,
    /// Whether an earlier copy may have been stored, or may be still.
    pub(super) repeated: bool,
}

/// What an answer of the core says of a command.
pub(super) enum Verdict {
    Known(Outcome),
    /// What became of it can only be found out by another repetition.
    InDoubt,
}

/// Answers to be given when the lock is released.
pub(super) type Answers = Vec<(oneshot::Sender<Outcome>, Failure)>;

impl State {
    /// Gives up what was never on a stream, or is on none, and is too old to be put on one.
    pub(super) fn expire_unsent(&mut self, now: Instant) -> Answers {
        let mut answers = Answers::new();
        while let Some(command) =
            self.waiting.pop_front_if(|command| now - command.submitted >= MAX_WAIT)
        {
            self.waiting_bytes -= body_bytes(&command.request);
            answers.push((command.answer, overloaded()));
        }
        while let Some(command) =
            self.in_doubt.pop_front_if(|command| now - command.submitted >= MAX_DOUBT)
        {
            answers.extend(command.answer.map(|answer| (answer, outcome_unknown())));
        }
        answers
    }

    pub(super) fn expire(&mut self, now: Instant) -> Answers {
        let mut answers = self.expire_unsent(now);
        // What is given up keeps its place on the stream: the core has not answered it.
        let old =
            self.unanswered.values_mut().filter(|command| now - command.submitted >= MAX_DOUBT);
        answers.extend(old.filter_map(|command| Some((command.answer.take()?, outcome_unknown()))));
        answers
    }

    /// Puts what was to wait for a moment before what is waiting; gives whether there was anything.
    ///
    /// In the order submitted, which the request ids are not: a message that was repeated has a higher one than those that
    /// were sent after it.
    pub(super) fn repeat_later_ones(&mut self) -> bool {
        let is_any = !self.in_doubt_later.is_empty();
        if is_any {
            // Those of one instant stay as they are: what was on a stream came before what was not put on it again.
            let mut in_doubt: Vec<_> = self.in_doubt_later.drain(..).collect();
            in_doubt.extend(self.in_doubt.drain(..));
            in_doubt.sort_by_key(|command| command.submitted);
            self.in_doubt = in_doubt.into();
        }
        is_any
    }

    /// Nobody waits for anything but what was given up.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.in_doubt.is_empty()
            && self.in_doubt_later.is_empty()
            && self.unanswered.values().all(|command| command.answer.is_none())
    }

    /// Nothing will be sent or answered any more.
    pub(super) fn give_up(&mut self) -> Answers {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let in_doubt = std::mem::take(&mut self.in_doubt);
        let in_doubt_later = std::mem::take(&mut self.in_doubt_later);
        let unanswered = std::mem::take(&mut self.unanswered).into_values();
        let never_sent = waiting.into_iter().map(|command| (command.answer, unreachable_core()));
        let sent = unanswered.chain(in_doubt).chain(in_doubt_later);
        never_sent
            .chain(sent.filter_map(|command| Some((command.answer?, outcome_unknown()))))
            .collect()
    }

    /// Puts the next command on the stream.
    pub(super) fn next_request(
        &mut self,
        keep_request: bool,
        now: Instant,
    ) -> Option<SendMessagesRequest> {
        if self.link != Link::Up || self.unanswered.len() >= MAX_UNANSWERED {
            return None;
        }
        let (request, command) = match self.in_doubt.pop_front() {
            Some(mut command) => (command.request.take()?, command),
            // What is to be repeated needs its place.
            None if self.unanswered.len() + self.in_doubt_later.len() >= MAX_UNANSWERED => {
                return None;
            }
            None => {
                let Waiting { request, answer, submitted } = self.waiting.pop_front()?;
                self.waiting_bytes -= body_bytes(&request);
                let answer = Some(answer);
                (request, OnStream { answer, submitted, request: None, repeated: false })
            }
        };
        self.last_request_id += 1;
        let request_id = self.last_request_id;
        let kept = keep_request.then(|| request.clone());
        let is_repetition = command.repeated;
        let sent_after_ms = self.opened.map(|opened| {
            let sent = now.min(command.submitted + NEW);
            millis(sent.saturating_duration_since(opened))
                - millis(opened.saturating_duration_since(sent))
        });
        self.unanswered.insert(request_id, OnStream { request: kept, ..command });
        Some(SendMessagesRequest {
            request_id,
            request: Some(request),
            is_repetition,
            sent_after_ms,
        })
    }
}

impl OnStream {
    /// What the failure of this copy says of the command.
    pub(super) fn failed(&self, failure: Failure) -> Verdict {
        use ErrorReason as R;
        let told = failure.reason;
        let failure = failure.understood();
        let is_known = failure.reason == told;
        let reason = failure.reason();
        // A repeated dispatch could come after what was sent after it: nothing holds it back.
        let is_repeatable = matches!(self.request, Some(Request::Message(_)));
        match reason {
            R::OutcomeUnknown if is_repeatable => Verdict::InDoubt,
            _ if !self.repeated => Verdict::Known(Err(failure)),
            // Whichever copy: it is the same.
            R::InvalidField | R::ReceiverIsSender | R::MessageNotFound | R::UserDeleted
                if is_known =>
            {
                Verdict::Known(Err(failure))
            }
            // The core sees to it that the other copies are refused as well; one of before it gave codes does not.
            R::ReceiverUnknown | R::Overtaken if failure.code != 0 => Verdict::Known(Err(failure)),
            // The rest speaks of this copy alone.
            _ if is_repeatable && reason.code() == Code::Unavailable => Verdict::InDoubt,
            _ => Verdict::Known(Err(outcome_unknown())),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn body_bytes(request: &Request) -> usize {
    match request {
        Request::Message(message) => message.body.len(),
        Request::Attachment(_) => 0,
    }
}

pub(super) fn unreachable_core() -> Failure {
    Failure::new(ErrorReason::StoreUnavailable, "the core is out of reach")
}

pub(super) fn overloaded() -> Failure {
    Failure::new(ErrorReason::Overloaded, "too many messages are waiting")
}

pub(super) fn outcome_unknown() -> Failure {
    Failure::new(ErrorReason::OutcomeUnknown, "the core did not answer in time")
}
