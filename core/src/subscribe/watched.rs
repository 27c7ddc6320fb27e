//! A subscription that also tells of the presence and the profiles of peers: signals, between what has a place.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use netrox_proto::v1::{self, event::Change};
use tonic::Status;

use super::Subscription;
use crate::presence::WatchStream;

/// Whom a subscription watches, and what it wants to know of them.
pub(crate) struct Watch {
    pub(crate) stream: WatchStream,
    pub(crate) presence: bool,
    pub(crate) users: bool,
}

/// A subscription, with or without a watch.
pub(crate) struct Watched {
    subscription: Subscription,
    watch: Option<Watch>,
    /// The position that was told last; none before the first response.
    last_seq: Option<u64>,
}

impl Watched {
    pub(crate) fn new(subscription: Subscription, watch: Option<Watch>) -> Self {
        Self { subscription, watch, last_seq: None }
    }
}

impl Watch {
    fn events(&self, response: v1::WatchPresenceResponse) -> Vec<v1::Event> {
        let v1::WatchPresenceResponse { presences, users } = response;
        let presences = presences.into_iter().filter(|_| self.presence).map(Change::Presence);
        let users = users.into_iter().filter(|_| self.users).map(Change::User);
        let event = |change| v1::Event { change: Some(change), ..Default::default() };
        presences.chain(users).map(event).collect()
    }
}

impl Stream for Watched {
    type Item = Result<v1::SubscribeResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // What has a place goes first.
        if let Poll::Ready(next) = Pin::new(&mut this.subscription).poll_next(cx) {
            if let Some(Ok(response)) = &next {
                this.last_seq = Some(response.last_seq);
            }
            return Poll::Ready(next);
        }
        let (Some(watch), Some(last_seq)) = (&mut this.watch, this.last_seq) else {
            return Poll::Pending;
        };
        loop {
            let response = match watch.stream.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(response))) => response,
                // Whoever subscribes again watches again.
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            let events = watch.events(response);
            if !events.is_empty() {
                let response = v1::SubscribeResponse { events, last_seq, ..Default::default() };
                return Poll::Ready(Some(Ok(response)));
            }
        }
    }
}
