//! One connection: frames in, frames out, pings and the end.
//!
//! Reading and writing are polled side by side in one task, so that neither waits for the other. What
//! can wait is bounded: commands on their way to the core, frames to be written, the time that a write
//! may take. Commands are handed over when they are read and take effect whatever becomes of the
//! connection.
//!
//! * `read`: what the client sends, and the bounds on it.
//! * `refresh`: another token; `expiry`: the end of the one there is.
//! * `notices`: what is told before all that waits.
//! * `receipts`: marks of what was seen, which wait for each other.
//! * `typing`: what it says of its typing; `presence`: whom it watches.
//! * `waiting`: what was read and waits for the user's rate, or for room.
//! * `read_ahead`: what is read after a standstill of this edge, of clients that may have gone.
//! * `answers`: what its frames led to.
//! * `write`: what goes out.
//! * `close`: the end, step by step.
//! * `context`: what all sessions share.

mod answers;
mod close;
mod context;
mod expiry;
mod notices;
mod presence;
mod read;
mod read_ahead;
mod receipts;
mod refresh;
mod typing;
mod waiting;
mod write;

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};

pub(crate) use self::context::SessionContext;
use self::{
    answers::Reply, close::Closing, notices::Notices, presence::PresenceVerbs,
    read_ahead::ReadAhead, receipts::Receipts, refresh::Refreshing, typing::Words,
    waiting::Waiting,
};
pub(super) use self::{close::refuse, expiry::Expiry};
use super::{
    close::CloseReason,
    flood::{Budget, Metered},
    sockets::Connection,
};
use crate::{
    config::Limits,
    metrics::Close,
    sends::{SendPipeline, Sender},
    wire::Generation,
};

/// Commands of one connection without an answer; beyond it the connection is not read, unless they wait for a core or database
/// that is away.
const MAX_IN_FLIGHT: usize = 64;
/// The same in the second generation, of frames of any kind, whatever they wait for (PROTOCOL-2 section 3).
const MAX_UNANSWERED: usize = 256;
/// What is gathered before it is written.
const BATCH_BYTES: usize = 4 * 1024;
/// Every connection holds one all its life.
const READ_BUFFER_BYTES: usize = 1024;
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Error frames a second, and at once; beyond it the connection is read no faster.
const ERROR_RATE: u32 = 50;
const ERROR_BURST: u32 = 500;
/// Control frames of the client a second, and at once.
const CONTROL_RATE: u32 = 20;
const CONTROL_BURST: u32 = 100;

/// Without a bound on what is buffered: it is written out before the next batch, so that it holds
/// a batch and one frame at most, however large a frame of the core's is.
fn websocket_config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(BATCH_BYTES)
        .max_frame_size(Some(limits.max_frame_bytes))
        .max_message_size(Some(limits.max_frame_bytes))
        .accept_unmasked_frames(false)
}

/// How a session ended.
#[derive(Debug, Clone, Copy)]
enum SessionEnd {
    /// With a close frame of each side, or with what could be had of them.
    Closed,
    /// Without a close handshake, or silent, or not taking what is written.
    Gone,
}

pub(super) struct Session<S> {
    connection: Connection,
    context: Arc<SessionContext>,
    socket: WebSocketStream<Metered<S>>,
    /// In the order of the frames that they answer.
    answers: VecDeque<Reply>,
    /// Tokens of which it is looked whether they are good, one after the other.
    refreshing: VecDeque<Refreshing>,
    notices: Notices,
    waiting: Waiting,
    receipts: Receipts,
    words: Words,
    presence: PresenceVerbs,
    /// Brings what the user receives, in the second generation. Resolves when it cannot go on.
    following: Option<Pin<Box<dyn Future<Output = CloseReason> + Send>>>,
    /// Since when it was not read for what is under way or away, if there may be something to read from then.
    unread_since: Option<Instant>,
    /// Since when it has as much in flight as it may.
    full_since: Option<Instant>,
    /// From its first command on: most connections send nothing for most of their lives.
    sender: Option<Box<Sender>>,
    errors: Budget<ERROR_RATE, ERROR_BURST>,
    controls: Budget<CONTROL_RATE, CONTROL_BURST>,
    /// Bytes read before the message that is being received.
    message_start: u64,
    /// Bytes read until `heard_at`, when the peer was last heard.
    heard_bytes: u64,
    heard_at: Instant,
    /// Since when a ping waits for any sign of life.
    pinged_at: Option<Instant>,
    ping_due: bool,
    /// Messages were written since the peer was last heard.
    has_sent: bool,
    /// Bytes of signals that were written since then.
    signalled: usize,
    /// Nothing more will be read.
    read_ended: bool,
    /// It ends for a reason that does not wait for what was read.
    ended_at_once: bool,
    /// Standstills of this edge after which the socket was looked at.
    standstills: u64,
    /// Until then the socket is looked at again: what the last one left may not have come here yet.
    looks_until: Option<Instant>,
    /// What was read after one, until it is known whether the client is still there.
    read_ahead: ReadAhead,
    /// Nothing is read until then, for the errors that it led to.
    paused_until: Option<Instant>,
    /// Something was given to the socket that it may not have taken yet.
    unflushed: bool,
    /// The largest frame of those that were given to it last, in bytes.
    largest_frame: usize,
    /// Since when the socket has been taking nothing.
    stalled_since: Option<Instant>,
    closing: Option<Closing>,
    /// Where the end of its token is to be its own.
    expiry: Option<Box<Expiry>>,
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The session of a connection whose handshake is done.
    pub(super) async fn open(
        connection: Connection,
        context: Arc<SessionContext>,
        stream: S,
        expiry: Option<Expiry>,
    ) -> Self {
        let (config, stream) = (websocket_config(&context.config), Metered::new(stream));
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self::new(connection, context, socket, expiry)
    }

    /// Serves the connection until it ends, and closes it properly.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps room for its argument beside what it makes of it, for each connection"
    )]
    pub(super) fn run(mut self) -> impl Future<Output = ()> {
        async move {
            let end = {
                let timer = sleep_until(self.next_deadline());
                tokio::pin!(timer);
                poll_fn(|cx| self.poll(cx, timer.as_mut())).await
            };
            let socket = self.leave(end);
            match end {
                SessionEnd::Closed => Box::pin(close::finish(socket)).await,
                SessionEnd::Gone => {}
            }
        }
    }

    /// Leaves the registry.
    fn leave(mut self, end: SessionEnd) -> WebSocketStream<Metered<S>> {
        self.submit_last();
        self.submit_last_receipts();
        self.note_end(end);
        self.socket
    }

    fn new(
        mut connection: Connection,
        context: Arc<SessionContext>,
        socket: WebSocketStream<Metered<S>>,
        expiry: Option<Expiry>,
    ) -> Self {
        connection.outgoing.set_stalled(None);
        let standstills = context.standstill.seen(Instant::now()).count;
        let following = connection.following.take();
        let outgoing = &connection.outgoing;
        let following = following.map(|following| following.run(Arc::clone(outgoing)));
        Self {
            standstills,
            looks_until: None,
            read_ahead: ReadAhead::default(),
            connection,
            context,
            socket,
            answers: VecDeque::new(),
            refreshing: VecDeque::new(),
            notices: Notices::default(),
            waiting: Waiting::default(),
            receipts: Receipts::default(),
            words: Words::default(),
            presence: PresenceVerbs::default(),
            following,
            unread_since: None,
            full_since: None,
            sender: None,
            errors: Budget::new(),
            controls: Budget::new(),
            message_start: 0,
            heard_bytes: 0,
            heard_at: Instant::now(),
            pinged_at: None,
            ping_due: false,
            has_sent: false,
            signalled: 0,
            read_ended: false,
            ended_at_once: false,
            paused_until: None,
            unflushed: false,
            largest_frame: 0,
            stalled_since: None,
            closing: None,
            expiry: expiry.map(Box::new),
        }
    }

    fn generation(&self) -> Generation {
        self.connection.outgoing.generation()
    }

    /// Counts an end that neither side has announced.
    fn note_end(&self, end: SessionEnd) {
        if matches!(end, SessionEnd::Gone) && self.closing.is_none() {
            self.context.metrics.sockets.closed(Close::of_connection());
        }
    }

    fn sends(&self) -> &SendPipeline {
        &self.context.sends
    }

    fn limits(&self) -> &Limits {
        &self.context.config
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<SessionEnd> {
        loop {
            let progress = match self.advance(cx) {
                Ok(progress) => progress,
                Err(end) => return Poll::Ready(end),
            };
            let is_due = timer.as_mut().poll(cx).is_ready();
            if is_due && let Err(end) = self.on_timer(Instant::now()) {
                return Poll::Ready(end);
            }
            // A timer that fires too early costs less than one that is put off with every frame.
            let deadline = self.next_deadline();
            if is_due || deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            } else if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Does what can be done now; gives whether that was anything.
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionEnd> {
        // Before a close or a failed write hides that the client had gone.
        let now = Instant::now();
        if !self.look_for_end(cx, now)? {
            return Ok(self.read_ended);
        }
        if let Some(reason) = self.connection.outgoing.poll_close(cx) {
            self.begin_close(reason);
        }
        self.ping_due |= self.connection.outgoing.take_probe();
        let told = self.poll_notices(now);
        let ended = self.poll_following(cx);
        let wrote = self.poll_write(cx);
        let marked = self.poll_receipts(cx);
        let typed = self.poll_typing(cx) | self.poll_presence(cx);
        let refreshed = self.poll_refreshing(cx);
        let answered = self.poll_answers(cx);
        let read = self.poll_read(cx)?;
        let closed = self.advance_close()?;
        let moved = told || ended || wrote || marked || typed;
        Ok(moved || refreshed || answered || read || closed)
    }

    /// Gives whether what the user receives has come to its end.
    fn poll_following(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(following) = &mut self.following else { return false };
        let Poll::Ready(reason) = following.as_mut().poll(cx) else { return false };
        self.following = None;
        self.context.known_users.forget(self.connection.user());
        self.begin_close(reason);
        true
    }

    fn next_deadline(&self) -> Instant {
        let stalled = self.stalled_since.map(|since| since + WRITE_TIMEOUT);
        let closing = self.closing.map(|closing| closing.until());
        let (due, marks_due) = (self.waiting.due(), self.receipts.due());
        let is_refreshing = !self.refreshing.is_empty();
        let expiry = self.expiry.as_ref().and_then(|expiry| expiry.due(is_refreshing));
        [stalled, closing, due, marks_due, self.paused_until, self.looks_until, expiry]
            .into_iter()
            .flatten()
            .fold(self.silent_until(), Instant::min)
    }

    /// When it is time to ping the peer, or to give it up. It has a whole period for its answer, also where this process
    /// stood still when the ping was due.
    fn silent_until(&self) -> Instant {
        let ping_interval = self.limits().ping_interval;
        match self.pinged_at {
            // A close has its own time.
            _ if self.closing.is_some() => Instant::now() + ping_interval,
            None => self.heard_at + ping_interval,
            Some(pinged_at) => (self.heard_at + ping_interval * 2).max(pinged_at + ping_interval),
        }
    }

    /// The peer lives: it sent something, or took what it had not taken for a while.
    fn note_life(&mut self, now: Instant) {
        self.heard_at = now;
        self.pinged_at = None;
    }

    fn look_at_expiry(&mut self, now: Instant) {
        let Some(expiry) = &mut self.expiry else { return };
        if let Some(expires_at) = expiry.take_warning(now) {
            self.notices.expires_at = Some(expires_at);
        }
        if expiry.take_end(now, !self.refreshing.is_empty()) {
            self.connection.outgoing.close(CloseReason::TokenExpired);
        }
    }

    fn on_timer(&mut self, now: Instant) -> Result<(), SessionEnd> {
        if self.stalled_since.is_some_and(|since| now >= since + WRITE_TIMEOUT) {
            return Err(SessionEnd::Gone);
        }
        self.hurry_close(now)?;
        self.look_at_expiry(now);
        // Whoever is not read cannot be heard.
        if self.has_enough_in_flight() || self.paused_until.is_some() {
            self.heard_at = now;
        }
        if self.paused_until.is_some_and(|until| now >= until) {
            self.paused_until = None;
        }
        if now < self.silent_until() {
            return Ok(());
        }
        if self.pinged_at.is_none() {
            self.pinged_at = Some(now);
            self.ping_due = true;
        } else if self.has_sent {
            // It may be reading still, and not have come to the ping yet: it is to find out why this ends.
            self.begin_close(CloseReason::TooSlow);
        } else {
            return Err(SessionEnd::Gone);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
