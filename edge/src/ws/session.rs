//! One connection: frames in, frames out, pings and the end.
//!
//! Reading and writing are polled side by side in one task, so that neither waits for the other. What
//! can wait is bounded: commands on their way to the core, frames to be written, the time that a write
//! may take. Commands are handed over when they are read and take effect whatever becomes of the
//! connection.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, Stream};
use netrox_proto::v1::{ErrorReason, Failure};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::coop,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    client_frame,
    close::CloseReason,
    flood::{Budget, Metered},
    queue::Push,
    server_frame::Rejection,
    sockets::Connection,
};
use crate::{auth::Identity, config::Limits, sends};

/// Commands of one connection without an answer; beyond it the connection is not read.
const MAX_IN_FLIGHT: usize = 64;
/// What is gathered before it is written.
const BATCH_BYTES: usize = 4 * 1024;
/// Every connection holds one all its life.
const READ_BUFFER_BYTES: usize = 1024;
/// Room for control frames beside the largest frame.
const CONTROL_BYTES: usize = 4 * 1024;
/// A character takes at most six bytes more in JSON: `\u0001`.
const MAX_ESCAPE_BYTES: usize = 6;
/// Of a server frame, without its text.
const FRAME_OVERHEAD_BYTES: usize = 4 * 1024;
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the wish to close to the close frame, for what is on its way.
const FINISH_TIMEOUT: Duration = Duration::from_secs(3);
/// From the close frame to the end of the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Error frames a second, and at once, before the connection is closed.
const ERROR_RATE: u32 = 50;
const ERROR_BURST: u32 = 500;
/// Control frames of the client a second, and at once.
const CONTROL_RATE: u32 = 20;
const CONTROL_BURST: u32 = 100;
/// Frame headers that a message may have beside its text.
const FRAGMENT_OVERHEAD_BYTES: usize = 16 * 1024;
/// Of a masked control frame, without its payload.
const CONTROL_HEADER_BYTES: usize = 6;

/// Serves a connection until it ends, and closes it properly.
pub(super) async fn run<S>(connection: Connection, stream: S, expires_at: Option<Instant>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = websocket_config(&connection.edge.shared.config.limits);
    let stream = Metered::new(stream);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let (socket, end) = {
        let mut session = Session::new(connection, socket, expires_at);
        let timer = sleep_until(session.next_deadline());
        tokio::pin!(timer);
        let end = poll_fn(|cx| session.poll(cx, timer.as_mut())).await;
        // The connection leaves the registry here, before the close handshake.
        (session.socket, end)
    };
    match end {
        End::Close(reason) => Box::pin(close(socket, Some(reason))).await,
        End::ClosedByPeer => Box::pin(close(socket, None)).await,
        End::Gone => {}
    }
}

fn websocket_config(limits: &Limits) -> WebSocketConfig {
    let largest_frame = limits.max_body_bytes * MAX_ESCAPE_BYTES + FRAME_OVERHEAD_BYTES;
    // A core may allow larger bodies than this edge.
    let largest_frame = largest_frame.max(limits.outgoing_queue_bytes);
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(BATCH_BYTES)
        .max_write_buffer_size(BATCH_BYTES + largest_frame + CONTROL_BYTES)
        .max_frame_size(Some(limits.max_frame_bytes))
        .max_message_size(Some(limits.max_frame_bytes))
        .accept_unmasked_frames(false)
}

/// How a session ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Close(CloseReason),
    ClosedByPeer,
    /// Without a close handshake, or silent, or not taking what is written.
    Gone,
}

struct Session<S> {
    connection: Connection,
    socket: WebSocketStream<Metered<S>>,
    /// In the order of the frames that they answer.
    answers: VecDeque<Answer>,
    errors: Budget,
    controls: Budget,
    /// Bytes read before the message that is being received.
    message_start: u64,
    /// Bytes read until `heard_at`, when the peer was last heard.
    heard_bytes: u64,
    heard_at: Instant,
    ping_sent: bool,
    ping_due: bool,
    /// Something was given to the socket that it may not have taken yet.
    unflushed: bool,
    /// Since when the socket has been taking nothing.
    stalled_since: Option<Instant>,
    /// Nothing can be written any more; what was sent before can still be read.
    write_failed: bool,
    closing: Option<Closing>,
    expires_at: Option<Instant>,
}

/// A close that lets work finish first.
#[derive(Clone, Copy)]
struct Closing {
    reason: CloseReason,
    /// By when the close frame has to be sent all the same.
    until: Instant,
}

/// What a client's frame led to.
enum Answer {
    Refused(Rejection),
    Sent(sends::Pending),
    /// The core does not know the sender, who is being provisioned anew.
    Provisioning(Pin<Box<dyn Future<Output = Rejection> + Send>>),
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(
        connection: Connection,
        socket: WebSocketStream<Metered<S>>,
        expires_at: Option<Instant>,
    ) -> Self {
        connection.outgoing.set_stalled(None);
        Self {
            connection,
            socket,
            answers: VecDeque::new(),
            errors: Budget::new(ERROR_RATE, ERROR_BURST),
            controls: Budget::new(CONTROL_RATE, CONTROL_BURST),
            message_start: 0,
            heard_bytes: 0,
            heard_at: Instant::now(),
            ping_sent: false,
            ping_due: false,
            unflushed: false,
            stalled_since: None,
            write_failed: false,
            closing: None,
            expires_at,
        }
    }

    fn limits(&self) -> &Limits {
        &self.connection.edge.shared.config.limits
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
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
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if let Some(reason) = self.connection.outgoing.poll_close(cx)
            && self.closing.is_none()
        {
            if !reason.finishes_work() {
                return Err(End::Close(reason));
            }
            self.closing = Some(Closing { reason, until: Instant::now() + FINISH_TIMEOUT });
        }
        let wrote = self.poll_write(cx);
        let answered = self.poll_answers(cx)?;
        let read = self.poll_read(cx)?;
        if let Some(closing) = self.closing
            && self.answers.is_empty()
            && self.connection.outgoing.is_empty()
            && !self.unflushed
        {
            return Err(End::Close(closing.reason));
        }
        Ok(wrote || answered || read)
    }

    fn next_deadline(&self) -> Instant {
        let ping_interval = self.limits().ping_interval;
        let periods = if self.ping_sent { 2 } else { 1 };
        let silence = self.heard_at + ping_interval * periods;
        let stalled = self.stalled_since.map(|since| since + WRITE_TIMEOUT);
        let closing = self.closing.map(|closing| closing.until);
        [stalled, closing, self.expires_at].into_iter().flatten().fold(silence, Instant::min)
    }

    fn on_timer(&mut self, now: Instant) -> Result<(), End> {
        if self.stalled_since.is_some_and(|since| now >= since + WRITE_TIMEOUT) {
            return Err(End::Gone);
        }
        if let Some(closing) = self.closing
            && now >= closing.until
        {
            return Err(End::Close(closing.reason));
        }
        if self.expires_at.is_some_and(|at| now >= at) {
            self.expires_at = None;
            self.connection.outgoing.close(CloseReason::TokenExpired);
        }
        // Whoever is not read cannot be heard.
        if self.answers.len() >= MAX_IN_FLIGHT {
            self.heard_at = now;
        }
        let silent = now - self.heard_at;
        if silent >= self.limits().ping_interval * 2 {
            return Err(End::Gone);
        }
        if silent >= self.limits().ping_interval && !self.ping_sent {
            self.ping_sent = true;
            self.ping_due = true;
        }
        Ok(())
    }

    /// Writes until the queue is empty or the socket takes no more; gives whether that was anything.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            if self.unflushed && !self.poll_flush(cx) {
                return progress;
            }
            self.fill_batch(cx);
            if !self.unflushed {
                return progress;
            }
            progress = true;
        }
    }

    /// Whether all that was given to the socket is written, or can never be.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        match self.socket.poll_flush_unpin(cx) {
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                self.set_stalled(None);
                true
            }
            Poll::Ready(Err(_)) => {
                self.fail_write();
                true
            }
            Poll::Pending => {
                // A task that used up its turn is no stuck socket.
                if self.stalled_since.is_none() && coop::has_budget_remaining() {
                    self.set_stalled(Some(Instant::now()));
                }
                false
            }
        }
    }

    /// Gives queued frames to the socket until it has enough for one write.
    fn fill_batch(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.ping_due) {
            self.start_send(Message::Ping(Bytes::new()));
        }
        let mut batch = 0;
        while batch < BATCH_BYTES
            && matches!(self.socket.poll_ready_unpin(cx), Poll::Ready(Ok(())))
            && let Some(frame) = self.connection.outgoing.pop()
        {
            batch += frame.len();
            self.start_send(Message::Text(frame));
        }
    }

    fn start_send(&mut self, message: Message) {
        if self.write_failed {
            return;
        }
        match self.socket.start_send_unpin(message) {
            Ok(()) => self.unflushed = true,
            Err(_) => self.fail_write(),
        }
    }

    fn fail_write(&mut self) {
        self.write_failed = true;
        self.unflushed = false;
        self.set_stalled(None);
        self.connection.outgoing.seal();
    }

    fn set_stalled(&mut self, since: Option<Instant>) {
        if self.stalled_since != since {
            self.stalled_since = since;
            self.connection.outgoing.set_stalled(since);
        }
    }

    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = false;
        while let Some(answer) = self.answers.front_mut() {
            let next = match answer {
                Answer::Sent(pending) => match Pin::new(pending).poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => None,
                    Poll::Ready(Err(failure)) => Some(self.refusal(failure)?),
                },
                Answer::Provisioning(done) => match done.as_mut().poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(rejection) => Some(Answer::Refused(rejection)),
                },
                Answer::Refused(rejection) => {
                    let frame = rejection.frame();
                    // It waits like any frame, and with it what comes after.
                    if self.connection.outgoing.push_answer(frame) != Push::Done {
                        break;
                    }
                    if !self.errors.spend(Instant::now()) {
                        return Err(End::Close(CloseReason::Flood));
                    }
                    None
                }
            };
            progress = true;
            self.answers.pop_front();
            match next {
                Some(next) => self.answers.push_front(next),
                None if self.answers.is_empty() => self.answers = VecDeque::new(),
                None => {}
            }
        }
        Ok(progress)
    }

    fn refusal(&self, failure: Failure) -> Result<Answer, End> {
        let user = self.connection.user();
        let edge = self.connection.edge.clone();
        match failure.reason() {
            ErrorReason::UserDeleted => {
                edge.shared.known_users.forget(user);
                Err(End::Close(CloseReason::UserDeleted))
            }
            ErrorReason::UserUnknown => Ok(Answer::Provisioning(Box::pin(async move {
                let known_users = &edge.shared.known_users;
                known_users.forget(user);
                let identity =
                    Identity { user_id: user, expires_at: 0, email: None, profile_json: None };
                match known_users.ensure(&edge.shared.core, &identity).await {
                    // It was not stored, and will be if it is sent again.
                    Ok(()) => Rejection::unavailable(),
                    Err(failure) => Rejection::from(failure),
                }
            }))),
            _ => Ok(Answer::Refused(Rejection::from(failure))),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let progress = self.read_frames(cx)?;
        let bytes_read = self.socket.get_ref().bytes_read();
        if bytes_read != self.heard_bytes {
            self.heard_bytes = bytes_read;
            self.heard_at = Instant::now();
            self.ping_sent = false;
        }
        Ok(progress)
    }

    fn read_frames(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = false;
        while self.closing.is_none() && self.answers.len() < MAX_IN_FLIGHT {
            match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => self.receive(message)?,
                Poll::Ready(Some(Err(error))) => {
                    return Err(CloseReason::of_read_error(&error).map_or(End::Gone, End::Close));
                }
                Poll::Ready(None) => return Err(End::Gone),
                Poll::Pending => {
                    self.check_fragments()?;
                    break;
                }
            }
            progress = true;
        }
        Ok(progress)
    }

    fn receive(&mut self, message: Message) -> Result<(), End> {
        let control_bytes = match message {
            Message::Text(text) => {
                self.message_start = self.socket.get_ref().bytes_read();
                let answer = self.act(&text);
                self.answers.push_back(answer);
                return Ok(());
            }
            Message::Binary(_) => {
                self.message_start = self.socket.get_ref().bytes_read();
                self.answers.push_back(Answer::Refused(client_frame::binary()));
                return Ok(());
            }
            Message::Ping(payload) => {
                // The pong that answers it.
                self.unflushed = !self.write_failed;
                payload.len()
            }
            Message::Pong(payload) => payload.len(),
            Message::Close(_) => return Err(End::ClosedByPeer),
            Message::Frame(frame) => frame.len(),
        };
        self.message_start += (CONTROL_HEADER_BYTES + control_bytes) as u64;
        if !self.controls.spend(Instant::now()) {
            return Err(End::Close(CloseReason::Flood));
        }
        self.check_fragments()
    }

    /// Bounds what is read for one message: its text, and headers of fragments.
    fn check_fragments(&self) -> Result<(), End> {
        let read = self.socket.get_ref().bytes_read().saturating_sub(self.message_start);
        if read > (self.limits().max_frame_bytes + FRAGMENT_OVERHEAD_BYTES) as u64 {
            return Err(End::Close(CloseReason::Flood));
        }
        Ok(())
    }

    fn act(&self, text: &str) -> Answer {
        let user = self.connection.user();
        let shared = &self.connection.edge.shared;
        match client_frame::parse(text, user, shared.config.limits.max_body_bytes) {
            Ok(_) if !shared.limits.allow_send(user) => Answer::Refused(Rejection::rate_limited()),
            Ok(command) => Answer::Sent(shared.sends.submit(user, command)),
            Err(rejection) => Answer::Refused(rejection),
        }
    }
}

/// Sends the close frame (or, to a peer that closes, the answer to its own), ends the stream and waits
/// for the peer to do the same: unread bytes would turn the end into a reset, which can overtake the
/// close frame.
async fn close<S>(mut socket: WebSocketStream<Metered<S>>, reason: Option<CloseReason>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closed = timeout(CLOSE_TIMEOUT, async {
        if let Some(reason) = reason {
            socket.feed(Message::Close(Some(reason.frame()))).await?;
        }
        socket.flush().await?;
        let stream = socket.get_mut();
        stream.shutdown().await?;
        let mut discarded = [0; 512];
        while stream.read(&mut discarded).await? > 0 {}
        Ok::<_, tungstenite::Error>(())
    });
    match closed.await {
        // The peer may be gone before it is told to.
        Ok(Ok(())) | Ok(Err(_)) => {}
        Err(_) => tracing::debug!("a client did not answer the close in time"),
    }
}

#[cfg(test)]
mod tests;
