//! What a call must be to be gRPC: what is not is refused before any service sees it, since what cannot be understood would be
//! taken as absent, and the call carried out. What gRPC itself answers gets what its caller needs to know.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, Ready, ready},
};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use netrox_proto::{
    ONE_REQUEST,
    error::{RETRY_PUSHBACK, retry_pushback},
};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{deadline, one_request::OneRequest};
use crate::{notice::Notices, strangers::Visitor};

/// Of the metadata of a call, each entry with 32 bytes besides (RFC 9113 section 10.5.1).
pub(super) const MAX_METADATA_BYTES: usize = 16 * 1024;
const ENTRY_BYTES: usize = 32;
const GRPC: &[u8] = b"application/grpc";
const ACCEPT_POST: &str = "accept-post";
/// Of a method's name, which goes back to whoever called it.
const MAX_NAME_CHARACTERS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
enum Refusal {
    #[error("it is no POST")]
    Method,
    #[error("its content type is not gRPC's (grpc-web and connect are not spoken here)")]
    ContentType,
    #[error("it has more than {MAX_METADATA_BYTES} bytes of metadata")]
    Metadata,
    #[error("its grpc-timeout is none: up to eight digits and one of H, M, S, m, u, n")]
    Timeout,
    #[error("it does not have one request, whole, as its method takes")]
    Requests,
}

impl Refusal {
    fn code(self) -> Code {
        match self {
            Self::Metadata => Code::ResourceExhausted,
            Self::Requests => Code::Unimplemented,
            Self::Method | Self::ContentType | Self::Timeout => Code::InvalidArgument,
        }
    }

    fn answer(self) -> Response<Body> {
        let mut answer: Response<Body> =
            Status::new(self.code(), format!("the call is refused: {self}")).into_http();
        match self {
            Self::Method => {
                *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Self::ContentType => {
                *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                let accepted = HeaderValue::from_static("application/grpc");
                answer.headers_mut().insert(ACCEPT_POST, accepted);
            }
            Self::Metadata | Self::Timeout | Self::Requests => {}
        }
        answer
    }
}

/// What was refused of late.
#[derive(Debug, Clone, Default)]
struct Refusals(Arc<Notices<Refusal>>);

impl Refusals {
    fn tell(&self, refusal: Refusal, from: Option<IpAddr>) {
        if let Some(untold) = self.0.happened(refusal) {
            let place = from.map_or_else(|| "an unknown address".to_owned(), |it| it.to_string());
            let peer = from.map(tracing::field::display);
            tracing::warn!(untold, peer, "a call from {place} is refused: {refusal}");
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Protocol(Refusals);

impl<S> Layer<S> for Protocol {
    type Service = Understood<S>;

    fn layer(&self, service: S) -> Understood<S> {
        Understood { service, refusals: self.0.clone() }
    }
}

type HttpResult<E> = Result<Response<Body>, E>;

/// Lets those calls pass that are gRPC.
#[derive(Debug, Clone)]
pub(super) struct Understood<S> {
    service: S,
    refusals: Refusals,
}

impl<S> Service<Request<Body>> for Understood<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<HttpResult<S::Error>>, BoxFuture<'static, HttpResult<S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let from = request.extensions().get::<Visitor>().and_then(Visitor::from);
        let timeout = match check(&request) {
            Ok(timeout) => timeout,
            Err(refusal) => {
                self.refusals.tell(refusal, from);
                return Either::Left(ready(Ok(completed(refusal.answer(), request.uri().path()))));
            }
        };
        let uri = request.uri().clone();
        let request = match ONE_REQUEST.contains(&uri.path()) {
            true => {
                let refusals = self.refusals.clone();
                let refused = move || refusals.tell(Refusal::Requests, from);
                request.map(|body| Body::new(OneRequest::new(body, refused)))
            }
            false => request,
        };
        let deadline = timeout.and_then(deadline::after);
        let answer = self.service.call(request);
        let answer = async move {
            let answer = match deadline {
                Some(deadline) => deadline::kept(answer, deadline).await?,
                None => answer.await?,
            };
            Ok(completed(answer, uri.path()))
        };
        Either::Right(answer.boxed())
    }
}

/// The timeout of a call that is understood.
fn check<B>(request: &Request<B>) -> Result<Option<Duration>, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    if !is_grpc(request.headers()) {
        return Err(Refusal::ContentType);
    }
    if metadata_bytes(request.headers()) > MAX_METADATA_BYTES {
        return Err(Refusal::Metadata);
    }
    deadline::timeout(request.headers()).map_err(|deadline::Malformed| Refusal::Timeout)
}

/// gRPC over HTTP/2: "application/grpc" [("+proto" / "+json" / {custom})]. The bytes of any are read as protobuf.
fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let Some((name, rest)) = value.split_at_checked(GRPC.len()) else { return false };
    let rest = rest.trim_ascii_start();
    name.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';'))
}

fn metadata_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ENTRY_BYTES).sum()
}

/// A refusal that gRPC itself gave, with what retry policies obey; and with the name of a method that nobody knows.
fn completed(mut answer: Response<Body>, path: &str) -> Response<Body> {
    let Some(status) = answer.headers().get(Status::GRPC_STATUS) else { return answer };
    let code = Code::from_bytes(status.as_bytes());
    if code == Code::Unimplemented && !answer.headers().contains_key(Status::GRPC_MESSAGE) {
        let name: String = path.chars().take(MAX_NAME_CHARACTERS).collect();
        answer = Status::unimplemented(format!("there is no method {name}")).into_http();
    }
    let is_refusal_without_reason = !answer.headers().contains_key(Status::GRPC_STATUS_DETAILS);
    if is_refusal_without_reason && let Some(pushback) = retry_pushback(code) {
        answer.headers_mut().insert(RETRY_PUSHBACK, pushback.into());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_grpc_are_told_from_others() {
        let is_grpc = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            super::is_grpc(&headers)
        };
        for grpc in [
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC",
            "application/grpc; charset=utf-8",
            "application/grpc+vtproto;x=y",
        ] {
            assert!(is_grpc(grpc), "{grpc}");
        }
        for other in [
            "",
            "application/grp",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpcs",
            "application/proto",
            "application/connect+proto",
            "text/html",
        ] {
            assert!(!is_grpc(other), "{other}");
        }
        assert!(!super::is_grpc(&HeaderMap::new()));
    }
}
