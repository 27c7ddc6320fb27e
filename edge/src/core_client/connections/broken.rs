//! What is known of a call that was sent, at least in part, and not answered.

use std::error::Error as _;

use netrox_proto::v1::{ErrorReason, Failure};
use tonic::Status;

/// Says that the core is shutting down where it certainly did nothing; otherwise its outcome is open.
pub(super) fn status(error: &hyper::Error) -> Status {
    let cause = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    if cause.is_some_and(was_never_processed) {
        return Failure::new(ErrorReason::ShuttingDown, "the core did not take the call").into();
    }
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    Status::unavailable(format!("the connection to the core broke: {error}{cause}"))
}

/// RFC 9113 section 8.7: a stream above the last of a GOAWAY frame, and one that is refused. Streams up to the last go on
/// after a GOAWAY without an error, and fail with the connection if they do. hyper may also give the error of the frame to a
/// call whose head has just been sent: its body is not, and gRPC has no call without one.
fn was_never_processed(cause: &h2::Error) -> bool {
    let is_refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
    let is_behind_the_last = cause.is_go_away() && cause.reason() == Some(h2::Reason::NO_ERROR);
    cause.is_remote() && (is_refused || is_behind_the_last)
}

#[cfg(test)]
mod tests {
    use netrox_proto::v1::SendMessageRequest;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };
    use tonic::Code;

    use super::*;
    use crate::core_client::{CoreClient, CoreTransport};

    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const END_STREAM_AND_HEADERS: u8 = 0x5;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// The stream of the next call.
    async fn next_call(connection: &mut TcpStream) -> u32 {
        loop {
            let mut head = [0; 9];
            connection.read_exact(&mut head).await.expect("a frame");
            let [a, b, c, kind, _flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            connection.read_exact(&mut payload).await.expect("a payload");
            if kind == HEADERS {
                return u32::from_be_bytes(stream);
            }
        }
    }

    /// How a call ends to which a core without a health service answers with this frame, and with its end.
    async fn answered_by(answer: impl FnOnce(u32) -> Vec<u8>) -> Status {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let core = format!("http://{address}").parse().expect("a URI");
        let authorization = http::HeaderValue::from_static("Bearer token");
        let client = CoreClient::new(CoreTransport::remote([core], None), authorization);
        let call = tokio::spawn(async move {
            client.chat.clone().send_message(SendMessageRequest::default()).await
        });
        let mut connection = listener.accept().await.expect("a connection").0;
        connection.read_exact(&mut [0; 24]).await.expect("the preface");
        connection.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("sent");
        let health_watch = next_call(&mut connection).await;
        let unimplemented = b"\x88\x00\x0bgrpc-status\x0212";
        let unimplemented = frame(HEADERS, END_STREAM_AND_HEADERS, health_watch, unimplemented);
        connection.write_all(&unimplemented).await.expect("sent");
        let stream = next_call(&mut connection).await;
        connection.write_all(&answer(stream)).await.expect("sent");
        connection.shutdown().await.expect("shut down");
        call.await.expect("a task").expect_err("no answer")
    }

    fn go_away(last: u32, reason: h2::Reason) -> Vec<u8> {
        let payload = [last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat();
        frame(GOAWAY, 0, 0, &payload)
    }

    fn reset(stream: u32, reason: h2::Reason) -> Vec<u8> {
        frame(RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes())
    }

    #[tokio::test]
    async fn what_was_never_processed_is_told_from_what_may_have_been() {
        use h2::Reason;
        let refusals = [
            answered_by(|stream| go_away(stream - 2, Reason::NO_ERROR)).await,
            answered_by(|stream| reset(stream, Reason::REFUSED_STREAM)).await,
        ];
        for status in refusals {
            assert_eq!(Failure::from(&status).reason(), ErrorReason::ShuttingDown, "{status:?}");
        }
        let unknown = [
            answered_by(|stream| go_away(stream, Reason::NO_ERROR)).await,
            answered_by(|stream| go_away(stream - 2, Reason::ENHANCE_YOUR_CALM)).await,
            answered_by(|stream| reset(stream, Reason::INTERNAL_ERROR)).await,
            answered_by(|_| Vec::new()).await,
        ];
        for status in unknown {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert_ne!(Failure::from(&status).reason(), ErrorReason::ShuttingDown, "{status:?}");
        }
    }
}
