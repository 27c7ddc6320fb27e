//! The one subscription of a user's feed, which outlives breaks of the link: it is opened again after the last position, so that
//! the connections, which stay open, see each message once. It ends with the user's last connection.

use std::{sync::Arc, time::Duration};

use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{ErrorReason, Failure, SubscribeRequest, SubscribeResponse},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until, timeout},
};
use tonic::Streaming;
use tracing::Instrument as _;

use super::{
    close::CloseReason,
    delivery::deliver,
    feed::{Feed, OPEN_TIMEOUT, out_of_reach},
    position::{Epochs, Position},
};
use crate::{backoff::Backoff, core_client::CoreClient, metrics::Metrics, revocation::Revocations};

pub(super) const FIRST_RETRY: Duration = Duration::from_millis(100);
/// A delay and the attempt after it stay within the 5 s in which a feed is promised to recover.
pub(super) const MAX_RETRY: Duration = Duration::from_secs(2);
/// At most one attempt in it, however many handshakes ask for one.
const MIN_RETRY: Duration = Duration::from_millis(100);

/// Subscriptions that are opened at a time.
const OPENINGS: usize = 256;

/// Turns for subscriptions to be opened: where a core comes back, all users of an edge want theirs at once. Each waits at
/// the edge then, where it costs nothing.
pub(super) struct Openings {
    /// With a handshake that waits.
    first: Semaphore,
    again: Semaphore,
}

impl Default for Openings {
    fn default() -> Self {
        Self { first: Semaphore::new(OPENINGS), again: Semaphore::new(OPENINGS) }
    }
}

impl Openings {
    /// Until what is given is dropped. Neither is ever closed.
    pub(super) async fn turn(&self, is_again: bool) -> Option<SemaphorePermit<'_>> {
        let turns = if is_again { &self.again } else { &self.first };
        turns.acquire().await.ok()
    }
}

/// What the subscriptions of an edge share.
pub(super) struct Subscriptions {
    pub(super) core: CoreClient,
    /// Nothing is shown to anybody while they are not known.
    pub(super) revocations: Arc<Revocations>,
    pub(super) openings: Openings,
    epochs: Epochs,
    pub(super) metrics: Metrics,
}

/// Why a subscription cannot go on: what handshakes are told, and what connections.
pub(super) struct Ended {
    pub(super) failure: Failure,
    pub(super) reason: CloseReason,
}

/// What a failure means for a subscription.
pub(super) enum Fate {
    UserDeleted,
    /// The database does not know the position or the user any more: it has gone back, or is another one.
    PositionLost,
    /// It can be opened again.
    Broken,
}

impl Fate {
    pub(super) fn of(reason: ErrorReason) -> Self {
        use ErrorReason as R;
        match reason {
            R::UserDeleted => Self::UserDeleted,
            R::EpochChanged | R::InvalidField | R::UserUnknown => Self::PositionLost,
            R::Unspecified
            | R::BodyTooLarge
            | R::AttachmentTooLarge
            | R::ReceiverUnknown
            | R::ReceiverIsSender
            | R::MessageNotFound
            | R::AttachmentNotFound
            | R::RangeNotSatisfiable
            | R::Overloaded
            | R::StoreUnavailable
            | R::HandedBack
            | R::ShuttingDown
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
            | R::Internal => Self::Broken,
        }
    }
}

impl Subscriptions {
    pub(super) fn new(core: CoreClient, revocations: Arc<Revocations>, metrics: Metrics) -> Self {
        let (openings, epochs) = (Openings::default(), Epochs::default());
        Self { core, revocations, openings, epochs, metrics }
    }

    /// Keeps a feed live until nobody comes back to it, when this is aborted, or until the subscription cannot go on. One
    /// that breaks is opened again, unless `is_given_up` says that nobody is there and nobody joins any more: what was
    /// missed would be shown to who came later.
    pub(super) async fn keep(&self, feed: &Feed, is_given_up: impl Fn() -> bool) -> Ended {
        let user = feed.user;
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        let mut position: Option<Position> = None;
        loop {
            let turn = self.openings.turn(position.is_some()).await;
            let attempted_at = Instant::now();
            // The call's future is large and short-lived, the task's is small and long-lived.
            let id = RequestId::draw();
            let span = tracing::info_span!("subscription", user.id = %user, request_id = %id);
            let opened = id.clone().scope(self.open(user, position.as_ref())).instrument(span);
            let opened = Box::pin(opened).await;
            drop(turn);
            let failure = match opened {
                Ok((mut responses, first)) => {
                    let opened_at = Instant::now();
                    let before = position.take();
                    let reached = position.insert(Position::of(before, &first, &self.epochs));
                    // There are many that wait for the next one.
                    drop(first);
                    feed.begin();
                    let failure = self.follow(feed, &mut responses, reached).await;
                    feed.pause();
                    if !feed.is_left() {
                        self.metrics.deliveries.subscription_broke(failure.reason());
                    }
                    if opened_at.elapsed() >= MAX_RETRY {
                        backoff.reset();
                    }
                    failure
                }
                Err(failure) => failure,
            };
            let (failure, reason) = match Fate::of(failure.reason()) {
                Fate::UserDeleted => (failure, CloseReason::UserDeleted),
                // There is no connection yet that would stay open: the handshakes fail.
                Fate::PositionLost | Fate::Broken if position.is_none() => {
                    (failure, CloseReason::PositionLost)
                }
                Fate::PositionLost => {
                    tracing::warn!(
                        user.id = %user,
                        request_id = %id,
                        error = failure.message,
                        "the subscription of {user} cannot be resumed"
                    );
                    (out_of_reach(), CloseReason::PositionLost)
                }
                Fate::Broken if is_given_up() => (failure, CloseReason::PositionLost),
                Fate::Broken => {
                    tracing::debug!(
                        user.id = %user,
                        request_id = %id,
                        error = failure.message,
                        "the subscription of {user} broke"
                    );
                    let wanted = async {
                        feed.is_wanted().await;
                        sleep_until(attempted_at + MIN_RETRY).await;
                    };
                    // An error is the end of the delay.
                    let _ = timeout(backoff.next_delay(), wanted).await;
                    continue;
                }
            };
            return Ended { failure, reason };
        }
    }

    async fn open(
        &self,
        user: UserId,
        after: Option<&Position>,
    ) -> Result<(Responses, SubscribeResponse), Failure> {
        let request = SubscribeRequest {
            user_id: user.to_string(),
            after_seq: after.map(|position| position.seq),
            received_only: true,
            epoch: after.and_then(|position| position.epoch.as_deref()).map(str::to_owned),
            ..Default::default()
        };
        self.call(request).await
    }

    /// Opens a subscription and awaits its first response.
    pub(super) async fn call(
        &self,
        request: SubscribeRequest,
    ) -> Result<(Responses, SubscribeResponse), Failure> {
        let opened = timeout(OPEN_TIMEOUT, async {
            let responses = self.core.chat.clone().subscribe(request).await?.into_inner();
            let mut responses = Box::new(responses);
            let first = responses.message().await?;
            Ok::<_, tonic::Status>((responses, first))
        });
        match opened.await {
            Ok(Ok((responses, Some(first)))) => Ok((responses, first)),
            Ok(Ok((_, None))) | Err(_) => Err(out_of_reach()),
            Ok(Err(status)) => Err(Failure::from(&status)),
        }
    }

    /// Delivers until the stream ends, and keeps the position that is reached; nothing of a response while it waits for the
    /// next.
    async fn follow(
        &self,
        feed: &Feed,
        responses: &mut Streaming<SubscribeResponse>,
        position: &mut Position,
    ) -> Failure {
        loop {
            let (events, reached) = match responses.message().await {
                Ok(Some(SubscribeResponse { events, last_seq, epoch, .. })) => {
                    position.enter(&epoch, &self.epochs);
                    (events, last_seq)
                }
                Ok(None) => return out_of_reach(),
                Err(status) => return Failure::from(&status),
            };
            self.revocations.known().await;
            if let Some(late) = deliver(feed, &self.metrics, events, position.seq) {
                late.await;
            }
            position.seq = reached.max(position.seq);
        }
    }
}

/// Boxed, because a future that is moved holds it more than once.
pub(super) type Responses = Box<Streaming<SubscribeResponse>>;

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn so_many_subscriptions_are_opened_again_at_a_time_and_a_handshake_waits_for_none() {
        let openings = Openings::default();
        let mut turns = Vec::new();
        for _ in 0..OPENINGS {
            turns.push(openings.turn(true).await);
        }
        let mut next = std::pin::pin!(openings.turn(true));
        assert!(poll!(&mut next).is_pending());
        assert!(openings.turn(false).await.is_some());
        turns.pop();
        assert!(next.await.is_some());
    }
}
