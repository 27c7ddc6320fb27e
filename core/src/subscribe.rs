//! One subscription: first what was missed, from the store, then what happens, from the hub, without a
//! hole or a repetition between the two.
//!
//! The position only moves forward. An entry of the queue at or before it was already sent; one that is
//! not the next after it shows a hole, and the store is read again.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{FutureExt, Stream, future::BoxFuture, ready};
use netrox_proto::{ids::UserId, v1};
use prost::Message as _;
use tonic::Status;

use crate::{
    error::Error,
    hub::{Entry, Hub, Registration, Taken},
    store::{Store, feed::FeedPage, user::UserKey},
};

/// Events read from the store at a time.
const PAGE_EVENTS: usize = 128;
/// What one response may carry, so that it stays far below the limit of a gRPC message.
const RESPONSE_EVENTS: usize = 128;
const RESPONSE_BYTES: usize = 256 * 1024;

pub(crate) struct Subscription {
    store: Store,
    registration: Registration,
    user_key: UserKey,
    user_id: UserId,
    received_only: bool,
    /// The position after what was sent.
    last_seq: u64,
    phase: Phase,
}

enum Phase {
    /// The first response, which confirms the position, is still to be sent.
    Starting {
        behind: bool,
    },
    CatchingUp(BoxFuture<'static, Result<FeedPage, Error>>),
    /// A page that was read is being sent.
    Sending(FeedPage),
    Live,
    Ended,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("user_id", &self.user_id)
            .field("last_seq", &self.last_seq)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    pub(crate) async fn open(
        store: &Store,
        hub: &Hub,
        user_id: UserId,
        after_seq: Option<u64>,
        received_only: bool,
    ) -> Result<Self, Error> {
        // Registered before the store is asked, so that nothing falls between the two.
        let registration = hub.register(user_id, received_only)?;
        let user = store.find_feed(user_id).await?.ok_or(Error::UserUnknown)?;
        if user.deleted {
            return Err(Error::UserDeleted);
        }
        let end = user.last_seq.cast_unsigned();
        registration.start(end);
        let last_seq = after_seq.unwrap_or(end);
        if last_seq > end {
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
            received_only,
            last_seq,
            phase: Phase::Starting { behind: last_seq < end },
        })
    }

    fn catch_up(&mut self) {
        let (store, after) = (self.store.clone(), self.last_seq);
        let (user_key, user_id, received_only) = (self.user_key, self.user_id, self.received_only);
        let page = async move {
            Ok(store.read_feed(user_key, user_id, after, received_only, PAGE_EVENTS).await?)
        };
        self.phase = Phase::CatchingUp(page.boxed());
    }

    /// What is ready in the queue, as far as one response goes; `None` where there is nothing to send and the
    /// phase has changed.
    fn poll_live(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<v1::SubscribeResponse, Error>>> {
        let mut events = Vec::new();
        let mut bytes = 0;
        while events.len() < RESPONSE_EVENTS && bytes < RESPONSE_BYTES {
            let taken = match self.registration.poll_take(context) {
                Poll::Ready(taken) => taken,
                Poll::Pending if events.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            };
            let (first, last) = match &taken {
                // Found again at the next poll.
                Taken::Closed(_) if !events.is_empty() => break,
                Taken::Closed(error) => {
                    self.phase = Phase::Ended;
                    return Poll::Ready(Some(Err(error.clone())));
                }
                Taken::Behind => {
                    self.catch_up();
                    break;
                }
                Taken::Entry(Entry::Event(event)) => (event.seq, event.seq),
                Taken::Entry(Entry::Skipped(first, last)) => (*first, *last),
            };
            if last <= self.last_seq {
                continue;
            }
            if first > self.last_seq + 1 {
                self.catch_up();
                break;
            }
            self.last_seq = last;
            if let Taken::Entry(Entry::Event(event)) = taken {
                bytes += event.message.body.len();
                let message = v1::Message::clone(&event.message);
                events.push(v1::Event {
                    seq: event.seq,
                    change: Some(v1::event::Change::Message(message)),
                    first_seq: 0,
                });
            }
        }
        if events.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(v1::SubscribeResponse {
            events,
            last_seq: self.last_seq,
            epoch: String::new(),
        })))
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
                        this.catch_up();
                    } else {
                        this.phase = Phase::Live;
                    }
                    let last_seq = this.last_seq;
                    return Poll::Ready(Some(Ok(v1::SubscribeResponse {
                        events: Vec::new(),
                        last_seq,
                        epoch: String::new(),
                    })));
                }
                Phase::CatchingUp(page) => {
                    let page = match ready!(page.as_mut().poll(context)) {
                        Ok(page) => page,
                        Err(error) => {
                            this.phase = Phase::Ended;
                            return Poll::Ready(Some(Err(error.into())));
                        }
                    };
                    this.phase = Phase::Sending(page);
                }
                Phase::Sending(page) => {
                    if let Some(response) = next_response(page) {
                        this.last_seq = response.last_seq;
                        return Poll::Ready(Some(Ok(response)));
                    }
                    this.last_seq = page.last_seq;
                    if page.complete {
                        this.phase = Phase::Live;
                    } else {
                        this.catch_up();
                    }
                }
                Phase::Live => {
                    if let Some(response) = ready!(this.poll_live(context)) {
                        return Poll::Ready(Some(response.map_err(Status::from)));
                    }
                }
                Phase::Ended => return Poll::Ready(None),
            }
        }
    }
}

/// Takes as much off a page as one response may carry.
fn next_response(page: &mut FeedPage) -> Option<v1::SubscribeResponse> {
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
    let last_seq = if page.events.is_empty() { page.last_seq } else { events.last()?.seq };
    (!events.is_empty()).then_some(v1::SubscribeResponse { events, last_seq, epoch: String::new() })
}
