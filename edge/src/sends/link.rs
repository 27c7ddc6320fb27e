//! The streams of a lane to the core, one after another.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use netrox_proto::v1::{
    BlockUserResponse, DeleteMessageResponse, ErrorReason, Failure, MarkDeliveredResponse,
    MarkSeenResponse, SendMessagesRequest, SendMessagesResponse, ThreadState, UnblockUserResponse,
    send_messages_response::Result as Answer,
};
use tokio::time::{Instant, sleep};
use tonic::{Status, Streaming};

use super::{
    Marks, Sent,
    commands::{Link, MAX_UNANSWERED, OnStream, Refusals, Verdict, outcome_unknown},
    lane::{Lane, wake},
};
use crate::{backoff::Backoff, core_client::CoreClient};

const FIRST_RETRY: Duration = Duration::from_millis(100);
/// How late a core that is back is noticed.
const MAX_RETRY: Duration = Duration::from_millis(500);
/// A stream that lived for so long was of use, whatever became of it.
const USEFUL_LIFE: Duration = Duration::from_secs(2);
/// From the call to the head of its answer. Beyond it this edge does not know well enough when the core sent the head, from
/// which it is to reckon the age of requests.
const SLOW_HEAD: Duration = Duration::from_millis(500);

/// How a stream ended.
pub(super) enum StreamEnd {
    /// With all that it has not answered in doubt.
    Broken(Option<Status>),
    /// Nothing of what it has not answered was or will be stored.
    HandedBack(String),
}

impl Lane {
    pub(super) async fn keep_link(self: &Arc<Self>, core: &CoreClient) {
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        // Whether the last attempt, if there was one, was of use.
        let mut was_useful = true;
        let mut was_slow = false;
        loop {
            let asked_at = Instant::now();
            let requests = self.new_requests();
            let (is_useful, cause) = match core.chat.clone().send_messages(requests).await {
                Ok(response) => {
                    let opened_at = Instant::now();
                    let is_slow = opened_at - asked_at > SLOW_HEAD;
                    let is_slow_again = std::mem::replace(&mut was_slow, is_slow) && is_slow;
                    // Nothing was put on it. Where it is always slow, it is used without telling the age of requests.
                    if is_slow && !is_slow_again {
                        continue;
                    }
                    self.set_up((!is_slow).then_some(opened_at));
                    let (answered, end) = self.read_answers(response.into_inner()).await;
                    let cause = self.set_ended(end);
                    let is_useful = answered || opened_at.elapsed() >= USEFUL_LIFE;
                    if is_useful {
                        backoff.reset();
                    }
                    (is_useful, cause)
                }
                Err(status) => {
                    tracing::debug!(error = %status, "failed to open a stream of sends to the core");
                    (false, status.message().to_owned())
                }
            };
            let retry_at_once = std::mem::replace(&mut was_useful, is_useful) || is_useful;
            if self.closing.is_cancelled() && self.state().is_idle() {
                return;
            }
            // Another core may be there already: the one attempt that commands wait for in any case.
            if retry_at_once {
                continue;
            }
            self.set_down(&cause);
            sleep(backoff.next_delay()).await;
        }
    }

    /// The requests of another stream; those of the one before end, so that it is half-closed.
    fn new_requests(self: &Arc<Self>) -> Requests {
        let (generation, requests) = {
            let mut state = self.state();
            state.generation += 1;
            (state.generation, state.requests.take())
        };
        wake(requests);
        Requests { lane: Arc::clone(self), generation }
    }

    /// Gives whether there was any answer, and how the stream ended.
    async fn read_answers(
        &self,
        mut answers: Streaming<SendMessagesResponse>,
    ) -> (bool, StreamEnd) {
        let mut answered = false;
        loop {
            match answers.message().await {
                Ok(Some(response)) => {
                    answered = true;
                    self.answer(response);
                }
                Ok(None) => return (answered, StreamEnd::Broken(None)),
                Err(status) => {
                    let failure = Failure::from(&status);
                    let end = if failure.reason() == ErrorReason::HandedBack {
                        StreamEnd::HandedBack(failure.message)
                    } else {
                        StreamEnd::Broken(Some(status))
                    };
                    return (answered, end);
                }
            }
        }
    }

    fn answer(&self, response: SendMessagesResponse) {
        let (command, result, requests, is_back) = {
            let mut state = self.state();
            let command = state.unanswered.remove(&response.request_id);
            let was_probing = std::mem::take(&mut state.is_probing);
            let was_full = was_probing || state.unanswered.len() + 1 == MAX_UNANSWERED;
            let is_back = std::mem::take(&mut state.is_away).then(|| state.count());
            let (command, result) = match command {
                Some(command @ OnStream { answer: Some(_), .. }) => {
                    match verdict(&command, response.result) {
                        Verdict::Known(result) => (Some(command), Some(result)),
                        Verdict::InDoubt => {
                            let command = OnStream { repeated: true, ..command };
                            state.again_later.push(command);
                            (None, None)
                        }
                    }
                }
                command => (command, None),
            };
            let is_awaited = was_full || (state.closing && state.is_idle());
            let requests = if is_awaited { state.requests.take() } else { None };
            (command, result, requests, is_back)
        };
        wake(requests);
        if let Some(waiting) = is_back {
            self.stall.end(waiting);
        }
        if let (Some(OnStream { answer: Some(answer), entry, .. }), Some(result)) =
            (command, result)
        {
            match &result {
                Ok(sent) => self.tally.answered(sent, &entry),
                Err(failure) => self.tally.refused(failure),
            }
            // Its room is free before its sender knows.
            drop(entry);
            match result {
                Ok(sent) => answer.took_effect(sent),
                Err(failure) => answer.failed(failure),
            }
        }
    }

    /// `opened` is when, if that is known well enough.
    pub(super) fn set_up(&self, opened: Option<Instant>) {
        let requests = {
            let mut state = self.state();
            state.link = Link::Up;
            state.opened = opened;
            state.requests.take()
        };
        wake(requests);
    }

    /// Commands wait for as long as they may; what is not to wait is refused.
    fn set_down(&self, cause: &str) {
        let (refusals, is_new, waiting) = {
            let mut state = self.state();
            state.link = Link::Down;
            let is_new = !std::mem::replace(&mut state.is_away, true);
            (state.expire(self.terms.wait, Instant::now()), is_new, state.count())
        };
        if is_new {
            self.stall.begin(cause, waiting);
        }
        self.give(refusals);
    }

    /// Puts what the stream left unanswered before what waits. Gives what it ended for.
    pub(super) fn set_ended(&self, end: StreamEnd) -> String {
        let (refusals, requests, cause) = {
            let mut state = self.state();
            state.link = Link::Connecting;
            state.generation += 1;
            let unanswered = std::mem::take(&mut state.unanswered).into_values();
            let mut refusals = Refusals::new();
            let cause = match end {
                StreamEnd::HandedBack(cause) => {
                    state.is_probing = true;
                    state.send_again(unanswered.filter(|command| command.answer.is_some()));
                    state.repeat_later_ones();
                    cause
                }
                StreamEnd::Broken(status) => {
                    if self.terms.keeps {
                        let in_doubt = unanswered
                            .filter(|command| command.answer.is_some())
                            .map(|command| OnStream { repeated: true, ..command });
                        state.send_again(in_doubt);
                        state.repeat_later_ones();
                    } else {
                        let failure = unanswered_in_process(status.as_ref());
                        refusals.extend(
                            unanswered
                                .filter_map(|command| Some((command.answer?, failure.clone()))),
                        );
                    }
                    if let Some(status) = &status {
                        tracing::warn!(error = %status, "a stream of sends to the core broke");
                    }
                    status.map(|status| status.message().to_owned()).unwrap_or_default()
                }
            };
            (refusals, state.requests.take(), cause)
        };
        wake(requests);
        self.give(refusals);
        cause
    }
}

/// The requests of one stream. The transport takes them from the lane itself, so that a command
/// which was not taken is known not to have been sent.
pub(super) struct Requests {
    pub(super) lane: Arc<Lane>,
    pub(super) generation: u64,
}

impl Stream for Requests {
    type Item = SendMessagesRequest;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SendMessagesRequest>> {
        let lane = &self.lane;
        let mut state = lane.state();
        if state.generation != self.generation {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        // This edge may have stood still.
        let late = state.expire_next(lane.terms.wait, now);
        let may_send = lane.may_send(&state, now);
        let next = may_send.then(|| state.next_request(lane.terms, now)).flatten();
        let next = match next {
            Some(request) => Poll::Ready(Some(request)),
            // What is on the stream may have to be repeated on it.
            None if state.closing && state.is_idle() => Poll::Ready(None),
            None => {
                state.requests = Some(cx.waker().clone());
                Poll::Pending
            }
        };
        drop(state);
        lane.give(late);
        next
    }
}

impl Marks {
    fn of(state: &ThreadState) -> Self {
        let &ThreadState { seen_id, delivered_id, unread, last_id, .. } = state;
        Self { seen_id, delivered_id, unread, last_id }
    }
}

fn verdict(command: &OnStream, answer: Option<Answer>) -> Verdict {
    match answer {
        Some(Answer::Message(message)) => Verdict::Known(Ok(Sent::Message(message))),
        Some(Answer::Attachment(dispatch)) => Verdict::Known(Ok(Sent::Dispatch(dispatch))),
        Some(Answer::Edit(edit)) => {
            Verdict::Known(Ok(Sent::Edit(edit.message.and_then(|message| message.updated))))
        }
        Some(Answer::Delete(DeleteMessageResponse {})) => Verdict::Known(Ok(Sent::Delete)),
        Some(
            Answer::Seen(MarkSeenResponse { state: Some(state) })
            | Answer::Delivered(MarkDeliveredResponse { state: Some(state) }),
        ) => Verdict::Known(Ok(Sent::Mark(Marks::of(&state)))),
        Some(Answer::Block(BlockUserResponse {}) | Answer::Unblock(UnblockUserResponse {})) => {
            Verdict::Known(Ok(Sent::Block))
        }
        Some(Answer::Failure(failure)) => command.failed(failure),
        Some(
            Answer::Seen(MarkSeenResponse { state: None })
            | Answer::Delivered(MarkDeliveredResponse { state: None }),
        )
        | None => {
            let failure = Failure::new(ErrorReason::OutcomeUnknown, "an answer of an unknown kind");
            Verdict::Known(Err(failure))
        }
    }
}

/// A core that shuts down answers all that it has taken (chat.proto, `SendMessages`).
fn unanswered_in_process(end: Option<&Status>) -> Failure {
    match end.map(Failure::from) {
        Some(failure) if failure.reason() == ErrorReason::ShuttingDown => failure,
        _ => outcome_unknown(),
    }
}
