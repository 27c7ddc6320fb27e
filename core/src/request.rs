//! A gRPC request on its way through the core: its id, and the span that has all that is logged about it.

use std::task::{Context, Poll};

use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use netrox_proto::request_id::RequestId;
use tonic::{body::Body, server::NamedService};
use tower::Service;
use tracing::{
    Instrument as _, Span,
    field::{Empty, display},
};

/// Of its name in a span.
const MAX_METHOD_BYTES: usize = 64;

/// Gives each request its id and its span, up to the head of the answer. What comes after it, the items of a stream, is
/// logged in [`span`]s of its own.
#[derive(Debug, Clone)]
pub(crate) struct Identified<S>(S);

impl<S> Identified<S> {
    pub(crate) fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S: NamedService> NamedService for Identified<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Identified<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let id = RequestId::of(request.headers());
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        // There is none as long, but who calls may ask for it.
        let method = &method[..method.floor_char_boundary(MAX_METHOD_BYTES)];
        // It is said of a caller that is known.
        let span = tracing::info_span!("grpc", method, request_id = %id, trace_id = Empty);
        let answer = id.sync_scope(|| span.in_scope(|| self.0.call(request)));
        id.scope(answer).instrument(span).boxed()
    }
}

/// For what is logged about a request outside of its call.
pub(crate) fn span(id: Option<&RequestId>) -> Span {
    let (request_id, trace_id) = (id.map(display), id.and_then(RequestId::trace_id).map(display));
    tracing::info_span!("request", request_id, trace_id)
}

/// Does something that is logged about a request, and may tell its caller about it.
pub(crate) fn about<T>(id: Option<&RequestId>, work: impl FnOnce() -> T) -> T {
    match id {
        Some(id) => span(Some(id)).in_scope(|| id.sync_scope(work)),
        None => work(),
    }
}

/// The same of what waits.
pub(crate) async fn follow<F: Future>(id: Option<RequestId>, work: F) -> F::Output {
    match id {
        Some(id) => {
            let span = span(Some(&id));
            id.scope(work).instrument(span).await
        }
        None => work.await,
    }
}
