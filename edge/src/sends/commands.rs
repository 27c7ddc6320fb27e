//! The commands of a lane, by how far each is: waiting, on the stream, or in doubt. No I/O in here.

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
    time::Duration,
};

use netrox_proto::v1::{ErrorReason, Failure, SendMessagesRequest, send_messages_request::Request};
use tokio::{sync::oneshot, time::Instant};

use super::Outcome;

/// The core stops reading a stream beyond it (chat.proto, `SendMessages`).
pub(super) const MAX_UNANSWERED: usize = 1_024;
pub(super) const MAX_WAITING: usize = 4_096;
pub(super) const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// How long a command waits for a place on the stream.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How long the answer to a command is awaited, repetitions included.
const MAX_DOUBT: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct State {
    pub(super) link: Link,
    pub(super) closing: bool,
    /// Grows with each stream; the requests of an earlier one take nothing more.
    pub(super) generation: u64,
    /// In doubt since an earlier stream; they go before what is waiting.
    pub(super) in_doubt: VecDeque<OnStream>,
    /// Never on a stream.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) waiting_bytes: usize,
    /// On the stream, by request id and so in the order submitted.
    pub(super) unanswered: BTreeMap<u64, OnStream>,
    pub(super) next_request_id: u64,
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
    /// Whether an earlier stream may have stored it.
    pub(super) repeated: bool,
}

/// Answers to be given when the lock is released.
pub(super) type Answers = Vec<(oneshot::Sender<Outcome>, Failure)>;

impl State {
    pub(super) fn expire(&mut self, now: Instant) -> Answers {
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
        // What is given up keeps its place on the stream: the core has not answered it.
        let old =
            self.unanswered.values_mut().take_while(|command| now - command.submitted >= MAX_DOUBT);
        answers.extend(old.filter_map(|command| Some((command.answer.take()?, outcome_unknown()))));
        answers
    }

    /// Nothing will be sent or answered any more.
    pub(super) fn give_up(&mut self) -> Answers {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let in_doubt = std::mem::take(&mut self.in_doubt);
        let unanswered = std::mem::take(&mut self.unanswered).into_values();
        let never_sent = waiting.into_iter().map(|command| (command.answer, unreachable_core()));
        let sent = unanswered.chain(in_doubt);
        never_sent
            .chain(sent.filter_map(|command| Some((command.answer?, outcome_unknown()))))
            .collect()
    }

    /// Puts the next command on the stream.
    pub(super) fn next_request(&mut self, keep_request: bool) -> Option<SendMessagesRequest> {
        if self.link != Link::Up || self.unanswered.len() >= MAX_UNANSWERED {
            return None;
        }
        let (request, command) = match self.in_doubt.pop_front() {
            Some(mut command) => (command.request.take()?, command),
            None => {
                let Waiting { request, answer, submitted } = self.waiting.pop_front()?;
                self.waiting_bytes -= body_bytes(&request);
                let answer = Some(answer);
                (request, OnStream { answer, submitted, request: None, repeated: false })
            }
        };
        let request_id = self.next_request_id;
        self.next_request_id += 1;
        let kept = keep_request.then(|| request.clone());
        let is_repetition = command.repeated;
        self.unanswered.insert(request_id, OnStream { request: kept, ..command });
        Some(SendMessagesRequest {
            request_id,
            request: Some(request),
            is_repetition,
            sent_after_ms: None,
        })
    }
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
