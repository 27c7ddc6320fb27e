//! One subscription: first what was missed, from the store, then what happens, from the hub, without a
//! hole or a repetition between the two.
//!
//! The position only moves forward. An entry of the queue at or before it was already sent; one that is
//! not the next after it shows a hole, and the store is read again.
//!
//! * [`watched`]: the same with the presence of peers.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, Stream, ready};
use netrox_metrics::Held;
use netrox_proto::{ids::UserId, request_id::RequestId, v1};
use prost::Message as _;
use tonic::Status;
use tracing::Instrument as _;

use crate::{
    change::{Change, FeedScope, Subject, ThreadSubject, Wanted},
    delivery::{
        Delivery,
        hub::{Entry, Next, Registration},
    },
    error::Error,
    feed_lookup::FeedLookup,
    metrics::{ReadCause, Stream as StreamKind, Streams},
    reading::Reading,
    request,
    store::{
        Store,
        feed::FeedPage,
        history::{Position, Start},
        thread_state::ThreadStateRow,
        user::UserKey,
    },
};

mod watched;

pub(crate) use self::watched::{Watch, Watched};

/// Events read from the store at a time.
const PAGE_EVENTS: usize = 128;
/// What one response may carry, so that it stays far below the limit of a gRPC message.
const RESPONSE_EVENTS: usize = 128;
const RESPONSE_BYTES: usize = 256 * 1024;

/// No start.
const NOT_TOLD: Start = Start(-1);

pub(crate) struct Subscription {
    store: Store,
    registration: Registration,
    user_key: UserKey,
    user_id: UserId,
    scope: FeedScope,
    /// The position after what was sent.
    position: Position,
    /// Where the feed ended when it began.
    end_seq: u64,
    /// The place and the start that the subscriber was told of last.
    told_seq: u64,
    told_start: Start,
    phase: Phase,
    /// More than a page is missing: the next is read ahead. Who wants a page alone leaves before.
    is_far_behind: bool,
    metrics: Streams,
    /// Something was missing, and is read.
    is_repairing: bool,
    _open: Held,
    request: Option<RequestId>,
}

/// Where a subscription begins, if not at the end of the feed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum After {
    /// A place in whichever history the database has.
    Seq(u64),
    Position(Position),
}

enum Phase {
    /// The first response, which confirms the position, is still to be sent.
    Starting {
        behind: bool,
    },
    CatchingUp(Reading<FeedPage>),
    /// A page that was read is being sent.
    Sending(Box<FeedPage>),
    /// What happens, but for the state of a thread, which is being read.
    Counting {
        place: Position,
        state: Reading<Vec<ThreadStateRow>>,
    },
    Live,
    Ended,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("user_id", &self.user_id)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    pub(crate) async fn open(
        store: &Store,
        lookup: &FeedLookup,
        delivery: &Delivery,
        user_id: UserId,
        after: Option<After>,
        wanted: Wanted,
        metrics: Streams,
    ) -> Result<Self, Error> {
        // Registered before the store is asked, so that nothing falls between the two.
        let registration = delivery.register(user_id, wanted)?;
        let known = match after {
            Some(After::Position(position)) => position,
            Some(After::Seq(_)) | None => Position::default(),
        };
        let user = lookup.find(user_id, known).await?.ok_or(Error::UserUnknown)?;
        if user.deleted {
            return Err(Error::UserDeleted);
        }
        if user.is_lost && matches!(after, Some(After::Position(_))) {
            return Err(Error::EpochChanged);
        }
        let end = user.end();
        registration.start(end);
        let position = match after {
            None => end,
            Some(After::Position(position)) => position,
            Some(After::Seq(seq)) => Position { seq, ..end },
        };
        if position.seq > end.seq {
            return Err(Error::InvalidField {
                field: "after_seq",
                problem: "beyond the user's last change",
            });
        }
        Ok(Self {
            store: store.clone(),
            registration,
            user_key: user.key,
            user_id,
            scope: wanted.scope,
            position,
            end_seq: end.seq,
            told_seq: 0,
            told_start: NOT_TOLD,
            phase: Phase::Starting { behind: position != end },
            is_far_behind: false,
            _open: metrics.open(StreamKind::Subscribe),
            metrics,
            is_repairing: false,
            request: RequestId::current(),
        })
    }

    fn catch_up(&mut self, cause: ReadCause) {
        self.metrics.read_for(cause);
        self.is_repairing |= cause.is_of_a_loss();
        let (store, after) = (self.store.clone(), self.position);
        let (user_key, user_id, scope) = (self.user_key, self.user_id, self.scope);
        let page = async move {
            let page = store.read_feed(user_key, user_id, after, scope, PAGE_EVENTS);
            page.await?.ok_or(Error::EpochChanged)
        };
        let span = request::span(self.request.as_ref());
        self.phase = Phase::CatchingUp(Reading::begin(page.instrument(span)));
    }

    /// Reads the state of a thread that has changed at this place.
    fn count(&mut self, place: Position, thread_id: i64) {
        let (store, user_key) = (self.store.clone(), self.user_key);
        let state = async move { Ok(store.thread_states(user_key, &[thread_id]).await?) };
        let span = request::span(self.request.as_ref());
        self.phase = Phase::Counting { place, state: Reading::begin(state.instrument(span)) };
    }

    /// The same where it has been read; as if it had not been told where it is not there.
    fn counted(
        &mut self,
        place: Position,
        mut states: Vec<ThreadStateRow>,
    ) -> Option<v1::SubscribeResponse> {
        let Some(state) = states.pop() else {
            self.catch_up(ReadCause::Hole);
            return None;
        };
        self.phase = Phase::Live;
        self.position = Position { start: self.position.start.max(place.start), seq: place.seq };
        let change = Some(v1::event::Change::Thread(state.into()));
        Some(self.response(vec![v1::Event { seq: place.seq, change, ..Default::default() }]))
    }

    /// From the position before to the one now.
    fn response(&mut self, events: Vec<v1::Event>) -> v1::SubscribeResponse {
        let Position { start, seq } = self.position;
        self.metrics.sent(events.len());
        self.told_seq = seq;
        let epoch = if self.told_start == start {
            String::new()
        } else {
            self.told_start = start;
            self.store.history().epoch(start).to_string()
        };
        v1::SubscribeResponse { events, last_seq: seq, epoch, end_seq: None }
    }

    fn end(&mut self, error: Error) -> Status {
        self.phase = Phase::Ended;
        request::about(self.request.as_ref(), || Status::from(error))
    }

    /// What is ready in the queue, as far as one response goes; `None` where there is nothing to send and the
    /// phase has changed.
    fn poll_live(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<v1::SubscribeResponse, Error>>> {
        let mut events = Vec::new();
        let (mut bytes, mut signals) = (0, 0);
        while events.len() < RESPONSE_EVENTS && bytes < RESPONSE_BYTES {
            let next = match self.registration.poll_next(context) {
                Poll::Ready(next) => next,
                Poll::Pending if events.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            };
            let (first, last, prior) = match &next {
                // Found again at the next poll.
                Next::Closed(_) if !events.is_empty() => break,
                Next::Closed(error) => {
                    self.phase = Phase::Ended;
                    return Poll::Ready(Some(Err(error.clone())));
                }
                Next::Behind => {
                    self.catch_up(ReadCause::Behind);
                    break;
                }
                Next::Signal(typing) => {
                    signals += 1;
                    events.push(typing.to_wire());
                    continue;
                }
                Next::Entry(Entry::Change(change)) => {
                    (change.place.seq, change.place, change.prior)
                }
                Next::Entry(Entry::Skipped(skipped)) => {
                    (skipped.first, skipped.last, skipped.prior)
                }
            };
            // A core of 0.1.0 does not tell the start.
            let is_here = [Start::default(), self.position.start].contains(&last.start);
            if is_here && last.seq <= self.position.seq {
                continue;
            }
            let next_seq = self.position.seq + 1;
            let follows = if is_here {
                first <= next_seq
            } else {
                first == next_seq && prior == self.position.start
            };
            if !follows {
                // The store tells which of two histories is ours, and what is missing.
                self.catch_up(ReadCause::Hole);
                break;
            }
            let event = match &next {
                Next::Entry(Entry::Change(Change {
                    place,
                    subject: Subject::Thread(ThreadSubject::InStore(thread_id)),
                    ..
                })) => {
                    self.count(*place, *thread_id);
                    break;
                }
                Next::Entry(Entry::Change(change)) => {
                    let event = change.to_wire();
                    if event.is_none() {
                        // Only the store has it.
                        self.catch_up(ReadCause::Hole);
                        break;
                    }
                    bytes += change.text_len();
                    event
                }
                Next::Entry(Entry::Skipped(_))
                | Next::Signal(_)
                | Next::Behind
                | Next::Closed(_) => None,
            };
            self.position = Position { start: self.position.start.max(last.start), seq: last.seq };
            events.extend(event);
        }
        self.metrics.signals.sent(signals);
        if events.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(self.response(events))))
    }
}

impl Stream for Subscription {
    type Item = Result<v1::SubscribeResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.phase {
                Phase::Starting { behind } => {
                    if *behind {
                        this.catch_up(ReadCause::Position);
                    } else {
                        this.phase = Phase::Live;
                    }
                    let end_seq = Some(this.end_seq);
                    let first = v1::SubscribeResponse { end_seq, ..this.response(Vec::new()) };
                    return Poll::Ready(Some(Ok(first)));
                }
                Phase::CatchingUp(page) => {
                    let page = match ready!(page.poll_unpin(context)) {
                        Ok(page) => page,
                        Err(error) => return Poll::Ready(Some(Err(this.end(error)))),
                    };
                    this.phase = Phase::Sending(Box::new(page));
                }
                Phase::Counting { place, state } => {
                    let (place, read) = (*place, ready!(state.poll_unpin(context)));
                    let states = match read {
                        Ok(states) => states,
                        Err(error) => return Poll::Ready(Some(Err(this.end(error)))),
                    };
                    if let Some(response) = this.counted(place, states) {
                        return Poll::Ready(Some(Ok(response)));
                    }
                }
                Phase::Sending(page) => {
                    if let Some((events, position)) = next_events(page) {
                        let has_next = page.events.is_empty() && !page.is_complete;
                        this.position = position;
                        if has_next && this.is_far_behind {
                            // While the subscriber takes the last of this one.
                            this.catch_up(ReadCause::Position);
                        }
                        return Poll::Ready(Some(Ok(this.response(events))));
                    }
                    this.position = page.end;
                    this.is_far_behind = !page.is_complete;
                    if page.is_complete {
                        this.phase = Phase::Live;
                        if std::mem::take(&mut this.is_repairing) {
                            this.metrics.repaired();
                        }
                        // Places that nothing has any more move it, too.
                        if this.told_seq < this.position.seq {
                            return Poll::Ready(Some(Ok(this.response(Vec::new()))));
                        }
                    } else {
                        this.catch_up(ReadCause::Position);
                    }
                }
                Phase::Live => {
                    if let Some(response) = ready!(this.poll_live(context)) {
                        let request = this.request.as_ref();
                        let status = |error| request::about(request, || Status::from(error));
                        return Poll::Ready(Some(response.map_err(status)));
                    }
                }
                Phase::Ended => return Poll::Ready(None),
            }
        }
    }
}

/// Takes as much off a page as one response may carry, with the position after it.
fn next_events(page: &mut FeedPage) -> Option<(Vec<v1::Event>, Position)> {
    let mut bytes = 0;
    let fitting = page
        .events
        .iter()
        .take_while(|event| {
            let fits = bytes < RESPONSE_BYTES;
            bytes += event.encoded_len();
            fits
        })
        .count();
    let events: Vec<_> = page.events.drain(..fitting).collect();
    let seq = if page.events.is_empty() { page.end.seq } else { events.last()?.seq };
    (!events.is_empty()).then_some((events, Position { seq, ..page.end }))
}
