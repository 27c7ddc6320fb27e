//! Calls of strangers: a connection on which nobody has shown a service token has few at a time. What a call holds until it ends
//! (its head, its stream, what still comes of its body) would else be multiplied by all the streams that a connection may have.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either},
};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{auth::ServiceAuth, error::Error, notice::Notices, strangers::Visitor};

/// What is open to those who show no token (`ServiceAuth::open_to_all`).
const HEALTH: &str = "/grpc.health.v1.Health/";

#[derive(Debug, Clone)]
pub(super) struct FewOfStrangers {
    auth: ServiceAuth,
    refusals: Arc<Notices<()>>,
}

impl FewOfStrangers {
    pub(super) fn new(auth: ServiceAuth) -> Self {
        Self { auth, refusals: Arc::default() }
    }
}

impl<S> Layer<S> for FewOfStrangers {
    type Service = LimitedCalls<S>;

    fn layer(&self, service: S) -> LimitedCalls<S> {
        LimitedCalls { service, strangers: self.clone() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct LimitedCalls<S> {
    service: S,
    strangers: FewOfStrangers,
}

impl<S> Service<Request<Body>> for LimitedCalls<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(visitor) = request.extensions().get::<Visitor>().cloned() else {
            return Either::Left(self.service.call(request));
        };
        // Before any call waits for its turn: many may come with the first.
        if visitor.is_known() || self.strangers.auth.recognizes(request.headers(), &visitor) {
            return Either::Left(self.service.call(request));
        }
        match visitor.place() {
            Some(place) => {
                let place = Arc::new(place);
                let held = Arc::clone(&place);
                let request = request
                    .map(|body| Body::new(BodyWithPlace { body, _place: Arc::clone(&place) }));
                let answer = self.service.call(request);
                Either::Right(
                    async move {
                        let answer = answer.await?;
                        Ok(answer.map(|body| Body::new(BodyWithPlace { body, _place: held })))
                    }
                    .boxed(),
                )
            }
            // Whoever should have shown a token is told so; nothing of what still comes is waited for.
            None if !request.uri().path().starts_with(HEALTH) => {
                Either::Left(self.service.call(request.map(|_| Body::empty())))
            }
            None => {
                if let Some(untold) = self.strangers.refusals.happened(()) {
                    tracing::warn!(
                        untold,
                        peer = visitor.from().map(tracing::field::display),
                        "a question about health is refused: its connection shows no service token, and has too many calls at a time"
                    );
                }
                let refused = Status::from(Error::Overloaded).into_http();
                Either::Right(std::future::ready(Ok(refused)).boxed())
            }
        }
    }
}

/// A body, at whose end a place is free again.
struct BodyWithPlace {
    body: Body,
    _place: Arc<OwnedSemaphorePermit>,
}

impl HttpBody for BodyWithPlace {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
