//! Whether the head of an answer is of a core: something between may speak in its place.

use std::net::SocketAddr;

use http::{HeaderMap, Response, StatusCode, header};
use netrox_proto::v1::{ErrorReason, Failure};
use tonic::{Code, Status};

use super::{Pool, link::Link};
use crate::core_client::reach::Trouble;

const GRPC_STATUS: &str = "grpc-status";
const GRPC: &[u8] = b"application/grpc";

/// Gives the answer of a core that knows this edge, or what another is to the caller. Tells the operator of that.
pub(super) fn judge<B>(
    response: Response<B>,
    address: SocketAddr,
    pool: &Pool,
) -> Result<Response<B>, Status> {
    let status = response.status();
    if !is_of_core(&response) {
        pool.reach.foreign(address, status, pool.link.call());
        return Err(foreign(status, pool.link));
    }
    if code(response.headers()) == Some(Code::Unauthenticated) {
        let cause = "it refuses a call";
        pool.reach.fails(address, Trouble::Unauthorized, cause);
        let cause = "the core does not know the service token of this edge";
        return Err(Failure::new(ErrorReason::StoreUnavailable, cause).into());
    }
    if code(response.headers()) == Some(Code::PermissionDenied)
        && let Some(cause) = missing_scope(response.headers())
    {
        pool.reach.fails(address, Trouble::NotAllowed, &cause);
        return Err(Failure::new(ErrorReason::StoreUnavailable, cause).into());
    }
    Ok(response)
}

/// What the service token of this edge lacks, in words of the core.
fn missing_scope(head: &HeaderMap) -> Option<String> {
    let failure = Failure::from(&Status::from_header_map(head)?);
    (failure.reason() == ErrorReason::ScopeMissing).then_some(failure.message)
}

pub(super) fn is_of_core<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::OK && is_grpc(response.headers())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(GRPC)) || headers.contains_key(GRPC_STATUS)
}

/// Of an answer that is its head alone, such as one without a look at the call.
fn code(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get(GRPC_STATUS)?.as_bytes()))
}

/// What is too large for a proxy is too large, and was not stored: its last part did not pass. What a proxy says of itself or
/// of a core that it cannot reach may pass; anything else stays until somebody has looked at it.
fn foreign(status: StatusCode, link: Link) -> Status {
    let message = format!("an answer that no core gives: HTTP {status}");
    match status {
        StatusCode::PAYLOAD_TOO_LARGE if link == Link::Uploads => {
            Failure::new(ErrorReason::AttachmentTooLarge, message).into()
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Status::unavailable(message),
        status if status.is_server_error() => Status::unavailable(message),
        // Not UNIMPLEMENTED, by which a core says that it has no such service.
        _ => Status::failed_precondition(message),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::response::IntoResponse as _;
    use http::HeaderValue;
    use netrox_proto::v1::SendMessageRequest;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        core_client::{CoreClient, CoreTransport},
        error::PublicError,
        logs::Logs,
    };

    /// A client of what gives this answer to every call, and says of health that it is not asked here.
    async fn client_of(answer: fn() -> Response<()>) -> CoreClient {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let core = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(async move {
                    let mut calls = h2::server::handshake(stream).await.expect("a handshake");
                    while let Some(Ok((request, mut respond))) = calls.accept().await {
                        let is_health = request.uri().path().starts_with("/grpc.health");
                        let head = if is_health { grpc_status("12") } else { answer() };
                        respond.send_response(head, true).expect("sent");
                    }
                    Ok::<_, Infallible>(())
                });
            }
        });
        let core = core.parse().expect("a URI");
        let authorization = HeaderValue::from_static("Bearer token");
        CoreClient::new(CoreTransport::remote([core], None), authorization)
    }

    fn grpc_status(code: &'static str) -> Response<()> {
        let head = Response::builder().header(header::CONTENT_TYPE, "application/grpc");
        head.header(GRPC_STATUS, code).body(()).expect("a head")
    }

    fn html(status: u16) -> Response<()> {
        let head = Response::builder().status(status).header(header::CONTENT_TYPE, "text/html");
        head.body(()).expect("a head")
    }

    #[tokio::test]
    async fn what_no_core_answers_is_told_with_its_status_and_taken_for_what_it_is() {
        let logs = Logs::capture();
        type Answer = fn() -> Response<()>;
        let cases: [(Answer, &str, u16); 5] = [
            (|| html(413), "HTTP 413", 413),
            (|| html(502), "HTTP 502", 503),
            (|| html(429), "HTTP 429", 503),
            (|| html(404), "HTTP 404", 500),
            (|| html(200), "HTTP 200", 500),
        ];
        for (answer, told, public) in cases {
            let client = client_of(answer).await;
            let uploaded = client.upload.clone().upload_attachment(tokio_stream::empty()).await;
            let error = PublicError::from(uploaded.expect_err("no core"));
            assert_eq!(error.into_response().status(), public, "{told}");
            let lines = logs.take();
            let line = lines.lines().find(|line| line.contains("WARN") && line.contains(told));
            let line = line.unwrap_or_else(|| panic!("no {told} in {lines}"));
            assert!(line.contains("an upload"), "{line}");
        }
        // Beside an upload nothing is a file that is too large.
        let client = client_of(|| html(413)).await;
        let sent = client.chat.clone().send_message(SendMessageRequest::default()).await;
        let failure = Failure::from(&sent.expect_err("no core"));
        assert_eq!(failure.reason(), ErrorReason::Internal);
    }

    #[tokio::test]
    async fn a_core_that_does_not_know_the_token_is_one_that_cannot_be_used() {
        let logs = Logs::capture();
        let client = client_of(|| grpc_status("16")).await;
        for _ in 0..3 {
            let sent = client.chat.clone().send_message(SendMessageRequest::default()).await;
            let failure = Failure::from(&sent.expect_err("a refusal"));
            assert_eq!(failure.reason(), ErrorReason::StoreUnavailable);
        }
        assert_eq!(client.reach.trouble(), Some(Trouble::Unauthorized));
        let lines = logs.take();
        assert_eq!(lines.matches("does not know this edge's service token").count(), 1, "{lines}");
    }
}
