//! One stream of sends to the core, and its successors.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::Stream;
use netrox_proto::v1::{
    ErrorReason, Failure, SendMessagesRequest, SendMessagesResponse,
    send_messages_request::Request, send_messages_response::Result as Answer,
};
use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    Outcome,
    commands::{
        Answers, Link, MAX_UNANSWERED, MAX_WAITING, MAX_WAITING_BYTES, OnStream, State, Verdict,
        Waiting, body_bytes, outcome_unknown, overloaded, unreachable_core,
    },
};
use crate::{backoff::Backoff, core_client::CoreClient};

const EXPIRY_INTERVAL: Duration = Duration::from_millis(250);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(2);
/// From the call to the head of its answer. Beyond it this edge does not know well enough when the core sent the head, from
/// which it is to reckon the age of requests.
const SLOW_HEAD: Duration = Duration::from_millis(500);

pub(super) struct Lane {
    /// Whether commands in doubt are repeated.
    repeats: bool,
    state: Mutex<State>,
    closing: CancellationToken,
}

/// Refuses commands from when it is dropped.
struct End(Arc<Lane>);

impl Drop for End {
    fn drop(&mut self) {
        let answers = {
            let mut state = self.0.state();
            state.link = Link::Down;
            state.generation += 1;
            state.give_up()
        };
        give(answers);
    }
}

impl Lane {
    pub(super) fn new(repeats: bool) -> Self {
        Self { repeats, state: Mutex::default(), closing: CancellationToken::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn submit(&self, request: Request, answer: oneshot::Sender<Outcome>) {
        let bytes = body_bytes(&request);
        let mut state = self.state();
        let refusal = if state.closing {
            Some(Failure::new(ErrorReason::ShuttingDown, "this edge is shutting down"))
        } else if state.link == Link::Down {
            Some(unreachable_core())
        } else if state.waiting.len() >= MAX_WAITING
            || state.waiting_bytes + bytes > MAX_WAITING_BYTES
        {
            Some(overloaded())
        } else {
            None
        };
        match refusal {
            Some(failure) => {
                drop(state);
                // The sender may have gone.
                let _ = answer.send(Err(failure));
            }
            None => {
                state.waiting_bytes += bytes;
                state.waiting.push_back(Waiting { request, answer, submitted: Instant::now() });
                let requests = state.requests.take();
                drop(state);
                wake(requests);
            }
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.state().link == Link::Down
    }

    pub(super) fn close(&self) {
        let requests = {
            let mut state = self.state();
            state.closing = true;
            state.requests.take()
        };
        wake(requests);
        self.closing.cancel();
    }

    /// Keeps a stream to the core until [`Self::close`] and the last answer.
    ///
    /// However it ends, even before it has begun, nobody waits for it any more.
    pub(super) fn run(self: Arc<Self>, core: CoreClient) -> impl Future<Output = ()> + Send {
        let end = End(Arc::clone(&self));
        async move {
            self.serve(&core).await;
            drop(end);
        }
    }

    async fn serve(self: &Arc<Self>, core: &CoreClient) {
        let mut expiry = interval(EXPIRY_INTERVAL);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let link = Box::pin(self.keep_link(core));
        tokio::pin!(link);
        loop {
            tokio::select! {
                () = &mut link => break,
                _ = expiry.tick() => {
                    let (answers, done) = self.expire();
                    give(answers);
                    // Not left to a core that fails to end the stream.
                    if done {
                        break;
                    }
                }
            }
        }
    }

    /// Gives what became too old, and whether nothing is left to wait for. What was to be repeated later is repeated
    /// now.
    fn expire(&self) -> (Answers, bool) {
        let (answers, done, requests) = {
            let mut state = self.state();
            let repeats = state.repeat_later_ones();
            let answers = state.expire(Instant::now());
            let requests = if repeats { state.requests.take() } else { None };
            (answers, state.closing && state.is_idle(), requests)
        };
        wake(requests);
        (answers, done)
    }

    async fn keep_link(self: &Arc<Self>, core: &CoreClient) {
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        // Whether the last attempt, if there was one, was of use.
        let mut was_useful = true;
        let mut was_slow = false;
        loop {
            let asked_at = Instant::now();
            let requests = self.new_requests();
            let retry_at_once = match core.chat.clone().send_messages(requests).await {
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
                    self.set_broken(end.as_ref());
                    if let Some(status) = end {
                        tracing::warn!("a stream of sends to the core broke: {status}");
                    }
                    let is_useful = answered || opened_at.elapsed() >= MAX_RETRY;
                    if is_useful {
                        backoff.reset();
                    }
                    std::mem::replace(&mut was_useful, is_useful) || is_useful
                }
                Err(status) => {
                    tracing::debug!("failed to open a stream of sends to the core: {status}");
                    std::mem::replace(&mut was_useful, false)
                }
            };
            if self.closing.is_cancelled() {
                return;
            }
            // Another core may be there already: the one attempt that commands wait for.
            if retry_at_once {
                continue;
            }
            self.set_down();
            tokio::select! {
                () = sleep(backoff.next_delay()) => {}
                () = self.closing.cancelled() => return,
            }
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

    /// Gives whether there was any answer, and the status that the stream broke with.
    async fn read_answers(
        &self,
        mut answers: Streaming<SendMessagesResponse>,
    ) -> (bool, Option<Status>) {
        let mut answered = false;
        loop {
            match answers.message().await {
                Ok(Some(response)) => {
                    answered = true;
                    self.answer(response);
                }
                Ok(None) => return (answered, None),
                Err(status) => return (answered, Some(status)),
            }
        }
    }

    fn answer(&self, response: SendMessagesResponse) {
        let (answer, outcome, requests) = {
            let mut state = self.state();
            let command = state.unanswered.remove(&response.request_id);
            let was_full = state.unanswered.len() + 1 == MAX_UNANSWERED;
            let (answer, outcome) = match command {
                Some(command @ OnStream { answer: Some(_), .. }) => {
                    match verdict(&command, response.result) {
                        Verdict::Known(outcome) => (command.answer, outcome),
                        Verdict::InDoubt => {
                            let command = OnStream { repeated: true, ..command };
                            state.in_doubt_later.push(command);
                            (None, Ok(()))
                        }
                    }
                }
                _ => (None, Ok(())),
            };
            let is_awaited = was_full || (state.closing && state.is_idle());
            let requests = if is_awaited { state.requests.take() } else { None };
            (answer, outcome, requests)
        };
        wake(requests);
        if let Some(answer) = answer {
            let _ = answer.send(outcome);
        }
    }

    /// `opened` is when, if that is known well enough.
    fn set_up(&self, opened: Option<Instant>) {
        let requests = {
            let mut state = self.state();
            state.link = Link::Up;
            state.opened = opened;
            state.requests.take()
        };
        wake(requests);
    }

    /// Commands that were never on a stream are refused; those in doubt remain.
    fn set_down(&self) {
        let (answers, requests) = {
            let mut state = self.state();
            state.link = Link::Down;
            state.generation += 1;
            let waiting = std::mem::take(&mut state.waiting);
            state.waiting_bytes = 0;
            let answers: Answers =
                waiting.into_iter().map(|command| (command.answer, unreachable_core())).collect();
            (answers, state.requests.take())
        };
        wake(requests);
        give(answers);
    }

    /// The stream ended: what it left unanswered is in doubt.
    fn set_broken(&self, end: Option<&Status>) {
        let (answers, requests) = {
            let mut state = self.state();
            state.link = Link::Connecting;
            state.generation += 1;
            let unanswered = std::mem::take(&mut state.unanswered).into_values();
            let mut answers = Answers::new();
            if self.repeats {
                let in_doubt = unanswered
                    .filter(|command| command.answer.is_some())
                    .map(|command| OnStream { repeated: true, ..command });
                state.in_doubt_later.extend(in_doubt);
                state.repeat_later_ones();
            } else {
                let failure = unanswered_in_process(end);
                answers.extend(
                    unanswered.filter_map(|command| Some((command.answer?, failure.clone()))),
                );
            }
            (answers, state.requests.take())
        };
        wake(requests);
        give(answers);
    }
}

/// The requests of one stream. The transport takes them from the lane itself, so that a command
/// which was not taken is known not to have been sent.
struct Requests {
    lane: Arc<Lane>,
    generation: u64,
}

impl Stream for Requests {
    type Item = SendMessagesRequest;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SendMessagesRequest>> {
        let mut state = self.lane.state();
        if state.generation != self.generation {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        // This edge may have stood still.
        let late = state.expire_unsent(now);
        let next = match state.next_request(self.lane.repeats, now) {
            Some(request) => Poll::Ready(Some(request)),
            // What is on the stream may have to be repeated on it.
            None if state.closing && state.is_idle() => Poll::Ready(None),
            None => {
                state.requests = Some(cx.waker().clone());
                Poll::Pending
            }
        };
        drop(state);
        give(late);
        next
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn give(answers: Answers) {
    let is_unknown = |(_, failure): &&(_, Failure)| failure.reason() == ErrorReason::OutcomeUnknown;
    let unknown = answers.iter().filter(is_unknown).count();
    if unknown > 0 {
        tracing::warn!(count = unknown, "whether sends are stored could not be found out in time");
    }
    for (answer, failure) in answers {
        let _ = answer.send(Err(failure));
    }
}

fn verdict(command: &OnStream, answer: Option<Answer>) -> Verdict {
    match answer {
        Some(Answer::Message(_) | Answer::Attachment(_)) => Verdict::Known(Ok(())),
        Some(Answer::Failure(failure)) => command.failed(failure),
        None => {
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

#[cfg(test)]
mod tests {
    use netrox_proto::v1::DispatchAttachmentRequest;

    use super::*;
    use crate::stub_core::StubCore;

    fn pull(lane: &Lane, count: usize) -> Vec<i64> {
        let mut state = lane.state();
        let requests = (0..count).map_while(|_| state.next_request(true, Instant::now())?.request);
        requests
            .map(|request| match request {
                Request::Attachment(dispatch) => dispatch.message_id,
                Request::Message(_) => unreachable!("only dispatches were submitted"),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_lane_whose_task_is_gone_refuses() {
        let core = StubCore::default();
        let lane = Arc::new(Lane::new(true));
        let submit = || {
            let (answer, pending) = oneshot::channel();
            lane.submit(Request::Attachment(DispatchAttachmentRequest::default()), answer);
            pending
        };
        let run = Arc::clone(&lane).run(core.client());
        let before = submit();
        drop(run);
        for pending in [before, submit()] {
            let outcome = pending.await.expect("an answer");
            let reason = outcome.expect_err("a refusal").reason();
            assert_eq!(reason, ErrorReason::StoreUnavailable);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_stream_waits_for_a_second_attempt() {
        for (refused, expected) in
            [(1, Ok(())), (2, Err(ErrorReason::StoreUnavailable)), (0, Ok(()))]
        {
            let core = StubCore::default();
            core.change(|state| state.refused_streams = refused);
            let lane = Arc::new(Lane::new(true));
            let (answer, pending) = oneshot::channel();
            lane.submit(Request::Attachment(DispatchAttachmentRequest::default()), answer);
            let running = tokio::spawn(Arc::clone(&lane).run(core.client()));
            let outcome = pending.await.expect("an answer");
            assert_eq!(outcome.map_err(|failure| failure.reason()), expected);
            lane.close();
            running.await.expect("a task");
        }
    }

    /// This edge stood still: no timer came before the stream.
    #[tokio::test(start_paused = true)]
    async fn what_has_waited_for_too_long_is_not_put_on_the_stream() {
        let lane = Arc::new(Lane::new(true));
        let (answer, pending) = oneshot::channel();
        lane.submit(Request::Attachment(DispatchAttachmentRequest::default()), answer);
        lane.set_up(None);
        tokio::time::advance(Duration::from_secs(2)).await;
        let mut requests = Requests { lane: Arc::clone(&lane), generation: 0 };
        let next = Pin::new(&mut requests).poll_next(&mut Context::from_waker(Waker::noop()));
        assert!(next.is_pending());
        let outcome = pending.await.expect("an answer").map_err(|failure| failure.reason());
        assert_eq!(outcome, Err(ErrorReason::Overloaded));
    }

    #[test]
    fn the_order_survives_breaks_in_the_middle_of_a_repetition() {
        let lane = Lane::new(true);
        let pending: Vec<_> = (0..6)
            .map(|message_id| {
                let (answer, pending) = oneshot::channel();
                let dispatch = DispatchAttachmentRequest { message_id, ..Default::default() };
                lane.submit(Request::Attachment(dispatch), answer);
                pending
            })
            .collect();
        lane.set_up(None);
        assert_eq!(pull(&lane, 4), [0, 1, 2, 3]);
        lane.set_broken(None);
        assert_eq!(pull(&lane, 9), [0; 0], "nothing goes onto a stream that is not there");
        for _ in 0..3 {
            lane.set_up(None);
            assert_eq!(pull(&lane, 2), [0, 1]);
            lane.set_broken(None);
        }
        lane.set_up(None);
        assert_eq!(pull(&lane, 9), [0, 1, 2, 3, 4, 5]);
        drop(pending);
    }
}
