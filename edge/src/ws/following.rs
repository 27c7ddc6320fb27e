//! The stream that one connection of the second generation has of its own (PROTOCOL-2 section 4): first what the client
//! missed, as fast as it takes it, then what happens.
//!
//! Of what comes no more than one response is held, besides the queue of the connection. A stream that breaks is opened again
//! at the position that was reached, and the client does not notice.
//!
//! * [`calls`]: what is asked of the core.
//! * [`progress`]: the position, and what the client is told of it.

mod calls;
mod progress;

use std::{pin::Pin, sync::Arc, time::Duration};

use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{Event, Failure, ListThreadsResponse, SubscribeResponse, Typing, event::Change},
};
use netrox_traces::Span;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tracing::Instrument as _;

use self::{
    calls::{Begun, CoreOfUser},
    progress::Progress,
};
use super::{
    close::CloseReason,
    delivery::{Pushed, push_late},
    feed::out_of_reach,
    queue::{Outgoing, Push, SignalKey},
    subscription::{FIRST_RETRY, Fate, MAX_RETRY, Responses, Subscriptions},
};
use crate::{
    backoff::Backoff,
    limits::Limiter,
    metrics::{Delivering, Metrics, ShedSignal},
    trace,
    wire::{
        Generation,
        v2::{
            cursor::{Cursor, Reset},
            server_frame,
        },
    },
};

/// How long a place is kept for a response that does not come.
const LONGEST_READ: Duration = Duration::from_secs(5);

/// A stream that is open, and what is to be done with it.
pub(super) struct Following {
    user: UserId,
    /// Also of its calls.
    session_id: RequestId,
    subscriptions: Arc<Subscriptions>,
    limiter: Arc<Limiter>,
    responses: Responses,
    progress: Progress,
}

/// How a connection begins.
pub(super) struct Beginning {
    pub(super) session_id: RequestId,
    pub(super) cursor: Cursor,
    pub(super) resumed: bool,
    pub(super) reset: Option<Reset>,
    pub(super) behind: u64,
}

impl Following {
    /// Opens the stream, after what the client has where it has something.
    pub(super) async fn open(
        subscriptions: &Arc<Subscriptions>,
        limiter: &Arc<Limiter>,
        user: UserId,
        session_id: RequestId,
        after: Option<&str>,
    ) -> Result<(Self, Beginning), Failure> {
        let span = tracing::info_span!("subscription", user.id = %user, request_id = %session_id);
        let core = CoreOfUser { subscriptions, user };
        let turn = subscriptions.openings.turn(false).await;
        // Later calls are no part of the handshake.
        let named = session_id.clone().in_current_trace();
        let opened = named.scope(core.begin(after)).instrument(span);
        let Begun { responses, progress, reset, resumed, behind } = Box::pin(opened).await?;
        drop(turn);
        let cursor = progress.cursor();
        tracing::debug!(
            user.id = %user,
            request_id = %session_id,
            resumed,
            reset = reset.map(Reset::word),
            behind,
            "a connection of the second generation begins"
        );
        let beginning =
            Beginning { session_id: session_id.clone(), cursor, resumed, reset, behind };
        let (subscriptions, limiter) = (Arc::clone(subscriptions), Arc::clone(limiter));
        let following = Self { user, session_id, subscriptions, limiter, responses, progress };
        Ok((following, beginning))
    }

    /// Fills the queue of the connection until that cannot go on; gives why. To be dropped when the connection closes.
    pub(super) fn run(
        self: Box<Self>,
        outgoing: Arc<Outgoing>,
    ) -> Pin<Box<dyn Future<Output = CloseReason> + Send>> {
        Box::pin(self.follow_for_good(outgoing))
    }

    async fn follow_for_good(self: Box<Self>, outgoing: Arc<Outgoing>) -> CloseReason {
        let Self { user, session_id, subscriptions, limiter, responses, mut progress } = *self;
        let core = CoreOfUser { subscriptions: &subscriptions, user };
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        let mut opened = Ok(responses);
        loop {
            let failure = match opened {
                Ok(responses) => {
                    let opened_at = Instant::now();
                    let metrics = &subscriptions.metrics;
                    let stream =
                        Stream { responses, limiter: &limiter, outgoing: &outgoing, metrics };
                    let failure = stream.follow(&core, &mut progress).await;
                    metrics.deliveries.subscription_broke(failure.reason());
                    if opened_at.elapsed() >= MAX_RETRY {
                        backoff.reset();
                    }
                    failure
                }
                Err(failure) => failure,
            };
            match Fate::of(failure.reason()) {
                Fate::UserDeleted => return CloseReason::UserDeleted,
                Fate::PositionLost => {
                    tracing::warn!(
                        user.id = %user,
                        request_id = %session_id,
                        error = failure.message,
                        "the subscription of {user} cannot be resumed"
                    );
                    return CloseReason::PositionLost;
                }
                Fate::Broken => tracing::debug!(
                    user.id = %user,
                    request_id = %session_id,
                    error = failure.message,
                    "the subscription of {user} broke"
                ),
            }
            sleep(backoff.next_delay()).await;
            let turn = subscriptions.openings.turn(true).await;
            let again = session_id.clone().scope(core.resume(&mut progress));
            opened = Box::pin(again).await;
            drop(turn);
        }
    }
}

/// One stream, until it ends.
struct Stream<'a> {
    responses: Responses,
    limiter: &'a Limiter,
    outgoing: &'a Outgoing,
    metrics: &'a Metrics,
}

impl Stream<'_> {
    async fn follow(mut self, core: &CoreOfUser<'_>, progress: &mut Progress) -> Failure {
        let mut asks_from = Instant::now();
        loop {
            if let Err(failure) = self.come_up(core, progress, &mut asks_from).await {
                return failure;
            }
            let response = match self.next(core, progress.is_live()).await {
                Ok(response) => response,
                Err(failure) => return failure,
            };
            let SubscribeResponse { events, last_seq, epoch, .. } = response;
            if let Err(failure) = progress.enter(&epoch) {
                return failure;
            }
            let mut counted = self.metrics.deliveries.begin(Generation::V2);
            for event in events {
                self.show(core.user, event, progress, &mut counted).await;
            }
            drop(counted);
            progress.reach(last_seq);
        }
    }

    /// A response. In a catch-up it takes one of the user's places to read it.
    async fn next(
        &mut self,
        core: &CoreOfUser<'_>,
        is_live: bool,
    ) -> Result<SubscribeResponse, Failure> {
        let revocations = &core.subscriptions.revocations;
        let response = if is_live {
            self.responses.message().await
        } else {
            let place = self.limiter.catch_up_read(core.user).await;
            match timeout(LONGEST_READ, self.responses.message()).await {
                Ok(response) => response,
                Err(_) => {
                    drop(place);
                    self.responses.message().await
                }
            }
        };
        revocations.known().await;
        match response {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(out_of_reach()),
            Err(status) => Err(Failure::from(&status)),
        }
    }

    /// Tells the client, once, that what it missed is through. Finds out where the feed ends, where that has to be known.
    async fn come_up(
        &self,
        core: &CoreOfUser<'_>,
        progress: &mut Progress,
        asks_from: &mut Instant,
    ) -> Result<(), Failure> {
        let goes_live = !progress.is_live() && progress.is_through();
        if !goes_live && (!progress.wants_end() || Instant::now() < *asks_from) {
            return Ok(());
        }
        let overview = core.overview().await;
        if overview.is_err() && progress.is_live() {
            // What happens is shown all the same, and where the feed ends is asked later.
            *asks_from = Instant::now() + MAX_RETRY;
            return Ok(());
        }
        let ListThreadsResponse { unread_total, last_seq, .. } = overview?;
        if progress.wants_end() {
            progress.set_end(last_seq);
        }
        if goes_live {
            progress.go_live();
            let cursor = progress.cursor().encode(core.user);
            self.push(server_frame::live(&cursor, unread_total), progress).await;
        }
        Ok(())
    }

    async fn show(
        &self,
        user: UserId,
        event: Event,
        progress: &mut Progress,
        counted: &mut Delivering<'_>,
    ) {
        if let Some(Change::Typing(Typing { peer_id, typing })) = &event.change {
            // A core sends nothing else.
            if let Ok(peer) = peer_id.parse() {
                let (key, frame) = (SignalKey::Typing(peer), server_frame::typing(peer, *typing));
                // It waits behind all else, and nothing waits for it.
                if self.outgoing.push_signal(key, frame, *typing) {
                    self.metrics.signals.shed(ShedSignal::Socket);
                }
            }
            return;
        }
        let Some((cursor, is_new)) = progress.take(&event) else { return };
        let cursor = cursor.encode(user);
        let span = trace::delivery(user, &event);
        let trace_id = span.as_ref().map(Span::trace_id);
        let (frame, lateness) = match &event.change {
            Some(Change::Message(message)) => {
                // Whoever has written types no more.
                if is_new && let Ok(peer) = message.sender_id.parse() {
                    self.outgoing.retain_signals(|key| key != SignalKey::Typing(peer));
                }
                let is_received = is_new
                    && !progress.is_catching_up(self.outgoing.is_empty())
                    && message.receiver_id.parse() == Ok(user);
                let lateness = is_received.then(|| counted.lateness(message, trace_id)).flatten();
                (server_frame::message(&cursor, is_new, message, user), lateness)
            }
            Some(Change::Thread(thread)) => (server_frame::thread(&cursor, thread), None),
            Some(Change::Typing(_) | Change::Presence(_) | Change::User(_)) | None => return,
        };
        let pushed = self.push(frame, progress).await;
        drop(span);
        if pushed.is_given {
            counted.given(lateness);
        }
        if pushed.has_waited {
            counted.has_waited();
        }
    }

    /// Who catches up is never too slow, as long as the socket takes something.
    async fn push(&self, frame: Utf8Bytes, progress: &mut Progress) -> Pushed {
        if !progress.is_catching_up(self.outgoing.is_empty()) {
            return push_late(self.outgoing, &frame, &self.metrics.sockets).await;
        }
        let mut has_waited = false;
        while let Push::Full { stalled_since } = self.outgoing.push(frame.clone()) {
            has_waited = true;
            self.outgoing.changed(frame.len(), stalled_since).await;
        }
        Pushed { has_waited, is_given: true }
    }
}
