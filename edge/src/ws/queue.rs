//! The frames that wait to be written to one connection, and the wish to close it. Signals wait in a [`lane`] behind them; `life` has
//! what is known of the client, and what its session is asked to do.

mod lane;
mod life;

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use self::lane::Lane;
pub(super) use self::lane::SignalKey;
use super::{admitted::Admitted, close::CloseReason, places::Place};
use crate::{revocation::TokenMark, wire::Generation};

/// No client waits for so long.
const NO_RECONNECT: u64 = u64::MAX;
/// A queue grown beyond it gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 16;

/// Bounded in frames and in bytes. The feed and the session push, the session pops, any may close.
pub(super) struct Outgoing {
    admitted: Mutex<Admitted>,
    generation: Generation,
    max_frames: usize,
    max_bytes: usize,
    created_at: Instant,
    /// When something came from the client last, in microseconds after that.
    heard_after: AtomicU64,
    /// A ping is wanted, to see whether the client lives.
    is_probed: AtomicBool,
    /// Something came since then, or none was ever wanted.
    has_answered: AtomicBool,
    /// After how many milliseconds the client is to connect anew, until it is told.
    reconnect_after: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// Given back when the connection is replaced or ends.
    place: Option<Place>,
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
    /// The first frame was taken.
    has_begun: bool,
    signals: Lane,
    close: Option<CloseReason>,
    /// Nothing will be written any more.
    sealed: bool,
    /// Since when the socket has not taken what was given to it.
    stalled_since: Option<Instant>,
    /// How long the feed has waited for the socket since the queue was half empty.
    waited: Duration,
    session: Option<Waker>,
    /// Waits for room.
    feed: Option<Waker>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Push {
    /// Queued, or of no use because the connection closes.
    Done,
    /// Since when the socket has been stuck; `None` if it is the session that has yet to run.
    Full { stalled_since: Option<Instant> },
}

impl Outgoing {
    /// Counts as stalled until a session takes frames from it.
    pub(super) fn new(
        generation: Generation,
        max_frames: usize,
        max_bytes: usize,
        place: Place,
    ) -> Self {
        let state = State {
            place: Some(place),
            frames: VecDeque::new(),
            bytes: 0,
            has_begun: false,
            signals: Lane::default(),
            close: None,
            sealed: false,
            stalled_since: Some(Instant::now()),
            waited: Duration::ZERO,
            session: None,
            feed: None,
        };
        Self {
            admitted: Mutex::default(),
            generation,
            max_frames,
            max_bytes,
            created_at: Instant::now(),
            heard_after: AtomicU64::new(0),
            is_probed: AtomicBool::new(false),
            has_answered: AtomicBool::new(true),
            reconnect_after: AtomicU64::new(NO_RECONNECT),
            state: Mutex::new(state),
        }
    }

    /// The same of who was admitted.
    pub(super) fn of(self, admitted: Admitted) -> Self {
        Self { admitted: Mutex::new(admitted), ..self }
    }

    pub(super) fn admitted(&self) -> Admitted {
        *self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection goes on under another token. `expires_at` is in Unix seconds.
    pub(super) fn renew(&self, token: TokenMark, expires_at: i64) {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        *admitted = Admitted { token, expires_at, ..*admitted };
    }

    /// What its frames are rendered for.
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what the user receives.
    pub(super) fn push(&self, frame: Utf8Bytes) -> Push {
        let state = self.state();
        if state.close.is_some() {
            return Push::Done;
        }
        self.push_to(state, frame, false)
    }

    /// Queues what is told before all else that waits, but for the first frame of a connection. Of no use where it closes.
    pub(super) fn push_first(&self, frame: Utf8Bytes) -> Push {
        let state = self.state();
        if state.close.is_some() {
            return Push::Done;
        }
        self.push_to(state, frame, true)
    }

    /// Queues the answer to what the client sent, which is given even before a close.
    pub(super) fn push_answer(&self, frame: Utf8Bytes) -> Push {
        self.push_to(self.state(), frame, false)
    }

    fn push_to(&self, mut state: MutexGuard<'_, State>, frame: Utf8Bytes, is_first: bool) -> Push {
        if state.sealed {
            return Push::Done;
        }
        if !self.has_room_for(&state, frame.len()) {
            return Push::Full { stalled_since: state.stalled_since };
        }
        // Where there were frames before, the session is not waiting for one.
        let session = if state.frames.is_empty() { state.session.take() } else { None };
        state.bytes += frame.len();
        if is_first {
            let index = usize::from(!state.has_begun).min(state.frames.len());
            state.frames.insert(index, frame);
        } else {
            state.frames.push_back(frame);
        }
        drop(state);
        wake(session);
        Push::Done
    }

    /// Queues what the user's peers do just now, behind all frames. `passes`: it holds no longer than somebody types. Whether an
    /// older one had to go for it.
    pub(super) fn push_signal(&self, key: SignalKey, frame: Utf8Bytes, passes: bool) -> bool {
        let mut state = self.state();
        if state.close.is_some() || state.sealed {
            return false;
        }
        let is_first = state.frames.is_empty() && state.signals.is_empty();
        let shed = state.signals.push(key, frame, passes);
        let session = if is_first { state.session.take() } else { None };
        drop(state);
        wake(session);
        shed
    }

    /// Drops the signals that wait and are not to be kept.
    pub(super) fn retain_signals(&self, keeps: impl Fn(SignalKey) -> bool) {
        self.state().signals.retain(keeps);
    }

    /// A signal, where no frame waits.
    pub(super) fn pop_signal(&self) -> Option<Utf8Bytes> {
        let mut state = self.state();
        if state.frames.is_empty() { state.signals.pop() } else { None }
    }

    /// A frame larger than the whole queue has its place in an empty one.
    fn has_room_for(&self, state: &State, bytes: usize) -> bool {
        state.frames.is_empty()
            || state.frames.len() < self.max_frames && state.bytes + bytes <= self.max_bytes
    }

    /// Resolves when a frame of `bytes` has room, when the socket is no longer `stalled_since` then, or
    /// when the connection closes.
    pub(super) async fn changed(&self, bytes: usize, stalled_since: Option<Instant>) {
        poll_fn(|cx| {
            let mut state = self.state();
            if self.has_room_for(&state, bytes)
                || state.sealed
                || state.close.is_some()
                || state.stalled_since != stalled_since
            {
                return Poll::Ready(());
            }
            register(&mut state.feed, cx);
            Poll::Pending
        })
        .await;
    }

    /// How long the feed has waited for the socket since the queue was half empty.
    pub(super) fn waited(&self) -> Duration {
        self.state().waited
    }

    /// To be called after a wait for a socket that was stuck.
    pub(super) fn add_wait(&self, wait: Duration) {
        self.state().waited += wait;
    }

    /// Closes the connection; the first reason counts, unless the other ends it at once. One that is replaced has no place any
    /// more.
    pub(super) fn close(&self, reason: CloseReason) {
        let (session, feed, _place) = {
            let mut state = self.state();
            if state.close.is_some_and(|first| first.is_at_once() || !reason.is_at_once()) {
                return;
            }
            state.close = Some(reason);
            let place = if reason.gives_up_place() { state.place.take() } else { None };
            if !reason.finishes_queue() {
                state.clear();
            }
            (state.session.take(), state.feed.take(), place)
        };
        wake(session);
        wake(feed);
    }

    /// Why to close, if so; else the session is woken when that changes or when a first frame comes.
    pub(super) fn poll_close(&self, cx: &Context<'_>) -> Option<CloseReason> {
        let mut state = self.state();
        register(&mut state.session, cx);
        state.close
    }

    pub(super) fn pop(&self) -> Option<Utf8Bytes> {
        let mut state = self.state();
        let frame = state.frames.pop_front()?;
        state.has_begun = true;
        state.bytes -= frame.len();
        if state.frames.is_empty() && state.frames.capacity() > KEPT_CAPACITY {
            state.frames = VecDeque::new();
        }
        // Not for every frame, so that the two tasks do not wake each other for each.
        let half_free =
            state.frames.len() <= self.max_frames / 2 && state.bytes <= self.max_bytes / 2;
        if half_free {
            state.waited = Duration::ZERO;
        }
        let feed = if half_free { state.feed.take() } else { None };
        drop(state);
        wake(feed);
        Some(frame)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().frames.is_empty()
    }

    /// Says since when the socket has been stuck, or that it is not.
    pub(super) fn set_stalled(&self, since: Option<Instant>) {
        let feed = {
            let mut state = self.state();
            state.stalled_since = since;
            state.feed.take()
        };
        wake(feed);
    }

    /// Gives back the place of the connection.
    pub(super) fn leave(&self) {
        let place = self.state().place.take();
        drop(place);
    }

    /// Takes no more frames and drops those it has.
    pub(super) fn seal(&self) {
        let feed = {
            let mut state = self.state();
            state.sealed = true;
            state.clear();
            state.feed.take()
        };
        wake(feed);
    }
}

impl State {
    fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.bytes = 0;
        self.signals.clear();
    }
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
