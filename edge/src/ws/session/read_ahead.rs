//! What is read after a standstill of this edge. A client that was not answered may have gone and sent the same, and more,
//! by way of another edge: what waits in the socket of one that has gone is not acted upon.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::coop,
    time::Instant,
};
use tokio_tungstenite::tungstenite::Message;

use super::{Session, SessionEnd};
use crate::ws::close::CloseReason;

/// What is held of a socket to see whether it has ended, beside the last frame. One that has more to give counts as
/// alive.
const MAX_BYTES: usize = 16 * 1024;

/// Frames in the order read, and a fault that ends them. Connections are many, and hardly any ever holds a frame.
#[derive(Debug, Default)]
pub(super) struct ReadAhead(Option<Box<Frames>>);

#[derive(Debug, Default)]
struct Frames {
    frames: VecDeque<Result<Message, CloseReason>>,
    bytes: usize,
}

impl ReadAhead {
    fn push(&mut self, frame: Result<Message, CloseReason>) {
        let held = self.0.get_or_insert_default();
        held.bytes += size_of_val(&frame) + frame.as_ref().map_or(0, Message::len);
        held.frames.push_back(frame);
    }

    fn is_full(&self) -> bool {
        self.0.as_ref().is_some_and(|held| held.bytes >= MAX_BYTES)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn has_fault(&self) -> bool {
        self.0.as_ref().is_some_and(|held| matches!(held.frames.back(), Some(Err(_))))
    }

    /// The next one, once the client is known to be there.
    pub(super) fn pop(&mut self) -> Option<Result<Message, CloseReason>> {
        let held = self.0.as_mut()?;
        let frame = held.frames.pop_front();
        if held.frames.is_empty() {
            self.0 = None;
        }
        frame
    }

    /// How many there were.
    fn clear(&mut self) -> usize {
        self.0.take().map_or(0, |held| held.frames.len())
    }
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// After a standstill, reads what the socket gives at once. Gives whether what was read may be acted upon.
    pub(super) fn look_for_end(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Result<bool, SessionEnd> {
        let seen = self.context.standstill.seen(now);
        // What comes before the answer to our own close counts, whatever follows it.
        if seen.count == self.standstills || self.read_ended || self.has_written_close() {
            self.looks_until = None;
            return Ok(true);
        }
        while !self.read_ahead.is_full() && !self.read_ahead.has_fault() {
            let frame = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(Message::Close(frame)))) => {
                    self.drop_held();
                    let code = frame.map(|frame| frame.code);
                    return self.closed_by_peer(code).map(|()| false);
                }
                Poll::Ready(Some(Ok(message))) => Ok(message),
                Poll::Ready(Some(Err(error))) => match CloseReason::of_read_error(&error) {
                    Some(reason) => Err(reason),
                    None => return self.ended_unseen(),
                },
                Poll::Ready(None) => return self.ended_unseen(),
                // The task used up its turn, and is woken at once.
                Poll::Pending if !coop::has_budget_remaining() => return Ok(false),
                Poll::Pending => break,
            };
            self.read_ahead.push(frame);
        }
        self.looks_until = seen.settles_at;
        if seen.settles_at.is_none() {
            self.standstills = seen.count;
        }
        Ok(true)
    }

    fn ended_unseen(&mut self) -> Result<bool, SessionEnd> {
        self.drop_held();
        self.end_of_stream().map(|()| false)
    }

    fn drop_held(&mut self) {
        let frames = self.read_ahead.clear();
        tracing::debug!(frames, "a client had gone when this edge stood still");
    }
}
