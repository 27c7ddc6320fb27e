//! Below the messages: deadlines, sizes, and bytes that are no messages at all.

use std::time::Duration;

use netrox_proto::v1::{GetUsersRequest, SendMessageRequest};
use prost::Message as _;
use tonic::Code;

use crate::{
    raw_call::{Call, SEND_MESSAGE, framed},
    refusal::retry_pushback,
    running::{Core, text},
};

#[tokio::test]
async fn a_deadline_that_is_over_is_kept() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let body = framed(&text(&ada, &bob, "hello").encode_to_vec());
    let in_time = Call { headers: &[("grpc-timeout", "30S")], ..Call::new(SEND_MESSAGE, &body) };
    assert_eq!(in_time.make(&core).await.expect("an answer").code(), Some(Code::Ok));
    // Of a request that does not end, so that nothing but the deadline can answer it.
    for timeout in ["0n", "0u", "1n", "0m", "1m", "50m", "51m", "52m", "0S", "0H"] {
        let headers = [("grpc-timeout", timeout)];
        let begun = Call::new(SEND_MESSAGE, &body[..20]);
        let answer = Call { headers: &headers, ends: false, ..begun }.make(&core).await;
        let code = answer.expect("an answer").code();
        assert_eq!(code, Some(Code::DeadlineExceeded), "{timeout}");
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
        assert_eq!(retry_pushback(&refused), Some("-1"), "{refused:?}");
        let ids = GetUsersRequest { user_ids: vec!["x".repeat(bytes)], ..Default::default() };
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
            external_id: None,
        })
        .collect();
    let ids: Vec<_> = users.iter().map(|user| user.id.clone()).collect();
    let mut directory = core.directory().max_decoding_message_size(64 * 1024 * 1024);
    let stored = directory.upsert_users(UpsertUsersRequest { users }).await.expect("stored");
    assert_eq!(stored.into_inner().users.len(), 1_000);
    let found = directory
        .get_users(GetUsersRequest { user_ids: ids, ..Default::default() })
        .await
        .expect("found");
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
        let answer = Call::new(SEND_MESSAGE, body).make(&core).await;
        let code = answer.ok().and_then(|answer| answer.code());
        assert_ne!(code, Some(Code::Ok), "{what}");
    }
    let body = framed(&good);
    let headers: [&[(&str, &str)]; 2] =
        [&[("grpc-encoding", "gzip")], &[("grpc-encoding", "nonsense")]];
    for headers in headers {
        let answer = Call { headers, ..Call::new(SEND_MESSAGE, &body) }.make(&core).await;
        let code = answer.expect("an answer").code();
        assert_eq!(code, Some(Code::Unimplemented), "{headers:?}");
    }
    for path in
        ["/", "//", "/netrox.chat.v1.ChatService", "/netrox.chat.v1.ChatService/Nothing", "/x/y%20"]
    {
        let answer = Call::new(path, &body).make(&core).await.expect("an answer");
        let status = answer.status.expect("a status");
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
        assert_eq!(status.message(), format!("there is no method {path}"));
    }
    core.send(&ada, &bob, "the last").await.expect("stored");
    let history = core.history(&ada, &bob).await.expect("a history");
    let bodies: Vec<_> = history.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["the last"]);
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
    let body = framed(&newer.encode_to_vec());
    let answer = Call::new(SEND_MESSAGE, &body).make(&core).await;
    assert_eq!(answer.expect("an answer").code(), Some(Code::Ok));
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
