//! What the client sends, and the bounds on it.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_tungstenite::tungstenite::Message;

use super::{End, Session};
use crate::ws::{client_frame, close::CloseReason};

/// Frame headers that a message may have beside its text.
const FRAGMENT_OVERHEAD_BYTES: usize = 16 * 1024;
/// When a command is submitted again that there was no room for.
const POSTPONED_INTERVAL: Duration = Duration::from_millis(10);
/// How often a connection that has enough in flight is looked at whether that is just under way.
const STALL_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Of a masked control frame, without its payload.
const CONTROL_HEADER_BYTES: usize = 6;

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Gives whether there was anything to read.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let progress = self.read_frames(cx)?;
        let bytes_read = self.socket.get_ref().bytes_read();
        if bytes_read != self.heard_bytes {
            self.heard_bytes = bytes_read;
            self.heard_at = Instant::now();
            self.connection.outgoing.heard(self.heard_at);
            self.ping_sent = false;
        }
        Ok(progress)
    }

    fn read_frames(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = false;
        while self.may_read() {
            if !self.look_for_end(cx)? {
                break;
            }
            if let Some(held) = self.held.pop() {
                match held {
                    Ok(message) => self.receive(message)?,
                    Err(reason) => self.stop_reading(reason),
                }
                progress = true;
                continue;
            }
            match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => self.receive(message)?,
                Poll::Ready(Some(Err(error))) => match CloseReason::of_read_error(&error) {
                    Some(reason) => self.stop_reading(reason),
                    None => self.end_of_stream()?,
                },
                Poll::Ready(None) => self.end_of_stream()?,
                Poll::Pending => {
                    self.unread_since = None;
                    self.check_fragments();
                    break;
                }
            }
            progress = true;
        }
        Ok(progress)
    }

    fn may_read(&mut self) -> bool {
        if self.read_ended {
            return false;
        }
        let now = Instant::now();
        self.paused_until = if !self.submit_waiting(now) {
            self.unread_since.get_or_insert(now);
            Some(now + POSTPONED_INTERVAL)
        } else if self.waiting.is_full() {
            self.waiting.due()
        } else if self.has_enough_in_flight() && !self.sends().is_stalled(self.connection.user()) {
            // An answer wakes it before, if nothing is away. Otherwise what is sent meanwhile is of now, and not of later.
            self.unread_since.get_or_insert(now);
            Some(now + STALL_LOOK_INTERVAL)
        } else {
            self.errors.refilled_at(now)
        };
        self.paused_until.is_none()
    }

    pub(super) fn end_of_stream(&mut self) -> Result<(), End> {
        if !self.is_parting() {
            return Err(End::Gone);
        }
        self.read_ended = true;
        Ok(())
    }

    /// What follows cannot be read, or is not worth it.
    fn stop_reading(&mut self, reason: CloseReason) {
        self.read_ended = true;
        self.begin_close(reason);
    }

    fn receive(&mut self, message: Message) -> Result<(), End> {
        let control_bytes = match message {
            Message::Text(text) => {
                self.message_start = self.socket.get_ref().bytes_read();
                self.act(&text);
                return Ok(());
            }
            Message::Binary(_) => {
                self.message_start = self.socket.get_ref().bytes_read();
                self.refuse(client_frame::binary());
                return Ok(());
            }
            Message::Ping(payload) => {
                // The pong that answers it.
                self.unflushed = true;
                payload.len()
            }
            Message::Pong(payload) => payload.len(),
            Message::Close(_) => return self.closed_by_peer(),
            Message::Frame(frame) => frame.len(),
        };
        self.message_start += (CONTROL_HEADER_BYTES + control_bytes) as u64;
        if self.controls.spend(Instant::now()) {
            self.check_fragments();
        } else {
            self.stop_reading(CloseReason::Flood);
        }
        Ok(())
    }

    /// Bounds what is read for one message: its text, and headers of fragments.
    fn check_fragments(&mut self) {
        // What is held was read as well, and is of other messages.
        if !self.held.is_empty() {
            return;
        }
        let read = self.socket.get_ref().bytes_read().saturating_sub(self.message_start);
        if read > (self.limits().max_frame_bytes + FRAGMENT_OVERHEAD_BYTES) as u64 {
            self.stop_reading(CloseReason::Flood);
        }
    }

    fn act(&mut self, text: &str) {
        let user = self.connection.user();
        let max_body_bytes = self.limits().max_body_bytes;
        match client_frame::parse(text, user, max_body_bytes) {
            Ok(command) => self.take_in(command),
            Err(rejection) => self.refuse(rejection),
        }
    }
}
