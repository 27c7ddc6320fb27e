//! Below the messages: deadlines, sizes, and bytes that are no messages at all.

use std::time::Duration;

use bytes::Bytes;
use netrox_harness::{settings::SERVICE_TOKEN, within};
use netrox_proto::v1::{GetUsersRequest, SendMessageRequest};
use prost::Message as _;
use tonic::Code;

use crate::running::{Core, text};

/// How a call made of raw HTTP/2 frames ended.
#[derive(Debug)]
struct RawAnswer {
    http_status: u16,
    grpc_status: Option<i32>,
}

const SEND_MESSAGE: &str = "/netrox.chat.v1.ChatService/SendMessage";

/// Calls with these headers and body as they stand, on a connection of its own.
async fn raw_call(
    core: &Core,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<RawAnswer, h2::Error> {
    raw_call_with_end(core, path, headers, body, true).await
}

/// The same, where the request may stay unfinished.
async fn raw_call_with_end(
    core: &Core,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    ends: bool,
) -> Result<RawAnswer, h2::Error> {
    let tcp = tokio::net::TcpStream::connect(core.address()).await.expect("connect");
    let (client, connection) = h2::client::handshake(tcp).await?;
    let connection = tokio::spawn(connection);
    let answer = within("an answer", async {
        let mut client = client.ready().await?;
        let mut request = http::Request::post(format!("http://{}{path}", core.address()))
            .header("te", "trailers")
            .header("authorization", format!("Bearer {SERVICE_TOKEN}"));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (response, mut sending) =
            client.send_request(request.body(()).expect("a request"), false)?;
        // A refusal may come before the body is sent.
        let _ = sending.send_data(Bytes::copy_from_slice(body), ends);
        let response = response.await?;
        let http_status = response.status().as_u16();
        let status = |headers: &http::HeaderMap| {
            headers.get("grpc-status").and_then(|status| status.to_str().ok()?.parse().ok())
        };
        let at_once = status(response.headers());
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            let _ = body.flow_control().release_capacity(data?.len());
        }
        let at_the_end = body.trailers().await?.as_ref().and_then(status);
        Ok(RawAnswer { http_status, grpc_status: at_once.or(at_the_end) })
    })
    .await;
    connection.abort();
    answer
}

/// A message with its length before it, as gRPC frames it.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message");
    [&[0], &length.to_be_bytes()[..], message].concat()
}

#[tokio::test]
async fn a_deadline_that_is_over_is_kept() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let body = framed(&text(&ada, &bob, "hello").encode_to_vec());
    let in_time = raw_call(&core, SEND_MESSAGE, &[("grpc-timeout", "30S")], &body).await;
    assert_eq!(in_time.expect("an answer").grpc_status, Some(0));
    // Of a request that does not end, so that nothing but the deadline can answer it.
    for timeout in ["0n", "0u", "1n", "0m", "50m", "0S", "0H"] {
        let headers = [("grpc-timeout", timeout)];
        let answer = raw_call_with_end(&core, SEND_MESSAGE, &headers, &body[..20], false).await;
        let status = answer.expect("an answer").grpc_status.map(Code::from);
        // tonic calls a deadline that its server has kept CANCELLED.
        assert!(
            matches!(status, Some(Code::DeadlineExceeded | Code::Cancelled)),
            "{timeout}: {status:?}"
        );
    }
    // A client that gives up sees its own clock.
    let mut request = tonic::Request::new(tokio_stream::pending());
    request.set_timeout(Duration::ZERO);
    let code = core.attachment().upload_attachment(request).await.expect_err("too late").code();
    assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{code:?}");
    core.send(&ada, &bob, "hello").await.expect("stored");
}

#[tokio::test]
async fn a_message_over_the_size_limit_is_refused_and_the_connection_lives() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    for bytes in [300_000, 1_000_000, 5_000_000, 20_000_000] {
        let refused = core.send(&ada, &bob, &"x".repeat(bytes)).await.expect_err("too large");
        let codes = [Code::InvalidArgument, Code::OutOfRange, Code::ResourceExhausted];
        assert!(codes.contains(&refused.code()), "{refused:?}");
        let ids = GetUsersRequest { user_ids: vec!["x".repeat(bytes)] };
        core.directory().get_users(ids).await.expect_err("too large");
        let message = core.send(&ada, &bob, "hello").await.expect("stored");
        core.message(&bob, message.message_id).await.expect("visible");
    }
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 4);
}

/// The largest request that the contract allows is not over any limit of the transport.
#[tokio::test]
async fn the_largest_batch_of_users_fits() {
    use netrox_proto::v1::{UpsertUsersRequest, UserChange};

    let core = Core::start().await;
    let profile = format!("\"{}\"", "x".repeat(16_382));
    let users: Vec<_> = (0..1_000)
        .map(|_| UserChange {
            id: uuid::Uuid::new_v4().to_string(),
            email: Some("x".repeat(320)),
            profile_json: Some(profile.clone()),
        })
        .collect();
    let ids: Vec<_> = users.iter().map(|user| user.id.clone()).collect();
    let mut directory = core.directory().max_decoding_message_size(64 * 1024 * 1024);
    let stored = directory.upsert_users(UpsertUsersRequest { users }).await.expect("stored");
    assert_eq!(stored.into_inner().users.len(), 1_000);
    let found = directory.get_users(GetUsersRequest { user_ids: ids }).await.expect("found");
    let found = found.into_inner().users;
    assert_eq!(found.len(), 1_000);
    assert!(found.iter().all(|user| user.profile_json.as_ref() == Some(&profile)));
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused_and_the_core_lives() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let good = text(&ada, &bob, "hello").encode_to_vec();
    let lie = |length: u32| [&[0], &length.to_be_bytes()[..], &good].concat();
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("half a prefix", vec![0, 0, 0]),
        ("a cut message", framed(&good)[..20].to_vec()),
        ("a length that lies a little", lie(good.len() as u32 + 1)),
        ("a length that lies greatly", lie(u32::MAX)),
        ("a compressed message", [&[1], &framed(&good)[1..]].concat()),
        ("an unknown flag", [&[0xff], &framed(&good)[1..]].concat()),
        ("two messages", [framed(&good), framed(&good)].concat()),
        ("no protobuf", framed(&[0xff; 100])),
        ("text that is no UTF-8", framed(b"\x0a\x02\xff\xfe")),
        ("a field that is longer than its message", framed(b"\x1a\xff\xff\xff\xff\x0f")),
        ("groups in groups", framed(&[0x0b; 10_000])),
    ];
    for (what, body) in &bodies {
        let answer = raw_call(&core, SEND_MESSAGE, &[], body).await;
        let status = answer.ok().and_then(|answer| answer.grpc_status);
        // Of two messages the first may count.
        assert!(*what == "two messages" || status != Some(0), "{what}: {status:?}");
    }
    let body = framed(&good);
    let headers: [&[(&str, &str)]; 6] = [
        &[("content-type", "text/plain")],
        &[("content-type", "application/json")],
        &[("grpc-encoding", "gzip")],
        &[("grpc-encoding", "nonsense")],
        &[("grpc-timeout", "soon")],
        &[("grpc-timeout", "99999999999999999999S")],
    ];
    for headers in headers {
        let answer = raw_call(&core, SEND_MESSAGE, headers, &body).await;
        let answer = answer.expect("an answer");
        assert!(answer.http_status < 500, "{headers:?}: {answer:?}");
    }
    for path in
        ["/", "//", "/netrox.chat.v1.ChatService", "/netrox.chat.v1.ChatService/Nothing", "/x/y"]
    {
        let answer = raw_call(&core, path, &[], &body).await.expect("an answer");
        assert_eq!(answer.grpc_status, Some(Code::Unimplemented.into()), "{path}");
    }
    let long = "x".repeat(60_000);
    let _ = raw_call(&core, SEND_MESSAGE, &[("x-long", &long)], &body).await;

    core.send(&ada, &bob, "the last").await.expect("stored");
    let history = core.history(&ada, &bob).await.expect("a history");
    assert_eq!(history.last().expect("a message").body, "the last");
}

/// A new client sends a field that this core does not know.
#[tokio::test]
async fn an_unknown_field_is_skipped() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Newer {
        #[prost(string, tag = "1")]
        sender_id: String,
        #[prost(string, tag = "2")]
        receiver_id: String,
        #[prost(string, tag = "3")]
        body: String,
        #[prost(string, tag = "1000")]
        mood: String,
    }

    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let newer = Newer {
        sender_id: ada.clone(),
        receiver_id: bob.clone(),
        body: "hello".into(),
        mood: "cheerful".into(),
    };
    assert!(SendMessageRequest::decode(newer.encode_to_vec().as_slice()).is_ok());
    let answer = raw_call(&core, SEND_MESSAGE, &[], &framed(&newer.encode_to_vec())).await;
    assert_eq!(answer.expect("an answer").grpc_status, Some(0));
    assert_eq!(core.history(&ada, &bob).await.expect("a history")[0].body, "hello");
}

/// What does not speak HTTP/2 is closed, and nobody else is disturbed.
#[tokio::test]
async fn a_peer_that_speaks_no_http2_is_closed() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let address = core.address().parse().expect("an address");
    let noises: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        // A frame of 16 MiB before any settings.
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0; 1000],
    ];
    for noise in noises {
        let mut raw = netrox_harness::raw::Raw::connect(address).await;
        raw.try_write(noise).await;
        raw.rest().await;
    }
    core.send(&ada, &bob, "hello").await.expect("stored");
}
