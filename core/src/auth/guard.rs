//! What stands before a service of the contract: calls of who may make them pass, and streams end when their credential
//! counts no more.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either},
};
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use netrox_audit::{Audit, Name, Refused};
use netrox_proto::{MANY_ANSWERS, ONE_REQUEST, request_id::RequestId};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;
use tracing::field::display;

use super::{
    ServiceAuth,
    scope::Method,
    services::{Cause, Credential, Revocation},
};
use crate::{strangers::Visitor, trace};

/// Which service calls; goes with each call that passes.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) name: Arc<str>,
    visitor: Option<Visitor>,
}

impl Caller {
    /// Nothing of one in this process.
    pub(crate) fn from(&self) -> Option<IpAddr> {
        self.visitor.as_ref().and_then(Visitor::from)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    service: S,
    auth: ServiceAuth,
}

impl<S> Guarded<S> {
    pub(crate) fn new(service: S, auth: &ServiceAuth) -> Self {
        Self { service, auth: auth.clone() }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

type Answer<S> = Result<Response<Body>, <S as Service<Request<Body>>>::Error>;

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Answer<S>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let credential = match self.auth.permit(&request) {
            Ok(credential) => credential,
            Err(refused) => {
                return Either::Right(std::future::ready(Ok(refused.into_http())).boxed());
            }
        };
        let method = || Method::of_path(request.uri().path()).map_or("", Method::name);
        let traced = trace::call(request.headers(), &credential.name, method);
        let Some((mut span, id)) = traced else { return self.pass(request, &credential) };
        tracing::Span::current().record("trace_id", id.trace_id().map(display));
        let answer = id.sync_scope(|| self.pass(request, &credential));
        let answered = async move {
            let answer = answer.await?;
            trace::answered(&mut span, &answer);
            Ok(answer)
        };
        Either::Right(id.scope(answered).boxed())
    }
}

impl<S> Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    /// A call that may be made.
    fn pass(
        &mut self,
        mut request: Request<Body>,
        credential: &Credential,
    ) -> Either<S::Future, BoxFuture<'static, Answer<S>>> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let caller = Caller { name: Arc::clone(&credential.name), visitor };
        let told = Told {
            audit: self.auth.audit.clone(),
            caller: caller.clone(),
            method: Method::of_path(request.uri().path()).map(Method::name),
            request_id: RequestId::current(),
        };
        request.extensions_mut().insert(caller);
        let Some(revocation) = credential.revocation() else {
            return Either::Left(self.service.call(request));
        };
        let (takes_one, gives_one) = {
            let path = request.uri().path();
            (ONE_REQUEST.contains(&path), !MANY_ANSWERS.contains(&path))
        };
        // What it has taken of the requests is answered before it ends.
        if !takes_one {
            let request = request
                .map(|body| Body::new(Revocable::new(body, revocation, Part::Requests, told)));
            return Either::Left(self.service.call(request));
        }
        // What may be stored already is not said to be refused.
        if gives_one {
            return Either::Left(self.service.call(request));
        }
        let (revocation, answer) = (Arc::clone(revocation), self.service.call(request));
        Either::Right(
            async move {
                let answer = answer.await?;
                Ok(answer
                    .map(|body| Body::new(Revocable::new(body, &revocation, Part::Answers, told))))
            }
            .boxed(),
        )
    }
}

/// Of a call.
#[derive(Debug, Clone, Copy)]
enum Part {
    Requests,
    Answers,
}

/// Of a stream, for the audit log.
struct Told {
    audit: Audit,
    caller: Caller,
    method: Option<&'static str>,
    request_id: Option<RequestId>,
}

impl Told {
    fn ended(&self, cause: Cause) {
        let refused = Refused {
            name: Name::StreamEnded,
            reason: cause.word(),
            actor: Some(&self.caller.name),
            target: None,
            method: self.method,
            peer: self.caller.from(),
        };
        self.audit.refused(refused, |event| event.request_id(self.request_id.as_ref()));
    }
}

/// A body that ends when the credential of its call counts no more.
struct Revocable {
    body: Body,
    happened: Pin<Box<WaitForCancellationFutureOwned>>,
    revocation: Arc<Revocation>,
    part: Part,
    told: Told,
    is_over: bool,
}

impl Revocable {
    fn new(body: Body, revocation: &Arc<Revocation>, part: Part, told: Told) -> Self {
        let happened = Box::pin(revocation.happened.clone().cancelled_owned());
        Self { body, happened, revocation: Arc::clone(revocation), part, told, is_over: false }
    }
}

impl HttpBody for Revocable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // First: there may always be something to pass on.
        if self.happened.as_mut().poll(context).is_pending() {
            return Pin::new(&mut self.body).poll_frame(context);
        }
        self.is_over = true;
        // What is behind it learns that nobody listens.
        self.body = Body::empty();
        self.told.ended(self.revocation.cause());
        let status = self.revocation.status();
        let end = match self.part {
            Part::Requests => Err(status),
            Part::Answers => {
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))
            }
        };
        Poll::Ready(Some(end))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
