//! What still comes of a request that was answered before its end, as a refused upload: it is read and thrown away, up to a
//! size and for a while. Else the stream would be reset under a peer that is still sending, and h2 ends a connection,
//! with all that others do on it, once it has counted many frames on such streams.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

/// As much as a peer may send before it has read its answer: more than the largest file by default.
const MAX_BYTES: u64 = 32 * 1024 * 1024;
const MAX_TIME: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub(super) struct ReadsOn;

impl<S> Layer<S> for ReadsOn {
    type Service = ReadingOn<S>;

    fn layer(&self, service: S) -> ReadingOn<S> {
        ReadingOn(service)
    }
}

#[derive(Debug, Clone)]
pub(super) struct ReadingOn<S>(S);

impl<S: Service<Request<Body>>> Service<Request<Body>> for ReadingOn<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        self.0.call(request.map(|body| Body::new(ReadToEnd(Some(body)))))
    }
}

/// A request's body; `None` when its end was read.
struct ReadToEnd(Option<Body>);

impl HttpBody for ReadToEnd {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for ReadToEnd {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(MAX_TIME, throw_away(body)));
        }
    }
}

async fn throw_away(mut body: Body) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > MAX_BYTES {
            break;
        }
    }
}
