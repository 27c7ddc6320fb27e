//! One way to the core: what is submitted, and what becomes of it in the end.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use netrox_proto::{
    request_id::RequestId,
    v1::{ErrorReason, Failure, send_messages_request::Request},
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    awaited::Awaited,
    commands::{Entry, Link, Refusals, State, Terms, Waiting, unreachable_core},
    room::Room,
    stall::Stall,
    tally::Tally,
};
use crate::{
    core_client::CoreClient,
    revocation::{Revocations, TokenMark},
};

const EXPIRY_INTERVAL: Duration = Duration::from_millis(250);

pub(super) struct Lane {
    pub(super) terms: Terms,
    state: Mutex<State>,
    pub(super) stall: Arc<Stall>,
    pub(super) tally: Arc<Tally>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) closing: CancellationToken,
}

/// Refuses commands from when it is dropped.
struct RefuseOnDrop(Arc<Lane>);

impl Drop for RefuseOnDrop {
    fn drop(&mut self) {
        let refusals = {
            let mut state = self.0.state();
            state.link = Link::Down;
            state.closing = true;
            state.generation += 1;
            state.give_up()
        };
        self.0.give(refusals);
    }
}

impl Lane {
    pub(super) fn new(
        terms: Terms,
        stall: Arc<Stall>,
        tally: Arc<Tally>,
        revocations: Arc<Revocations>,
    ) -> Self {
        let (state, closing) = (Mutex::default(), CancellationToken::new());
        Self { terms, state, stall, tally, revocations, closing }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn submit(
        &self,
        request: Request,
        request_id: RequestId,
        answer: Awaited,
        submitted: Instant,
        (room, token): (Room, TokenMark),
    ) {
        let mut state = self.state();
        let waits = !self.terms.wait.is_zero() && !state.has_no_patience;
        let refusal = if state.closing {
            Some(Failure::new(ErrorReason::ShuttingDown, "this edge is shutting down"))
        } else if state.link == Link::Down && !waits {
            Some(unreachable_core())
        } else {
            None
        };
        if let Some(failure) = refusal {
            drop(state);
            return self.give(vec![(answer, failure)]);
        }
        state.last_place += 1;
        let (place, room) = (state.last_place, Some(room));
        let entry = Entry { submitted, place, room, token, request_id };
        state.waiting.push_back(Waiting { request, answer, entry });
        let requests = state.requests.take();
        drop(state);
        wake(requests);
    }

    pub(super) fn is_down(&self) -> bool {
        self.state().link == Link::Down
    }

    /// Whether commands are not just under way, but wait for something.
    pub(super) fn is_stalled(&self) -> bool {
        self.state().is_stalled(Instant::now())
    }

    pub(super) fn has_patience(&self) -> bool {
        !self.state().has_no_patience
    }

    /// Gives up what waits for a core or database that is away, and lets nothing wait any more.
    pub(super) fn lose_patience(&self) {
        self.state().has_no_patience = true;
        self.expire();
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
        let end = RefuseOnDrop(Arc::clone(&self));
        async move {
            self.serve(&core).await;
            drop(end);
        }
    }

    async fn serve(self: &Arc<Self>, core: &CoreClient) {
        let mut expiry = interval(EXPIRY_INTERVAL);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known_again = self.revocations.known_again();
        let link = Box::pin(self.keep_link(core));
        tokio::pin!(link);
        loop {
            tokio::select! {
                () = &mut link => break,
                Ok(()) = known_again.changed() => self.go_on(),
                // Not left to a core that fails to end the stream.
                _ = expiry.tick() => if self.expire() {
                    break;
                },
            }
        }
    }

    /// It is known again which tokens were taken away.
    fn go_on(&self) {
        let (refusals, requests) = {
            let mut state = self.state();
            (state.withdraw(&self.revocations), state.requests.take())
        };
        wake(requests);
        self.give(refusals);
    }

    /// Whether what waits may go to the core. What is left when the edge ends may: it was taken in time.
    pub(super) fn may_send(&self, state: &State, now: Instant) -> bool {
        state.closing || self.revocations.is_known_at(now)
    }

    /// Gives what became too old; gives whether nothing is left to wait for. What was to be repeated later is repeated
    /// now.
    fn expire(&self) -> bool {
        let (refusals, done, requests) = {
            let mut state = self.state();
            let repeats = state.repeat_later_ones();
            let refusals = state.expire(self.terms.wait, Instant::now());
            let requests = if repeats { state.requests.take() } else { None };
            (refusals, state.closing && state.is_idle(), requests)
        };
        wake(requests);
        self.give(refusals);
        done
    }

    pub(super) fn give(&self, refusals: Refusals) {
        if refusals.is_empty() {
            return;
        }
        let is_unknown =
            |(_, failure): &&(_, Failure)| failure.reason() == ErrorReason::OutcomeUnknown;
        let unknown = refusals.iter().filter(is_unknown).count();
        if unknown > 0 {
            tracing::warn!(
                count = unknown,
                "whether sends are stored could not be found out in time"
            );
        }
        self.stall.refused(refusals.len() - unknown);
        for (answer, failure) in refusals {
            self.tally.refused(&failure);
            answer.failed(failure);
        }
    }
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Waker},
    };

    use futures_util::Stream;
    use netrox_proto::v1::DispatchAttachmentRequest;
    use tokio::sync::oneshot;

    use super::{
        super::{
            SendResult,
            link::{Requests, StreamEnd},
            room::Rooms,
        },
        *,
    };
    use crate::stub_core::{StubCore, user};

    fn lane() -> Lane {
        let terms = Terms { keeps: true, wait: Duration::ZERO };
        Lane::new(terms, Arc::default(), Arc::default(), Arc::default())
    }

    fn dispatch(lane: &Lane, message_id: i64) -> oneshot::Receiver<SendResult> {
        let (answer, pending) = Awaited::new(None);
        let dispatch = DispatchAttachmentRequest { message_id, ..Default::default() };
        let room = Arc::new(Rooms::default()).of(user(1)).take(0).expect("room");
        let (id, of) = (RequestId::draw(), (room, TokenMark::default()));
        lane.submit(Request::Attachment(dispatch), id, answer, Instant::now(), of);
        pending
    }

    fn pull(lane: &Lane, count: usize) -> Vec<i64> {
        let mut state = lane.state();
        let next = |_| state.next_request(lane.terms, Instant::now())?.request;
        (0..count)
            .map_while(next)
            .map(|request| match request {
                Request::Attachment(dispatch) => dispatch.message_id,
                other @ (Request::Message(_)
                | Request::Edit(_)
                | Request::Delete(_)
                | Request::Seen(_)
                | Request::Delivered(_)
                | Request::Block(_)
                | Request::Unblock(_)) => {
                    unreachable!("only dispatches were submitted: {other:?}")
                }
            })
            .collect()
    }

    #[tokio::test]
    async fn a_lane_whose_task_is_gone_refuses() {
        let core = StubCore::default();
        let lane = Arc::new(lane());
        let run = Arc::clone(&lane).run(core.client());
        let before = dispatch(&lane, 1);
        drop(run);
        for (pending, expected) in [
            (before, ErrorReason::StoreUnavailable),
            (dispatch(&lane, 2), ErrorReason::ShuttingDown),
        ] {
            let outcome = pending.await.expect("an answer");
            assert_eq!(outcome.expect_err("a refusal").reason(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_stream_waits_for_a_second_attempt() {
        for (refused, expected) in
            [(1, Ok(())), (2, Err(ErrorReason::StoreUnavailable)), (0, Ok(()))]
        {
            let core = StubCore::default();
            core.change(|state| state.refused_streams = refused);
            let lane = Arc::new(lane());
            let pending = dispatch(&lane, 1);
            let running = tokio::spawn(Arc::clone(&lane).run(core.client()));
            let outcome = pending.await.expect("an answer");
            assert_eq!(outcome.map(drop).map_err(|failure| failure.reason()), expected);
            lane.close();
            running.await.expect("a task");
        }
    }

    /// This edge stood still: no timer came before the stream.
    #[tokio::test(start_paused = true)]
    async fn what_has_waited_for_too_long_is_not_put_on_the_stream() {
        let lane = Arc::new(lane());
        let pending = dispatch(&lane, 1);
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
        let broken = [|| StreamEnd::Broken(None), || StreamEnd::HandedBack(String::new())];
        for (end, is_probing) in broken.into_iter().zip([false, true]) {
            let lane = lane();
            let pending: Vec<_> = (0..6).map(|number| dispatch(&lane, number)).collect();
            lane.set_up(None);
            assert_eq!(pull(&lane, 4), [0, 1, 2, 3]);
            lane.set_ended(end());
            assert_eq!(pull(&lane, 9), [0; 0], "nothing goes onto a stream that is not there");
            for _ in 0..3 {
                lane.set_up(None);
                assert_eq!(pull(&lane, 2), if is_probing { vec![0] } else { vec![0, 1] });
                lane.set_ended(end());
            }
            lane.state().is_probing = false;
            lane.set_up(None);
            assert_eq!(pull(&lane, 9), [0, 1, 2, 3, 4, 5]);
            drop(pending);
        }
    }
}
