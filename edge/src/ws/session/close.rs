//! The end of a connection, step by step, so that nothing is lost that either side sent before it.

use std::{collections::VecDeque, time::Duration};

use futures_util::SinkExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    READ_BUFFER_BYTES, Session, SessionContext, SessionEnd, receipts::Receipts, waiting::Waiting,
};
use crate::{
    metrics::Close,
    ws::{close::CloseReason, flood::Metered},
};

/// From the wish to close to the close frame, for what is on its way to the client; and from there
/// to the end, for what is on its way from it.
const FINISH_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is looked whether answers are still waited for.
const PATIENCE_LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// For the end of the stream, after the close frames.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How far a close is, and by when the next step is taken all the same.
#[derive(Debug, Clone, Copy)]
pub(super) enum Closing {
    /// What is queued is written, and the answers to what was read before.
    Finishing { reason: CloseReason, awaited: usize, until: Instant },
    /// Nothing more can be written. The client may have sent messages before it read the close frame:
    /// they are read and handed over until it answers with its own.
    Parting { until: Instant, frame: CloseFrame },
}

/// What became of our own close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseFrame {
    /// The socket failed before it.
    None,
    Given,
    Written,
}

impl Closing {
    pub(super) fn until(self) -> Instant {
        match self {
            Self::Finishing { until, .. } | Self::Parting { until, .. } => until,
        }
    }
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The first reason counts.
    pub(super) fn begin_close(&mut self, reason: CloseReason) {
        if reason.is_at_once() && !self.ended_at_once {
            self.ended_at_once = true;
            self.read_ended = true;
            if reason == CloseReason::TokenRevoked {
                self.waiting = Waiting::default();
            }
            self.answers = VecDeque::new();
            self.receipts = Receipts::default();
            self.note_all_answered();
        }
        if self.closing.is_some() {
            return;
        }
        self.following = None;
        self.connection.outgoing.close(reason);
        let close = Close::by_server(reason.frame(self.generation()).code.into(), reason.word());
        self.context.metrics.sockets.closed(close);
        let until = Instant::now() + FINISH_TIMEOUT;
        self.closing = Some(Closing::Finishing { reason, awaited: 0, until });
        // What waits for the rate does so no longer.
        self.submit_waiting(Instant::now());
        self.submit_receipts(Instant::now());
        let awaited = self.answers.len() + self.receipts.len();
        self.closing = Some(Closing::Finishing { reason, awaited, until });
    }

    /// The oldest answer was given.
    pub(super) fn note_answered(&mut self) {
        if let Some(Closing::Finishing { awaited, .. }) = &mut self.closing {
            *awaited = awaited.saturating_sub(1);
        }
    }

    fn note_all_answered(&mut self) {
        if let Some(Closing::Finishing { awaited, .. }) = &mut self.closing {
            *awaited = 0;
        }
    }

    pub(super) fn is_parting(&self) -> bool {
        matches!(self.closing, Some(Closing::Parting { .. }))
    }

    /// Takes the next step where it is time for it; gives whether it was.
    pub(super) fn advance_close(&mut self) -> Result<bool, SessionEnd> {
        match self.closing {
            Some(Closing::Finishing { reason, awaited: 0, .. })
                // After it, a client that had gone could not be told from one that answers it.
                if self.connection.outgoing.is_empty()
                    && !self.unflushed
                    && self.looks_until.is_none() =>
            {
                self.send_close(reason);
                Ok(true)
            }
            Some(Closing::Parting { .. })
                if self.read_ended
                    && self.answers.is_empty()
                    && self.receipts.is_empty()
                    && !self.unflushed =>
            {
                Err(SessionEnd::Closed)
            }
            None | Some(Closing::Finishing { .. } | Closing::Parting { .. }) => Ok(false),
        }
    }

    /// Takes the next step where the time for this one is over.
    pub(super) fn hurry_close(&mut self, now: Instant) -> Result<(), SessionEnd> {
        match self.closing {
            Some(Closing::Finishing { reason, awaited, until }) if now >= until => {
                // What waits for a core that is away is stored, or its sender is told.
                if reason == CloseReason::Draining && awaited > 0 && self.sends().have_patience() {
                    let until = now + PATIENCE_LOOK_INTERVAL;
                    self.closing = Some(Closing::Finishing { reason, awaited, until });
                } else {
                    self.send_close(reason);
                }
                Ok(())
            }
            Some(Closing::Parting { until, .. }) if now >= until => {
                tracing::debug!("a client did not answer the close in time");
                Err(SessionEnd::Gone)
            }
            None | Some(Closing::Finishing { .. } | Closing::Parting { .. }) => Ok(()),
        }
    }

    fn send_close(&mut self, reason: CloseReason) {
        self.start_send(Message::Close(Some(reason.frame(self.generation()))));
        self.part(CloseFrame::Given);
    }

    /// Nothing is written from here on.
    pub(super) fn part(&mut self, frame: CloseFrame) {
        match &mut self.closing {
            Some(Closing::Parting { frame: given @ CloseFrame::Given, .. }) => *given = frame,
            Some(Closing::Parting { .. }) => {}
            None | Some(Closing::Finishing { .. }) => {
                if self.closing.is_none() {
                    // Its writing side broke.
                    self.context.metrics.sockets.closed(Close::of_connection());
                }
                self.following = None;
                self.connection.outgoing.seal();
                let until = Instant::now() + FINISH_TIMEOUT;
                self.closing = Some(Closing::Parting { until, frame });
            }
        }
    }

    /// All that was given to the socket is written.
    pub(super) fn note_written(&mut self) {
        if let Some(Closing::Parting { frame: frame @ CloseFrame::Given, .. }) = &mut self.closing {
            *frame = CloseFrame::Written;
        }
    }

    pub(super) fn has_written_close(&self) -> bool {
        matches!(self.closing, Some(Closing::Parting { frame: CloseFrame::Written, .. }))
    }

    pub(super) fn closed_by_peer(&mut self, code: Option<CloseCode>) -> Result<(), SessionEnd> {
        if !self.is_parting() {
            let SessionContext { client_closes, metrics, .. } = &*self.context;
            let code = code.unwrap_or(CloseCode::Status);
            client_closes.note(code, self.largest_frame);
            if self.closing.is_none() {
                metrics.sockets.closed(Close::by_client(code.into()));
            }
            return Err(SessionEnd::Closed);
        }
        self.read_ended = true;
        Ok(())
    }
}

/// Writes what is left, ends the stream and waits for the peer to do the same: unread bytes would turn
/// the end into a reset, which can overtake the close frame.
pub(super) async fn finish<S>(mut socket: WebSocketStream<Metered<S>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closed = timeout(CLOSE_TIMEOUT, async {
        // It fails where all was written before.
        let _ = socket.flush().await;
        let stream = socket.get_mut();
        stream.shutdown().await?;
        let mut discarded = [0; 512];
        while stream.read(&mut discarded).await? > 0 {}
        Ok::<_, std::io::Error>(())
    });
    match closed.await {
        // The peer may be gone before it is told to.
        Ok(Ok(())) | Ok(Err(_)) => {}
        Err(_) => tracing::debug!("a client did not end its stream in time"),
    }
}

/// Closes a connection that never became a session.
pub(in crate::ws) async fn refuse<S>(stream: S, reason: tungstenite::protocol::CloseFrame)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let stream = Metered::new(stream);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    // The client may have gone.
    if socket.send(Message::Close(Some(reason))).await.is_ok() {
        finish(socket).await;
    }
}
