//! Request bodies that nobody reads to their end.
//!
//! A client that is refused in the middle of its upload must be able to read why. Were the
//! connection closed with bytes unread, the kernel would reset it and the answer be lost.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::strangers::Visitor;
use crate::Edge;

/// How much of an upload is read for nothing at most; for as long as its body may be idle.
const UPLOAD_LINGER_BYTES: usize = 64 * 1024 * 1024;
/// As much for anybody else.
const LINGER_BYTES: usize = 256 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// A body whose rest is read and thrown away when it is dropped.
pub(super) struct LingeringBody {
    /// Absent after its end.
    body: Option<Incoming>,
    /// The client sends nothing before it is told to by the first read (RFC 9110 section 10.1.1).
    is_held_back: bool,
    /// Since when the next bytes are awaited, if they are.
    idle_since: Option<Instant>,
    visitor: Visitor,
    edge: Edge,
}

impl LingeringBody {
    pub(super) fn new(
        body: Incoming,
        expects_continue: bool,
        visitor: Visitor,
        edge: Edge,
    ) -> Self {
        let body = (!body.is_end_stream()).then_some(body);
        Self { body, is_held_back: expects_continue, idle_since: None, visitor, edge }
    }
}

impl Body for LingeringBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_held_back = false;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(context);
        match frame {
            Poll::Pending => {
                self.idle_since.get_or_insert_with(Instant::now);
            }
            Poll::Ready(_) => self.idle_since = None,
        }
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for LingeringBody {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        if self.is_held_back || body.is_end_stream() {
            return;
        }
        let idle_timeout = self.edge.shared.config.limits.body_idle_timeout;
        // It was waited for already.
        if self.idle_since.is_some_and(|since| since.elapsed() >= idle_timeout) {
            return;
        }
        let (bytes, deadline) = if self.visitor.uploads() {
            (UPLOAD_LINGER_BYTES, idle_timeout)
        } else {
            (LINGER_BYTES, LINGER_TIMEOUT)
        };
        let edge = self.edge.clone();
        self.edge.spawn(async move {
            let drained = tokio::time::timeout(deadline, drain(body, bytes));
            // What comes later is not worth the wait: the connection is closed.
            let _ = edge.shared.draining.run_until_cancelled(drained).await;
        });
    }
}

async fn drain(body: Incoming, max_bytes: usize) {
    let mut body = pin!(body);
    let mut left = max_bytes;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
