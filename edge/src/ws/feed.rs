//! What a user receives: one subscription to the core, shared by all connections of the user.
//!
//! The subscription outlives breaks of the link: it is opened again after the last position, so that
//! the connections, which stay open, see each message once. It ends with the user's last connection.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
    vec,
};

use futures_util::future::{BoxFuture, join_all};
use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{ErrorReason, Event, Failure, SubscribeRequest, SubscribeResponse, event::Change},
};
use tokio::{
    sync::{Notify, oneshot},
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tonic::Streaming;
use tracing::Instrument as _;

use super::{
    close::CloseReason,
    position::{Epochs, Position},
    queue::{Outgoing, Push},
    server_frame,
};
use crate::{Edge, backoff::Backoff};

const FIRST_RETRY: Duration = Duration::from_millis(100);
/// A delay and the attempt after it stay within the 5 s in which a feed is promised to recover.
const MAX_RETRY: Duration = Duration::from_secs(2);
/// For the call and for the first response, which comes at once.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// At most one attempt in it, however many handshakes ask for one.
const MIN_RETRY: Duration = Duration::from_millis(100);
/// How long in total a socket may take nothing before its full queue is half empty again. Until then
/// the user's other connections wait too: a burst, such as after a break, is not yet a slow consumer.
const MAX_STALL: Duration = Duration::from_secs(1);

/// The connections of a user, and how far their subscription is.
pub(super) struct Feed {
    pub(super) user: UserId,
    state: Mutex<State>,
    /// A handshake waits for the subscription: the next attempt is due now.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Handshakes that wait for the subscription.
    waiters: Vec<oneshot::Sender<Result<(), Failure>>>,
    /// In the order in which they came.
    connections: Vec<Connected>,
    /// The connections have been asked whether they live, because there are too many.
    is_probing: bool,
    task: Option<AbortHandle>,
}

/// What becomes of a user's connections when there is one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// There are no more than may be, or it is being looked already which one has to go.
    Done,
    /// There are too many: [`Feed::settle`] is to be called in a moment.
    Probing,
}

#[derive(Default)]
enum Phase {
    #[default]
    Opening,
    Live,
    /// Nothing will be delivered any more.
    Ended(Failure),
}

impl State {
    fn counted(&mut self) -> impl Iterator<Item = &mut Connected> {
        self.connections.iter_mut().filter(|connected| connected.counts)
    }

    /// Closes those beyond `max`: first who has not answered the probe, then who was silent longest before it, then the
    /// oldest.
    fn replace(&mut self, max: usize) {
        let mut counted: Vec<_> = self.counted().collect();
        let surplus = counted.len().saturating_sub(max);
        // Stable: they are in the order in which they came.
        counted.sort_by_cached_key(|connected| {
            (connected.outgoing.has_answered(), connected.heard_at)
        });
        for connected in counted.into_iter().take(surplus) {
            connected.counts = false;
            let reason = if connected.outgoing.has_answered() {
                CloseReason::Replaced
            } else {
                CloseReason::ReplacedSilent
            };
            connected.outgoing.close(reason);
        }
    }
}

struct Connected {
    outgoing: Arc<Outgoing>,
    /// When something was heard of it last before it was probed.
    heard_at: Instant,
    /// Counts against the user's limit: its handshake is done, and it is not being replaced.
    counts: bool,
}

impl Feed {
    pub(super) fn new(user: UserId) -> Self {
        Self { user, state: Mutex::default(), wanted: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_task(&self, task: AbortHandle) {
        self.state().task = Some(task);
    }

    /// From now on the connection is given what the subscription brings.
    pub(super) fn add(&self, outgoing: Arc<Outgoing>) {
        let heard_at = outgoing.heard_at();
        let mut state = self.state();
        // Most users have one.
        if state.connections.is_empty() {
            state.connections.reserve_exact(1);
        }
        state.connections.push(Connected { outgoing, heard_at, counts: false });
    }

    /// Counts a connection whose handshake succeeds. Beyond `max` the others are asked whether they live; beyond twice as
    /// many there is no time for their answers.
    pub(super) fn admit(&self, outgoing: &Arc<Outgoing>, max: usize) -> Admission {
        let mut state = self.state();
        for connected in &mut state.connections {
            connected.counts |= Arc::ptr_eq(&connected.outgoing, outgoing);
        }
        let count = state.counted().count();
        if count <= max {
            return Admission::Done;
        }
        if count > max * 2 {
            state.replace(max);
            return Admission::Done;
        }
        if std::mem::replace(&mut state.is_probing, true) {
            return Admission::Done;
        }
        // The newest has just shown that it lives.
        let is_older = |other: &&mut Connected| !Arc::ptr_eq(&other.outgoing, outgoing);
        for connected in state.counted().filter(is_older) {
            connected.heard_at = connected.outgoing.heard_at();
            connected.outgoing.probe();
        }
        Admission::Probing
    }

    /// Closes the connections beyond `max`, once they had time to answer.
    pub(super) fn settle(&self, max: usize) {
        let mut state = self.state();
        state.replace(max);
        state.is_probing = false;
    }

    /// Whether the connection was the last.
    pub(super) fn remove(&self, outgoing: &Arc<Outgoing>) -> bool {
        let mut state = self.state();
        state.connections.retain(|connected| !Arc::ptr_eq(&connected.outgoing, outgoing));
        state.connections.is_empty()
    }

    /// Drops the subscription.
    pub(super) fn stop(&self) {
        let task = self.state().task.take();
        if let Some(task) = task {
            task.abort();
        }
    }

    pub(super) fn close_all(&self, reason: CloseReason) {
        for outgoing in self.connections() {
            outgoing.close(reason);
        }
    }

    /// Resolves when no message sent from now on can be missed.
    pub(super) async fn live(&self) -> Result<(), Failure> {
        let live = {
            let mut state = self.state();
            match &state.phase {
                Phase::Opening => {}
                Phase::Live => return Ok(()),
                Phase::Ended(failure) => return Err(failure.clone()),
            }
            let (waiter, live) = oneshot::channel();
            state.waiters.push(waiter);
            live
        };
        self.wanted.notify_one();
        match timeout(OPEN_TIMEOUT, live).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(out_of_reach()),
        }
    }

    fn set_phase(&self, phase: Phase) {
        let (waiters, result) = {
            let mut state = self.state();
            state.phase = phase;
            let result = match &state.phase {
                Phase::Opening => return,
                Phase::Live => Ok(()),
                Phase::Ended(failure) => Err(failure.clone()),
            };
            (std::mem::take(&mut state.waiters), result)
        };
        for waiter in waiters {
            // The handshake may have been given up.
            let _ = waiter.send(result.clone());
        }
    }

    fn connections(&self) -> Vec<Arc<Outgoing>> {
        let state = self.state();
        state.connections.iter().map(|connected| Arc::clone(&connected.outgoing)).collect()
    }

    /// Gives what has to be waited for, which is rare, and large beside the rest of the task.
    fn deliver(&self, events: Vec<Event>, position: u64) -> Option<BoxFuture<'_, ()>> {
        if events.is_empty() {
            return None;
        }
        let connections = self.connections();
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            let Some(frame) = self.frame(event, position) else { continue };
            let full = push_to(&connections, &frame);
            if !full.is_empty() {
                let rest = self.deliver_late(connections, full, frame, events, position);
                return Some(Box::pin(rest));
            }
        }
        None
    }

    /// From a frame on that some connections have no room for.
    async fn deliver_late(
        &self,
        connections: Vec<Arc<Outgoing>>,
        mut full: Vec<Arc<Outgoing>>,
        mut frame: Utf8Bytes,
        mut events: vec::IntoIter<Event>,
        position: u64,
    ) {
        loop {
            join_all(full.iter().map(|outgoing| push_late(outgoing, &frame))).await;
            let Some(event) = events.next() else { return };
            full.clear();
            if let Some(next) = self.frame(event, position) {
                full = push_to(&connections, &next);
                frame = next;
            }
        }
    }

    /// What the user's connections are shown of an event after `position`, if anything.
    fn frame(&self, event: Event, position: u64) -> Option<Utf8Bytes> {
        // A resumed stream begins after the position; this holds the core to it. What only changed has been shown, or
        // will be at its first place. A core of 0.1.0 tells of nothing else.
        if event.seq <= position || event.first_seq != 0 && event.first_seq != event.seq {
            return None;
        }
        match event.change? {
            Change::Message(message) if message.receiver_id.parse() == Ok(self.user) => {
                server_frame::received(&message)
            }
            Change::Message(_) => None,
        }
    }
}

/// Gives those that are full.
fn push_to(connections: &[Arc<Outgoing>], frame: &Utf8Bytes) -> Vec<Arc<Outgoing>> {
    let push = |outgoing: &&Arc<Outgoing>| outgoing.push(frame.clone()) != Push::Done;
    connections.iter().filter(push).cloned().collect()
}

/// Waits for a session that has yet to run, or for a socket that is still taking bytes; gives up on
/// one that is stuck, or hardly takes any.
async fn push_late(outgoing: &Outgoing, frame: &Utf8Bytes) {
    while let Push::Full { stalled_since } = outgoing.push(frame.clone()) {
        let changed = outgoing.changed(frame.len(), stalled_since);
        if stalled_since.is_none() {
            changed.await;
            continue;
        }
        let left = MAX_STALL.saturating_sub(outgoing.waited());
        if left.is_zero() {
            outgoing.close(CloseReason::TooSlow);
            continue;
        }
        let start = Instant::now();
        // An error is the end of the time.
        let _ = timeout(left, changed).await;
        outgoing.add_wait(start.elapsed());
    }
}

/// Runs until the last connection is gone, when it is aborted, or until the subscription cannot go on.
pub(super) async fn run(edge: Edge, feed: Arc<Feed>) {
    let (user, epochs) = (feed.user, &edge.shared.sockets.epochs);
    let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
    let mut position: Option<Position> = None;
    let (failure, reason) = loop {
        let turn = edge.shared.sockets.openings.turn(position.is_some()).await;
        let attempted_at = Instant::now();
        // The call's future is large and short-lived, the task's is small and long-lived.
        let id = RequestId::draw();
        let span = tracing::info_span!("subscription", user.id = %user, request_id = %id);
        let opened = id.clone().scope(open(&edge, user, position.as_ref())).instrument(span);
        let opened = Box::pin(opened).await;
        drop(turn);
        let failure = match opened {
            Ok((mut responses, first)) => {
                let opened_at = Instant::now();
                let before = position.take();
                let reached = position.insert(Position::of(before, &first, epochs));
                // There are many that wait for the next one.
                drop(first);
                feed.set_phase(Phase::Live);
                let failure = follow(&feed, &mut responses, reached, epochs).await;
                feed.set_phase(Phase::Opening);
                edge.shared.metrics.subscription_broke(failure.reason());
                if opened_at.elapsed() >= MAX_RETRY {
                    backoff.reset();
                }
                failure
            }
            Err(failure) => failure,
        };
        match failure.reason() {
            ErrorReason::UserDeleted => break (failure, CloseReason::UserDeleted),
            // There is no connection yet that would stay open: the handshakes fail.
            _ if position.is_none() => break (failure, CloseReason::PositionLost),
            // The database does not know the position or the user any more: it has gone back, or is another one.
            ErrorReason::EpochChanged | ErrorReason::InvalidField | ErrorReason::UserUnknown => {
                tracing::warn!(
                    user.id = %user,
                    request_id = %id,
                    "the subscription of {user} cannot be resumed: {}", failure.message
                );
                break (out_of_reach(), CloseReason::PositionLost);
            }
            _ => {
                tracing::debug!(
                    user.id = %user,
                    request_id = %id,
                    "the subscription of {user} broke: {}", failure.message
                );
                let wanted = async {
                    feed.wanted.notified().await;
                    sleep_until(attempted_at + MIN_RETRY).await;
                };
                // An error is the end of the delay.
                let _ = timeout(backoff.next_delay(), wanted).await;
            }
        }
    };
    edge.shared.known_users.forget(user);
    // Nobody joins from here on, so that all who did are closed.
    edge.shared.sockets.forget(&feed);
    feed.set_phase(Phase::Ended(failure));
    feed.close_all(reason);
}

/// Boxed, because a future that is moved holds it more than once.
type Responses = Box<Streaming<SubscribeResponse>>;

/// Opens the subscription and awaits its first response.
async fn open(
    edge: &Edge,
    user: UserId,
    after: Option<&Position>,
) -> Result<(Responses, SubscribeResponse), Failure> {
    let request = SubscribeRequest {
        user_id: user.to_string(),
        after_seq: after.map(|position| position.seq),
        received_only: true,
        epoch: after.and_then(|position| position.epoch.as_deref()).map(str::to_owned),
    };
    let opened = timeout(OPEN_TIMEOUT, async {
        let responses = edge.shared.core.chat.clone().subscribe(request).await?.into_inner();
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
    feed: &Feed,
    responses: &mut Streaming<SubscribeResponse>,
    position: &mut Position,
    epochs: &Epochs,
) -> Failure {
    loop {
        let (events, reached) = match responses.message().await {
            Ok(Some(SubscribeResponse { events, last_seq, epoch })) => {
                position.enter(&epoch, epochs);
                (events, last_seq)
            }
            Ok(None) => return out_of_reach(),
            Err(status) => return Failure::from(&status),
        };
        if let Some(late) = feed.deliver(events, position.seq) {
            late.await;
        }
        position.seq = reached.max(position.seq);
    }
}

fn out_of_reach() -> Failure {
    Failure::new(ErrorReason::StoreUnavailable, "the core is out of reach")
}
