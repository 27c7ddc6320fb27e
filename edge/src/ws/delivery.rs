//! Gives what a user receives to each of their connections, and waits for those that are slow, but not for ever.

use std::{sync::Arc, time::Duration, vec};

use futures_util::future::{BoxFuture, join_all};
use netrox_proto::v1::{Event, event::Change};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    close::CloseReason,
    feed::Feed,
    queue::{Outgoing, Push},
};
use crate::wire::v1::server_frame;

/// How long in total a socket may take nothing before its full queue is half empty again. Until then
/// the user's other connections wait too: a burst, such as after a break, is not yet a slow consumer.
const MAX_STALL: Duration = Duration::from_secs(1);

/// Delivers events after `position`. Gives what has to be waited for, which is rare, and large beside the rest of the task.
pub(super) fn deliver(feed: &Feed, events: Vec<Event>, position: u64) -> Option<BoxFuture<'_, ()>> {
    if events.is_empty() {
        return None;
    }
    let connections = feed.members.all();
    let mut events = events.into_iter();
    while let Some(event) = events.next() {
        let Some(frame) = shown(feed, event, position) else { continue };
        let full = push_to(&connections, &frame);
        if !full.is_empty() {
            let rest = deliver_late(feed, connections, full, frame, events, position);
            return Some(Box::pin(rest));
        }
    }
    None
}

/// From a frame on that some connections have no room for.
async fn deliver_late(
    feed: &Feed,
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
        if let Some(next) = shown(feed, event, position) {
            full = push_to(&connections, &next);
            frame = next;
        }
    }
}

/// What the user's connections are shown of an event after `position`, if anything.
fn shown(feed: &Feed, event: Event, position: u64) -> Option<Utf8Bytes> {
    // A resumed stream begins after the position; this holds the core to it. What only changed has been shown, or
    // will be at its first place. A core of 0.1.0 tells of nothing else.
    if event.seq <= position || event.first_seq != 0 && event.first_seq != event.seq {
        return None;
    }
    match event.change? {
        Change::Message(message) if message.receiver_id.parse() == Ok(feed.user) => {
            server_frame::received(&message)
        }
        Change::Message(_) => None,
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
