//! Gives what a user receives to each of their connections, and waits for those that are slow, but not for ever.

use std::{sync::Arc, time::Duration, vec};

use futures_util::future::{BoxFuture, join_all};
use netrox_proto::v1::{Event, Message, event::Change};
use netrox_traces::Span;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    close::CloseReason,
    feed::Feed,
    queue::{Outgoing, Push},
};
use crate::{
    metrics::{Delivering, Lateness, Metrics, SocketMetrics},
    trace,
    wire::{Generation, MessageFrames},
};

/// How long in total a socket may take nothing before its full queue is half empty again. Until then
/// the user's other connections wait too: a burst, such as after a break, is not yet a slow consumer.
const MAX_STALL: Duration = Duration::from_secs(1);

/// A connection that has no room for a frame.
type Late = (Arc<Outgoing>, Utf8Bytes);

/// Delivers events after `position`. Gives what has to be waited for, which is rare, and large beside the rest of the task.
pub(super) fn deliver<'a>(
    feed: &'a Feed,
    metrics: &'a Metrics,
    events: Vec<Event>,
    position: u64,
) -> Option<BoxFuture<'a, ()>> {
    if events.is_empty() {
        return None;
    }
    let connections = feed.connections();
    // A feed stays for a while when the last of them has gone.
    if connections.is_empty() {
        return None;
    }
    let mut counted = metrics.deliveries.begin(Generation::V1);
    let mut events = events.into_iter();
    while let Some(event) = events.next() {
        let Some(arriving) = Arriving::new(feed, event, position) else { continue };
        let (late, lateness) = push(&connections, &arriving, &mut counted);
        if !late.is_empty() {
            let late = (late, lateness, arriving.span);
            let late = deliver_late(feed, metrics, counted, connections, late, events, position);
            return Some(Box::pin(late));
        }
    }
    None
}

/// From a frame on that some connections have no room for.
async fn deliver_late(
    feed: &Feed,
    metrics: &Metrics,
    mut counted: Delivering<'_>,
    connections: Vec<Arc<Outgoing>>,
    (mut late, mut lateness, mut span): (Vec<Late>, Option<Lateness>, Option<Span>),
    mut events: vec::IntoIter<Event>,
    position: u64,
) {
    loop {
        let pushed =
            late.iter().map(|(outgoing, frame)| push_late(outgoing, frame, &metrics.sockets));
        for pushed in join_all(pushed).await {
            if pushed.is_given {
                counted.given(lateness);
            }
        }
        counted.has_waited();
        drop(span.take());
        let Some(event) = events.next() else { return };
        late.clear();
        if let Some(arriving) = Arriving::new(feed, event, position) {
            (late, lateness) = push(&connections, &arriving, &mut counted);
            span = arriving.span;
        }
    }
}

/// A message that is new to the user, and its span until it is with all connections, where it is traced.
struct Arriving {
    message: Message,
    span: Option<Span>,
}

impl Arriving {
    /// That of an event after `position`, if it is one.
    fn new(feed: &Feed, event: Event, position: u64) -> Option<Self> {
        // A resumed stream begins after the position; this holds the core to it. What only changed has been shown, or
        // will be at its first place. A core of 0.1.0 tells of nothing else.
        if event.seq <= position || event.first_seq != 0 && event.first_seq != event.seq {
            return None;
        }
        let span = trace::delivery(feed.user, &event);
        match event.change? {
            Change::Message(message) if message.receiver_id.parse() == Ok(feed.user) => {
                Some(Self { message, span })
            }
            Change::Message(_)
            | Change::Thread(_)
            | Change::Typing(_)
            | Change::Presence(_)
            | Change::User(_) => None,
        }
    }
}

/// Shows a message to each connection in its generation. Gives those that have no room for it, and how late it is.
fn push(
    connections: &[Arc<Outgoing>],
    arriving: &Arriving,
    counted: &mut Delivering<'_>,
) -> (Vec<Late>, Option<Lateness>) {
    let Arriving { message, span } = arriving;
    let lateness = counted.lateness(message, span.as_ref().map(Span::trace_id));
    let frames = MessageFrames::of(message);
    let late = |outgoing: &Arc<Outgoing>| {
        let frame = frames.get(outgoing.generation())?;
        match outgoing.push(frame.clone()) {
            Push::Done => {
                counted.given(lateness);
                None
            }
            Push::Full { .. } => Some((Arc::clone(outgoing), frame.clone())),
        }
    };
    (connections.iter().filter_map(late).collect(), lateness)
}

/// What became of a frame that may have had to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pushed {
    pub(super) has_waited: bool,
    /// Else its socket was given up.
    pub(super) is_given: bool,
}

/// Waits for a session that has yet to run, or for a socket that is still taking bytes; gives up on
/// one that is stuck, or hardly takes any.
pub(super) async fn push_late(
    outgoing: &Outgoing,
    frame: &Utf8Bytes,
    metrics: &SocketMetrics,
) -> Pushed {
    let (mut has_waited, mut is_given) = (false, true);
    while let Push::Full { stalled_since } = outgoing.push(frame.clone()) {
        if !std::mem::replace(&mut has_waited, true) {
            metrics.stalled();
        }
        let changed = outgoing.changed(frame.len(), stalled_since);
        if stalled_since.is_none() {
            changed.await;
            continue;
        }
        let left = MAX_STALL.saturating_sub(outgoing.waited());
        if left.is_zero() {
            outgoing.close(CloseReason::TooSlow);
            is_given = false;
            continue;
        }
        let start = Instant::now();
        // An error is the end of the time.
        let _ = timeout(left, changed).await;
        outgoing.add_wait(start.elapsed());
    }
    Pushed { has_waited, is_given }
}
