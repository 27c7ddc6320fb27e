//! Long JSON is compressed for who asks for it (PROTOCOL-2 section 5): whatever is in a list is sent as soon as it is there.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;
use tower_http::{CompressionLevel, compression::Compression};

/// Shorter ones gain nothing.
const MIN_BYTES: u64 = 1024;
/// Answers that are compressed at a time: each takes about a quarter of a MiB. All others go as they are.
const MAX_AT_A_TIME: usize = 64;

/// Turns to be compressed.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_AT_A_TIME)))
    }
}

/// Compresses the answer to a request.
pub(super) async fn compress(
    State(Turns(turns)): State<Turns>,
    request: Request,
    next: Next,
) -> Response {
    let accepted = request.headers().get_all(header::ACCEPT_ENCODING);
    let accepted: Vec<HeaderValue> = accepted.iter().cloned().collect();
    let response = next.run(request).await;
    if accepted.is_empty() || !may_be_long_json(&response) {
        return response;
    }
    let Ok(turn) = turns.try_acquire_owned() else { return response };
    let (head, body) = response.into_parts();
    let mut body = FlushedBody::new(body);
    let is_long = body.is_long().await;
    let response = Response::from_parts(head, Body::new(body));
    if !is_long {
        return response;
    }
    let mut response = Some(response);
    let service = tower::service_fn(move |_: Request| {
        let response = response.take().unwrap_or_default();
        async { Ok::<_, Infallible>(response) }
    });
    let mut question = Request::new(Body::empty());
    for value in accepted {
        question.headers_mut().append(header::ACCEPT_ENCODING, value);
    }
    let layer = Compression::new(service)
        .quality(CompressionLevel::Fastest)
        .compress_when(|_, _, _: &HeaderMap, _: &http::Extensions| true);
    let Ok(mut response) = layer.oneshot(question).await;
    if !response.headers().contains_key(header::CONTENT_ENCODING) {
        // Nothing that is known here: it is as if nobody had asked.
        response.headers_mut().remove(header::VARY);
        return response.map(Body::new);
    }
    response.map(|body| Body::new(CountedBody { body: Body::new(body), turn: Some(turn) }))
}

/// It has no `Vary` yet: what depends on other headers is no JSON of ours.
fn may_be_long_json(response: &Response) -> bool {
    let headers = response.headers();
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|content_type| {
        content_type == "application/json" || content_type == "application/problem+json"
    });
    let may_be_long = response.body().size_hint().exact().is_none_or(|bytes| bytes > MIN_BYTES);
    is_json && may_be_long && !headers.contains_key(header::VARY)
}

/// Rests after each piece, which is when what was compressed of it is flushed, and has ended once it has.
struct FlushedBody {
    /// What was read of it before anybody asked for it.
    begun: VecDeque<Result<Frame<Bytes>, axum::Error>>,
    body: Option<Body>,
    has_rested: bool,
}

impl FlushedBody {
    fn new(body: Body) -> Self {
        Self { begun: VecDeque::new(), body: Some(body), has_rested: true }
    }

    /// Whether it is worth to be compressed. A list that is streamed does not tell how long it is: then as much of it is
    /// awaited as makes it long.
    async fn is_long(&mut self) -> bool {
        if self.size_hint().exact().is_some() {
            return true;
        }
        let mut bytes = 0;
        while let Some(body) = &mut self.body {
            match body.frame().await {
                Some(Ok(frame)) => {
                    bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                    self.begun.push_back(Ok(frame));
                    if bytes > MIN_BYTES {
                        return true;
                    }
                }
                Some(Err(error)) => {
                    self.begun.push_back(Err(error));
                    self.body = None;
                }
                None => self.body = None,
            }
        }
        false
    }
}

impl http_body::Body for FlushedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.has_rested {
            self.has_rested = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = match (self.begun.pop_front(), &mut self.body) {
            (Some(begun), _) => Some(begun),
            (None, Some(body)) => ready!(Pin::new(body).poll_frame(context)),
            (None, None) => None,
        };
        match &frame {
            Some(Ok(_)) => self.has_rested = false,
            Some(Err(_)) | None => self.body = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            _ if !self.begun.is_empty() => SizeHint::default(),
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// Has a turn until it is done or dropped.
struct CountedBody {
    body: Body,
    turn: Option<OwnedSemaphorePermit>,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() {
            self.turn = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
