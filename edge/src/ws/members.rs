//! The connections that belong to a user: who joins, who leaves, and who has to go where there are too many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{close::CloseReason, feed::FeedId, queue::Outgoing};

/// The connections of a user, of both generations.
#[derive(Default)]
pub(super) struct Members(Mutex<State>);

#[derive(Default)]
struct State {
    /// In the order in which they came.
    members: Vec<Member>,
    /// They have been asked whether they live, because there are too many.
    is_probing: bool,
}

struct Member {
    outgoing: Arc<Outgoing>,
    /// When something was heard of it last before it was probed.
    heard_at: Instant,
    /// Counts against the user's limit: its handshake is done, and it is not being replaced.
    counts: bool,
    /// What it is given what the user receives by, unless it has a stream of its own.
    feed: Option<FeedId>,
}

/// What becomes of a user's connections when there is one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// There are no more than may be, or it is being looked already which one has to go.
    Done,
    /// There are too many: [`Members::settle`] is to be called in a moment.
    Probing,
}

impl State {
    fn counted(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut().filter(|member| member.counts)
    }

    /// Closes those beyond `max`: first who has not answered the probe, then who was silent longest before it, then the
    /// oldest.
    fn replace(&mut self, max: usize) {
        let mut counted: Vec<_> = self.counted().collect();
        let surplus = counted.len().saturating_sub(max);
        // Stable: they are in the order in which they came.
        counted.sort_by_cached_key(|member| (member.outgoing.has_answered(), member.heard_at));
        for member in counted.into_iter().take(surplus) {
            member.counts = false;
            let reason = if member.outgoing.has_answered() {
                CloseReason::Replaced
            } else {
                CloseReason::ReplacedSilent
            };
            member.outgoing.close(reason);
        }
    }
}

impl Members {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the connection is given what the user receives, if it has a feed.
    pub(super) fn add(&self, outgoing: Arc<Outgoing>, feed: Option<FeedId>) {
        let heard_at = outgoing.heard_at();
        let mut state = self.state();
        // Most users have one.
        if state.members.is_empty() {
            state.members.reserve_exact(1);
        }
        state.members.push(Member { outgoing, heard_at, counts: false, feed });
    }

    /// Counts a connection whose handshake succeeds. Beyond `max` the others are asked whether they live; beyond twice as
    /// many there is no time for their answers.
    pub(super) fn admit(&self, outgoing: &Arc<Outgoing>, max: usize) -> Admission {
        let mut state = self.state();
        for member in &mut state.members {
            member.counts |= Arc::ptr_eq(&member.outgoing, outgoing);
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
        let is_older = |other: &&mut Member| !Arc::ptr_eq(&other.outgoing, outgoing);
        for member in state.counted().filter(is_older) {
            member.heard_at = member.outgoing.heard_at();
            member.outgoing.probe();
        }
        Admission::Probing
    }

    /// Closes the connections beyond `max`, once they had time to answer.
    pub(super) fn settle(&self, max: usize) {
        let mut state = self.state();
        state.replace(max);
        state.is_probing = false;
    }

    pub(super) fn remove(&self, outgoing: &Arc<Outgoing>) {
        self.state().members.retain(|member| !Arc::ptr_eq(&member.outgoing, outgoing));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().members.is_empty()
    }

    /// Whether no connection belongs to the feed.
    pub(super) fn has_left(&self, feed: FeedId) -> bool {
        !self.state().members.iter().any(|member| member.feed == Some(feed))
    }

    pub(super) fn all(&self) -> Vec<Arc<Outgoing>> {
        self.state().members.iter().map(|member| Arc::clone(&member.outgoing)).collect()
    }

    pub(super) fn close_all(&self, reason: CloseReason) {
        for outgoing in self.all() {
            outgoing.close(reason);
        }
    }

    /// Those that belong to the feed.
    pub(super) fn of_feed(&self, feed: FeedId) -> Vec<Arc<Outgoing>> {
        let state = self.state();
        let of_feed = state.members.iter().filter(|member| member.feed == Some(feed));
        of_feed.map(|member| Arc::clone(&member.outgoing)).collect()
    }
}
