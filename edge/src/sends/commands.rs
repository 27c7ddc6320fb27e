//! The commands of a lane, by how far each is: waiting, on the stream, or taken off one. No I/O in here.

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
    time::Duration,
};

use netrox_proto::{
    request_id::RequestId,
    v1::{ErrorReason, Failure, SendMessagesRequest, send_messages_request::Request},
};
use tokio::time::Instant;
use tonic::Code;

use super::{SendResult, awaited::Awaited, room::Room};
use crate::{
    revocation::{Revocations, TokenMark},
    trace,
};

/// The core stops reading a stream beyond it (chat.proto, `SendMessages`).
pub(super) const MAX_UNANSWERED: usize = 1_024;
/// How long a command that never was on a stream waits for a place on one, at least.
const MIN_WAIT: Duration = Duration::from_secs(2);
/// How long it is tried at least to find out what became of a command.
const MIN_DOUBT: Duration = Duration::from_secs(5);
/// How long a command is new at least: it may be put on a stream.
const MIN_NEW: Duration = Duration::from_secs(3);
/// From when a core does not begin a command any more to its answer, which a commit may take as long for.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// A command that has no answer for so long is not just under way.
const STALL: Duration = Duration::from_millis(300);
/// What a core that is not told how long a request may wait gives it (chat.proto, `sent_after_ms`).
const MAX_AGE_UNTOLD: Duration = Duration::from_secs(3);

/// How a lane sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Whether commands are kept until they are answered: the core gives them back, and those in doubt are repeated.
    pub(super) keeps: bool,
    /// How long a command may wait for a core or database that is away.
    pub(super) wait: Duration,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) link: Link,
    pub(super) closing: bool,
    /// Nothing waits any more for what is away.
    pub(super) has_no_patience: bool,
    /// Grows with each stream; the requests of an earlier one take nothing more.
    pub(super) generation: u64,
    /// When the stream was opened, if that is known well enough to tell the core by it how old a request is.
    pub(super) opened: Option<Instant>,
    /// The operator was told that the core is away.
    pub(super) is_away: bool,
    /// The last core gave back what it had: one command finds out whether this one takes any.
    pub(super) is_probing: bool,
    /// To be put on the stream again, in the order submitted; they go before what is waiting.
    pub(super) again: VecDeque<OnStream>,
    /// The same after a moment: the core could not tell yet what became of them.
    pub(super) again_later: Vec<OnStream>,
    /// Never on a stream.
    pub(super) waiting: VecDeque<Waiting>,
    /// On the stream, by request id.
    pub(super) unanswered: BTreeMap<u64, OnStream>,
    pub(super) last_request_id: u64,
    /// Of the last command submitted.
    pub(super) last_place: u64,
    /// Of the stream's requests, when they wait for a command or a place.
    pub(super) requests: Option<Waker>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Not known to be down.
    #[default]
    Connecting,
    Up,
    Down,
}

/// Of a command, wherever it is.
pub(super) struct Entry {
    pub(super) submitted: Instant,
    /// In the order submitted.
    pub(super) place: u64,
    /// Given back with the answer.
    pub(super) room: Option<Room>,
    /// Of whoever sent it.
    pub(super) token: TokenMark,
    pub(super) request_id: RequestId,
}

pub(super) struct Waiting {
    pub(super) request: Request,
    pub(super) answer: Awaited,
    pub(super) entry: Entry,
}

pub(super) struct OnStream {
    /// Absent once the command was given up; the core has yet to answer it.
    pub(super) answer: Option<Awaited>,
    /// What to send again, where that is kept.
    pub(super) request: Option<Request>,
    /// Whether an earlier copy may have been stored, or may be still.
    pub(super) repeated: bool,
    pub(super) entry: Entry,
}

/// How long commands that are on no stream may wait.
struct WaitLimits {
    wait: Duration,
    /// Where nothing of a command was or will be stored, and what its sender is told then.
    unsent: Duration,
    failure: fn() -> Failure,
}

impl WaitLimits {
    fn is_over(&self, repeated: bool, entry: &Entry, now: Instant) -> bool {
        let wait = if repeated { self.wait.max(MIN_DOUBT) } else { self.unsent };
        now - entry.submitted >= wait
    }

    fn give_up(&self, command: OnStream) -> Option<(Awaited, Failure)> {
        let failure = if command.repeated { outcome_unknown() } else { (self.failure)() };
        Some((command.answer?, failure))
    }
}

/// What an answer of the core says of a command.
pub(super) enum Verdict {
    Known(SendResult),
    /// What became of it can only be found out by another repetition.
    InDoubt,
}

/// Refusals to be given when the lock is released.
pub(super) type Refusals = Vec<(Awaited, Failure)>;

impl State {
    /// Gives up what is next to be put on a stream and has waited for as long as it may.
    pub(super) fn expire_next(&mut self, wait: Duration, now: Instant) -> Refusals {
        let limits = self.wait_limits(wait);
        let mut refusals = Refusals::new();
        while let Some(command) =
            self.again.pop_front_if(|command| limits.is_over(command.repeated, &command.entry, now))
        {
            refusals.extend(limits.give_up(command));
        }
        while let Some(command) =
            self.waiting.pop_front_if(|command| limits.is_over(false, &command.entry, now))
        {
            refusals.push((command.answer, (limits.failure)()));
        }
        refusals
    }

    /// Gives up all that has waited for as long as it may, and what was on a stream for long enough.
    pub(super) fn expire(&mut self, wait: Duration, now: Instant) -> Refusals {
        let limits = self.wait_limits(wait);
        let is_over = |command: &OnStream| limits.is_over(command.repeated, &command.entry, now);
        let mut refusals = Refusals::new();
        if self.again.iter().any(is_over) {
            let (over, rest): (VecDeque<_>, _) = self.again.drain(..).partition(is_over);
            self.again = rest;
            refusals.extend(over.into_iter().filter_map(|command| limits.give_up(command)));
        }
        refusals.append(&mut self.expire_next(wait, now));
        let wait = limits.wait.max(MIN_NEW) + ANSWER_TIME;
        for command in self.unanswered.values_mut() {
            if now - command.entry.submitted >= wait
                && let Some(answer) = command.answer.take()
            {
                // It keeps its place on the stream, and nothing else: the core has not answered it.
                (command.request, command.entry.room) = (None, None);
                refusals.push((answer, outcome_unknown()));
            }
        }
        refusals
    }

    /// Takes back what is on no stream and whose token was taken away.
    pub(super) fn withdraw(&mut self, revocations: &Revocations) -> Refusals {
        let is_revoked = |entry: &Entry| {
            let user = entry.room.as_ref().map(Room::user);
            user.is_some_and(|user| revocations.mean(user, &entry.token))
        };
        let mut refusals = Refusals::new();
        if self.waiting.iter().any(|command| is_revoked(&command.entry)) {
            let waiting = std::mem::take(&mut self.waiting).into_iter();
            let (revoked, rest): (Vec<_>, _) =
                waiting.partition(|command| is_revoked(&command.entry));
            self.waiting = rest.into();
            refusals
                .extend(revoked.into_iter().map(|command| (command.answer, unreachable_core())));
        }
        let is_revoked = |command: &OnStream| is_revoked(&command.entry);
        if self.again.iter().chain(&self.again_later).any(is_revoked) {
            let (revoked, rest): (Vec<_>, _) =
                std::mem::take(&mut self.again).into_iter().partition(is_revoked);
            self.again = rest.into();
            let revoked = revoked
                .into_iter()
                .chain(self.again_later.extract_if(.., |command| is_revoked(command)));
            refusals.extend(revoked.filter_map(|command| {
                let failure = if command.repeated { outcome_unknown() } else { unreachable_core() };
                Some((command.answer?, failure))
            }));
        }
        refusals
    }

    fn wait_limits(&self, wait: Duration) -> WaitLimits {
        let wait = if self.has_no_patience { Duration::ZERO } else { wait };
        // A stream that is not known to be gone may take it in a moment.
        let (unsent, failure): (_, fn() -> Failure) = match self.link {
            Link::Down => (wait, unreachable_core),
            Link::Connecting => (wait.max(MIN_WAIT), unreachable_core),
            Link::Up => (wait.max(MIN_WAIT), overloaded),
        };
        WaitLimits { wait, unsent, failure }
    }

    /// Whether commands are not just under way, but wait for something.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let oldest = self.unanswered.first_key_value().map(|(_, command)| &command.entry);
        let oldest = oldest.or(self.waiting.front().map(|command| &command.entry));
        self.link != Link::Up || oldest.is_some_and(|oldest| now - oldest.submitted >= STALL)
    }

    /// How many commands are not answered.
    pub(super) fn count(&self) -> usize {
        self.waiting.len() + self.again.len() + self.again_later.len() + self.unanswered.len()
    }

    /// Puts what was to wait for a moment before what is waiting; gives whether there was anything.
    pub(super) fn repeat_later_ones(&mut self) -> bool {
        let later = std::mem::take(&mut self.again_later);
        let is_any = !later.is_empty();
        self.send_again(later);
        is_any
    }

    /// In the order submitted, which the request ids are not: a message that was repeated has a higher one than those that
    /// were sent after it.
    pub(super) fn send_again(&mut self, commands: impl IntoIterator<Item = OnStream>) {
        let before = self.again.len();
        self.again.extend(commands);
        if self.again.len() > before {
            self.again.make_contiguous().sort_by_key(|command| command.entry.place);
        }
    }

    /// Nobody waits for anything but what was given up.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.again.is_empty()
            && self.again_later.is_empty()
            && self.unanswered.values().all(|command| command.answer.is_none())
    }

    /// Nothing will be sent or answered any more.
    pub(super) fn give_up(&mut self) -> Refusals {
        let waiting = std::mem::take(&mut self.waiting);
        let again = std::mem::take(&mut self.again);
        let again_later = std::mem::take(&mut self.again_later);
        let unanswered = std::mem::take(&mut self.unanswered).into_values();
        let never_sent = waiting.into_iter().map(|command| (command.answer, unreachable_core()));
        let given_back = again.into_iter().chain(again_later).filter_map(|command| {
            let failure = if command.repeated { outcome_unknown() } else { unreachable_core() };
            Some((command.answer?, failure))
        });
        let sent = unanswered.filter_map(|command| Some((command.answer?, outcome_unknown())));
        never_sent.chain(given_back).chain(sent).collect()
    }

    /// Puts the next command on the stream.
    pub(super) fn next_request(
        &mut self,
        terms: Terms,
        now: Instant,
    ) -> Option<SendMessagesRequest> {
        let max_unanswered = if self.is_probing { 1 } else { MAX_UNANSWERED };
        if self.link != Link::Up || self.unanswered.len() >= max_unanswered {
            return None;
        }
        let (request, command) = match self.again.pop_front() {
            Some(mut command) => (command.request.take()?, command),
            // What is to be repeated needs its place.
            None if self.unanswered.len() + self.again_later.len() >= max_unanswered => {
                return None;
            }
            None => {
                let Waiting { request, answer, entry } = self.waiting.pop_front()?;
                let answer = Some(answer);
                (request, OnStream { answer, request: None, repeated: false, entry })
            }
        };
        self.last_request_id += 1;
        let request_id = self.last_request_id;
        let kept = terms.keeps.then(|| request.clone());
        let is_repetition = command.repeated;
        let timing = self.opened.map(|opened| timing(command.entry.submitted, now, opened, terms));
        let log_id = command.entry.request_id.to_string();
        let trace = trace::to_wire(&command.entry.request_id);
        self.unanswered.insert(request_id, OnStream { request: kept, ..command });
        Some(SendMessagesRequest {
            request_id,
            request: Some(request),
            is_repetition,
            sent_after_ms: timing.map(|(sent_after, _)| sent_after),
            wait_ms: timing.map(|(_, wait)| wait),
            hand_back: terms.keeps,
            log_id,
            trace,
        })
    }
}

/// When a command counts as sent, in milliseconds from when the stream was opened, and how long it may wait from then on:
/// until its time is over since it was submitted. A core that is not told of the wait begins nothing later, either, than a
/// second after that.
fn timing(submitted: Instant, now: Instant, opened: Instant, terms: Terms) -> (i64, u32) {
    let new = terms.wait.max(MIN_NEW) + Duration::from_secs(1) - MAX_AGE_UNTOLD;
    let sent = now.min(submitted + new);
    let sent_after = millis(sent.saturating_duration_since(opened))
        - millis(opened.saturating_duration_since(sent));
    let wait = (submitted + terms.wait).saturating_duration_since(sent);
    (sent_after, u32::try_from(wait.as_millis()).unwrap_or(u32::MAX))
}

impl OnStream {
    /// What the failure of this copy says of the command.
    pub(super) fn failed(&self, failure: Failure) -> Verdict {
        use ErrorReason as R;
        let told = failure.reason;
        let failure = failure.understood();
        let is_known = failure.reason == told;
        let reason = failure.reason();
        let is_kept = self.request.is_some();
        let is_harmless = self.request.as_ref().is_some_and(is_harmless_later);
        match reason {
            // Whatever was sent after it on this stream is given back (chat.proto, `hand_back`), except by a core of before
            // it gave codes.
            R::OutcomeUnknown if is_kept && failure.code != 0 => Verdict::InDoubt,
            R::OutcomeUnknown if is_harmless => Verdict::InDoubt,
            // Whichever copy: it is the same.
            R::InvalidField
            | R::ReceiverIsSender
            | R::MessageNotFound
            | R::MessageNotAllowed
            | R::TooLate
            | R::ThreadNotFound
            | R::UserDeleted
                if is_known =>
            {
                Verdict::Known(Err(failure))
            }
            // The core sees to it that the other copies are refused as well; one of before it gave codes does not.
            R::ReceiverUnknown | R::Overtaken | R::RateLimited if failure.code != 0 => {
                Verdict::Known(Err(failure))
            }
            // The rest speaks of this copy alone.
            R::Unspecified
            | R::InvalidField
            | R::BodyTooLarge
            | R::AttachmentTooLarge
            | R::ReceiverUnknown
            | R::ReceiverIsSender
            | R::UserUnknown
            | R::UserDeleted
            | R::MessageNotFound
            | R::AttachmentNotFound
            | R::RangeNotSatisfiable
            | R::Overloaded
            | R::StoreUnavailable
            | R::HandedBack
            | R::ShuttingDown
            | R::EpochChanged
            | R::OutcomeUnknown
            | R::Overtaken
            | R::MessageNotAllowed
            | R::TooLate
            | R::ThreadNotFound
            | R::ScopeMissing
            | R::RateLimited
            | R::StorageQuotaExceeded
            | R::TooManyRevocations
            | R::TicketUnknown
            | R::TicketExpired
            | R::NotEnabled
            | R::Internal => {
                if !self.repeated {
                    Verdict::Known(Err(failure))
                } else if is_harmless && reason.code() == Code::Unavailable {
                    Verdict::InDoubt
                } else {
                    Verdict::Known(Err(outcome_unknown()))
                }
            }
        }
    }
}

/// Whether another repetition can do no harm although what was sent after the command may have taken effect.
fn is_harmless_later(request: &Request) -> bool {
    match request {
        // The core holds back what comes too late (chat.proto, `is_repetition`), or its client has only this one under way.
        Request::Message(_) => true,
        // Marks never go back.
        Request::Seen(_) | Request::Delivered(_) => true,
        // A dispatch would come after a later text. An edit or a block would undo a later one.
        Request::Attachment(_)
        | Request::Edit(_)
        | Request::Delete(_)
        | Request::Block(_)
        | Request::Unblock(_) => false,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
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
