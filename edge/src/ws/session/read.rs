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

use super::{Session, SessionEnd};
use crate::{
    wire::{Echo, Frame, Generation, Request},
    ws::close::CloseReason,
};

/// Frame headers that a message may have beside its text.
const FRAGMENT_OVERHEAD_BYTES: usize = 16 * 1024;
/// When a command is submitted again that there was no room for.
pub(super) const POSTPONED_INTERVAL: Duration = Duration::from_millis(10);
/// How often a connection that has enough in flight is looked at whether that is just under way.
const STALL_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Of a masked control frame, without its payload.
const CONTROL_HEADER_BYTES: usize = 6;

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Gives whether there was anything to read.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionEnd> {
        let (mut now, mut progress) = (Instant::now(), false);
        while self.may_read(now) && self.read_frame(cx, now)? {
            (now, progress) = (Instant::now(), true);
        }
        let bytes_read = self.socket.get_ref().bytes_read();
        if bytes_read != self.heard_bytes {
            self.heard_bytes = bytes_read;
            self.note_life(now);
            (self.has_sent, self.signalled) = (false, 0);
            self.connection.outgoing.heard(now);
        }
        Ok(progress)
    }

    /// Gives whether there was one.
    fn read_frame(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, SessionEnd> {
        if !self.look_for_end(cx, now)? {
            return Ok(false);
        }
        if let Some(held) = self.read_ahead.pop() {
            match held {
                Ok(message) => self.receive(message, now)?,
                Err(reason) => self.stop_reading(reason),
            }
            return Ok(true);
        }
        match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => self.receive(message, now)?,
            Poll::Ready(Some(Err(error))) => match CloseReason::of_read_error(&error) {
                Some(reason) => self.stop_reading(reason),
                None => self.end_of_stream()?,
            },
            Poll::Ready(None) => self.end_of_stream()?,
            Poll::Pending => {
                self.unread_since = None;
                self.check_fragments();
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn may_read(&mut self, now: Instant) -> bool {
        if self.read_ended {
            return false;
        }
        let has_enough = self.has_enough_in_flight();
        if !has_enough {
            self.full_since = None;
        }
        self.paused_until = if !self.submit_waiting(now) {
            self.unread_since.get_or_insert(now);
            Some(now + POSTPONED_INTERVAL)
        } else if self.waiting.is_full() {
            self.waiting.due()
        } else if has_enough && !self.may_have_more(now) {
            // An answer wakes it before, if nothing is away. Otherwise what is sent meanwhile is of now, and not of later.
            self.unread_since.get_or_insert(now);
            Some(now + STALL_LOOK_INTERVAL)
        } else {
            self.errors.refilled_at(now)
        };
        self.paused_until.is_none()
    }

    /// Whether more may be in flight than is: a documented client cannot know what of it waits for what is away.
    fn may_have_more(&mut self, now: Instant) -> bool {
        match self.generation() {
            Generation::V1 => self.waits_for_what_is_away(now),
            Generation::V2 => false,
        }
    }

    /// Whether what is in flight is not just under way. That is looked at only where nothing was answered for a moment: many
    /// share what tells it.
    fn waits_for_what_is_away(&mut self, now: Instant) -> bool {
        let full_since = *self.full_since.get_or_insert(now);
        now - full_since >= STALL_LOOK_INTERVAL && self.sends().is_stalled(self.connection.user())
    }

    pub(super) fn end_of_stream(&mut self) -> Result<(), SessionEnd> {
        if !self.is_parting() {
            return Err(SessionEnd::Gone);
        }
        self.read_ended = true;
        Ok(())
    }

    /// What follows cannot be read, or is not worth it.
    fn stop_reading(&mut self, reason: CloseReason) {
        self.read_ended = true;
        self.begin_close(reason);
    }

    fn receive(&mut self, message: Message, now: Instant) -> Result<(), SessionEnd> {
        let control_bytes = match message {
            Message::Text(text) => {
                self.message_start = self.socket.get_ref().bytes_read();
                self.act(&text, now);
                return Ok(());
            }
            Message::Binary(_) => {
                self.message_start = self.socket.get_ref().bytes_read();
                self.refuse(Echo::default(), self.generation().not_text());
                return Ok(());
            }
            Message::Ping(payload) => {
                // The pong that answers it.
                self.unflushed = true;
                payload.len()
            }
            Message::Pong(payload) => payload.len(),
            Message::Close(frame) => return self.closed_by_peer(frame.map(|frame| frame.code)),
            Message::Frame(frame) => frame.len(),
        };
        self.message_start += (CONTROL_HEADER_BYTES + control_bytes) as u64;
        if self.controls.spend(now) {
            self.check_fragments();
        } else {
            self.stop_reading(CloseReason::Flood);
        }
        Ok(())
    }

    /// Bounds what is read for one message: its text, and headers of fragments.
    fn check_fragments(&mut self) {
        // What is held was read as well, and is of other messages.
        if !self.read_ahead.is_empty() {
            return;
        }
        let read = self.socket.get_ref().bytes_read().saturating_sub(self.message_start);
        if read > (self.limits().max_frame_bytes + FRAGMENT_OVERHEAD_BYTES) as u64 {
            self.stop_reading(CloseReason::Flood);
        }
    }

    fn act(&mut self, text: &str, now: Instant) {
        let user = self.connection.user();
        let max_body_bytes = self.limits().max_body_bytes;
        let Frame { echo, request } = self.generation().parse(text, user, max_body_bytes);
        match request {
            Ok(Request::Command(command)) => self.take_in(command, echo, now),
            Ok(Request::Mark(mark)) => self.take_in_mark(mark, echo, now),
            Ok(Request::TokenRefresh(token)) => self.refresh_token(token, echo, now),
            Ok(Request::Typing(typing)) => {
                // As many as it likes would cost it nothing: they wait, and become one.
                self.errors.charge(now);
                self.take_in_typing(typing, echo);
            }
            Ok(Request::Watch(peers)) => self.take_in_watch(peers, echo),
            Ok(Request::Hide(hides)) => self.take_in_visibility(hides, echo),
            Ok(Request::Ping) => {
                // It costs its client no more than what is refused.
                self.errors.charge(now);
                if let Some(pong) = self.generation().pong(&echo) {
                    self.tell(pong);
                }
            }
            Err(refused) => self.refuse(echo, refused),
        }
    }
}
