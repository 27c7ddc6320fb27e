//! What goes out: batches of queued frames, and pings.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::coop,
    time::Instant,
};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{
    BATCH_BYTES, Session,
    close::{CloseFrame, Closing},
};
use crate::ws::close::CloseReason;

/// Of signals, until something comes from the client.
const MAX_SIGNALLED_BYTES: usize = 8 * 1024;

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Writes until the queue is empty or the socket takes no more; gives whether that was anything.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
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
                self.note_written();
                if self.stalled_since.is_some() {
                    // A ping waits behind what the peer takes.
                    self.note_life(Instant::now());
                }
                self.set_stalled(None);
                true
            }
            Poll::Ready(Err(_)) => {
                self.part(CloseFrame::None);
                self.unflushed = false;
                self.set_stalled(None);
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
        let (mut batch, mut largest) = (0, 0);
        while batch < BATCH_BYTES
            && matches!(self.socket.poll_ready_unpin(cx), Poll::Ready(Ok(())))
            && let Some(frame) = self.connection.outgoing.pop()
        {
            batch += frame.len();
            largest = frame.len().max(largest);
            self.has_sent = true;
            self.start_send(Message::Text(frame));
        }
        // Of signals no more is written than fits anywhere, until the client is heard: who reads nothing is not too slow for them.
        while batch < BATCH_BYTES
            && self.signalled < MAX_SIGNALLED_BYTES
            && self.closing.is_none()
            && matches!(self.socket.poll_ready_unpin(cx), Poll::Ready(Ok(())))
            && let Some(frame) = self.connection.outgoing.pop_signal()
        {
            batch += frame.len();
            self.signalled += frame.len();
            self.context.metrics.signals.given();
            self.start_send(Message::Text(frame));
        }
        // Who sends nothing answers that.
        if self.signalled >= MAX_SIGNALLED_BYTES
            && self.pinged_at.is_none()
            && self.closing.is_none()
        {
            self.pinged_at = Some(Instant::now());
            self.start_send(Message::Ping(Bytes::new()));
        }
        if largest > 0 {
            self.largest_frame = largest;
        }
    }

    pub(super) fn start_send(&mut self, message: Message) {
        if matches!(self.closing, Some(Closing::Parting { .. })) {
            return;
        }
        match self.socket.start_send_unpin(message) {
            Ok(()) => self.unflushed = true,
            Err(tungstenite::Error::Io(_)) => self.part(CloseFrame::None),
            // The frame is lost, but the connection works: the client has to know.
            Err(error) => {
                tracing::debug!(%error, "a frame could not be written");
                self.connection.outgoing.close(CloseReason::TooSlow);
                self.begin_close(CloseReason::TooSlow);
            }
        }
    }

    fn set_stalled(&mut self, since: Option<Instant>) {
        if self.stalled_since != since {
            self.stalled_since = since;
            self.connection.outgoing.set_stalled(since);
        }
    }
}
