//! Lists of any length as response bodies: each response of the core's stream becomes one piece of
//! the body, and the next is asked for when the client has taken it.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::FromRequestParts};
use bytes::Bytes;
use futures_util::stream;
use http::{Extensions, request::Parts};
use netrox_proto::ids::UserId;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use tracing::Span;

use crate::{
    caller::Caller,
    edge::Edge,
    error::PublicError,
    limits::{Full, Pace, Place},
    strangers::Visitor,
    wire::v1::rest::{List, ListEnvelope},
};

/// From a place among the reads to the head of the answer: a refusal is to be read within two seconds. As much is for
/// finding out who asks.
const ANSWER_DEADLINE: Duration = Duration::from_millis(1_800);
/// How long the core may take for the next piece of a list.
const PIECE_DEADLINE: Duration = Duration::from_secs(10);

/// Who reads a list, with a place among their reads.
pub(super) struct Reader {
    pub(super) user_id: UserId,
    pub(super) read: Read,
}

/// One of a user's reads, until it is dropped.
pub(super) struct Read {
    pace: Arc<Pace>,
    _place: Place<UserId>,
}

impl FromRequestParts<Edge> for Reader {
    type Rejection = PublicError;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, PublicError> {
        let Caller(user_id) = in_time(Caller::from_request_parts(parts, edge)).await?;
        let read = Read::begin(edge, user_id, &parts.extensions).await?;
        Ok(Self { user_id, read })
    }
}

impl Read {
    /// Waits for a place.
    pub(super) async fn begin(
        edge: &Edge,
        user: UserId,
        request: &Extensions,
    ) -> Result<Self, Full> {
        let pace = Visitor::pace(request);
        let place = edge.shared.limiter.history_read(user, &pace).await?;
        Ok(Self { pace, _place: place })
    }

    /// So many bytes more were taken.
    pub(super) fn took(&self, bytes: usize) {
        self.pace.took(bytes);
    }
}

/// A caller is better served by "unavailable" than by a wait for the core, however many questions the answer takes.
pub(super) async fn in_time<T, E: From<PublicError>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let late = |_| Err(PublicError::unavailable().into());
    timeout(ANSWER_DEADLINE, answer).await.unwrap_or_else(late)
}

/// Why the body of a list breaks off. The client sees an aborted connection, never a short list
/// that looks whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error("the core ended the list early: {}", .0.message())]
    Core(#[from] Status),
    #[error("the list cannot be rendered: {0}")]
    Render(#[from] serde_json::Error),
    #[error("the core sent a message of other users than the two asked for")]
    ForeignMessage,
}

/// The next response of a stream of the core's; `None` at its end.
pub(super) async fn next<T>(responses: &mut Streaming<T>) -> Result<Option<T>, Status> {
    match timeout(PIECE_DEADLINE, responses.message()).await {
        Ok(response) => response,
        Err(_) => Err(Status::deadline_exceeded("the core did not go on in time")),
    }
}

struct Listing<T, R> {
    /// Taken from the stream already, to decide the status of the answer.
    first: Option<T>,
    /// Absent where the stream has ended: it must not be asked again.
    rest: Option<Streaming<T>>,
    render: R,
    list: List,
    /// The size of the last piece, as the best guess of the next.
    capacity: usize,
    read: Read,
    span: Span,
}

impl<T, R> Listing<T, R>
where
    R: FnMut(&T, &mut List) -> Result<(), ListError>,
{
    /// The next piece of the body, and whether it is the last.
    async fn piece(&mut self) -> Result<(Bytes, bool), ListError> {
        loop {
            let response = match (self.first.take(), &mut self.rest) {
                (Some(first), _) => Some(first),
                (None, Some(rest)) => next(rest).await?,
                (None, None) => None,
            };
            let last = match &response {
                Some(response) => {
                    self.list.reserve(self.capacity);
                    (self.render)(response, &mut self.list)?;
                    false
                }
                None => {
                    self.list.close();
                    true
                }
            };
            let piece = self.list.take_piece();
            if !piece.is_empty() {
                self.capacity = piece.len();
                self.read.took(piece.len());
                return Ok((piece.into(), last));
            }
        }
    }
}

/// The body that lists what `render` makes of each response, starting with `first`, which is
/// absent where the stream was empty. The read ends when the body is done or dropped.
pub(super) fn body<T, R>(
    envelope: ListEnvelope,
    first: Option<T>,
    rest: Streaming<T>,
    render: R,
    read: Read,
) -> Body
where
    T: Send + 'static,
    R: FnMut(&T, &mut List) -> Result<(), ListError> + Send + 'static,
{
    let list = List::open(envelope);
    let rest = first.is_some().then_some(rest);
    let listing = Listing { rest, first, render, list, capacity: 0, read, span: Span::current() };
    Body::from_stream(stream::unfold(Some(listing), async |listing| {
        let mut listing = listing?;
        match listing.piece().await {
            Ok((piece, true)) => Some((Ok(piece), None)),
            Ok((piece, false)) => Some((Ok(piece), Some(listing))),
            Err(error) => {
                listing.span.in_scope(|| tracing::warn!(%error, "a list breaks off"));
                Some((Err(error), None))
            }
        }
    }))
}
