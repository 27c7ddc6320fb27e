//! Calls that are not quite gRPC are refused, and not carried out as far as they are understood.

use std::time::Duration;

use http::Method;
use netrox_harness::{Role, eventually, raw::Raw, within};
use netrox_proto::{
    health::{HealthCheckRequest, HealthListRequest, health_check_response::ServingStatus},
    v1::{ListMessagesRequest, SendMessagesRequest, SubscribeRequest, send_messages_request},
};
use prost::Message as _;
use tonic::Code;

use crate::{
    raw_call::{Call, RawAnswer, RawConnection, SEND_MESSAGE, framed},
    reflection,
    refusal::retry_pushback,
    running::{Core, text},
};

/// A core with two users, and the bytes of a message between them.
async fn ready() -> (Core, [String; 2], Vec<u8>) {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let body = framed(&text(&ada, &bob, "hello").encode_to_vec());
    (core, [ada, bob], body)
}

/// Not stored, and nothing that a repetition could help.
async fn assert_nothing_stored(core: &Core, [ada, bob]: &[String; 2]) {
    assert_eq!(core.history(ada, bob).await.expect("a history"), []);
}

#[track_caller]
fn assert_refused(answer: &RawAnswer, code: Code, about: &str) {
    let status = answer.status.as_ref().unwrap_or_else(|| panic!("{answer:?}"));
    assert_eq!(status.code(), code, "{about}: {status:?}");
    assert_eq!(retry_pushback(status), Some("-1"), "{about}: {status:?}");
    assert!(!status.message().is_empty(), "{about}");
}

async fn assert_told(core: &Core, kind: &str) {
    let log = core.process.log(Role::Core(0));
    eventually("a line of the log", async || (log.count_of(kind) > 0).then_some(())).await;
    assert_eq!(log.count_of(kind), 1, "once a minute");
}

#[tokio::test]
async fn a_content_type_that_is_not_grpcs_is_refused_and_nothing_is_stored() {
    let (core, users, body) = ready().await;
    for content_type in [
        None,
        Some("application/grpc-web"),
        Some("application/grpc-web+proto"),
        Some("application/grpc-web-text"),
        Some("application/connect+proto"),
        Some("application/proto"),
        Some("application/json"),
        Some("text/html"),
    ] {
        let call = Call { content_type, ..Call::new(SEND_MESSAGE, &body) };
        let answer = call.make(&core).await.expect("an answer");
        assert_eq!(answer.http_status, 415, "{content_type:?}");
        assert_eq!(answer.headers["accept-post"], "application/grpc");
    }
    for method in [Method::GET, Method::PUT] {
        let call = Call { method, ..Call::new(SEND_MESSAGE, &body) };
        let answer = call.make(&core).await.expect("an answer");
        assert_eq!((answer.http_status, answer.headers["allow"].as_bytes()), (405, &b"POST"[..]));
    }
    assert_nothing_stored(&core, &users).await;
    assert_told(&core, "is refused: its content type is not gRPC's").await;
    assert_told(&core, "it is no POST").await;
    for content_type in ["application/grpc+proto", "application/grpc;charset=utf-8"] {
        let call = Call { content_type: Some(content_type), ..Call::new(SEND_MESSAGE, &body) };
        assert_eq!(call.make(&core).await.expect("an answer").code(), Some(Code::Ok));
    }
}

#[tokio::test]
async fn a_malformed_deadline_is_refused_and_nothing_is_stored() {
    let (core, users, body) = ready().await;
    for timeout in ["5", "-1S", "5s", "123456789S", "", "soon", "1.5S"] {
        let headers = [("grpc-timeout", timeout)];
        let call = Call { headers: &headers, ..Call::new(SEND_MESSAGE, &body) };
        let answer = call.make(&core).await.expect("an answer");
        assert_refused(&answer, Code::InvalidArgument, timeout);
    }
    assert_nothing_stored(&core, &users).await;
    assert_told(&core, "its grpc-timeout is none").await;
}

#[tokio::test]
async fn a_call_has_as_many_requests_as_its_method_takes() {
    let (core, users, body) = ready().await;
    let [ada, bob] = &users;
    let subscribe = SubscribeRequest { user_id: ada.clone(), ..Default::default() };
    let list =
        ListMessagesRequest { user_id: ada.clone(), peer_id: bob.clone(), ..Default::default() };
    for (path, request) in [
        (SEND_MESSAGE, body.clone()),
        ("/netrox.chat.v1.ChatService/Subscribe", framed(&subscribe.encode_to_vec())),
        ("/netrox.chat.v1.ChatService/ListMessages", framed(&list.encode_to_vec())),
        ("/grpc.health.v1.Health/Check", framed(&[])),
    ] {
        let twice = [&request[..], &request[..]].concat();
        let three_bytes = [&request[..], &[0, 0, 0]].concat();
        let half = &request[..request.len() - 1];
        for (what, body) in
            [("two", &twice[..]), ("a bit", &three_bytes), ("half", half), ("none", &[])]
        {
            let answer = Call::new(path, body).make(&core).await.expect("an answer");
            assert_refused(&answer, Code::Unimplemented, &format!("{what} of {path}"));
        }
    }
    assert_nothing_stored(&core, &users).await;
    assert_told(&core, "it does not have one request").await;
    // Where the client streams, there are as many as it likes.
    let message = Some(send_messages_request::Request::Message(text(ada, bob, "hello")));
    let send = SendMessagesRequest { request: message, ..Default::default() };
    let send = framed(&send.encode_to_vec());
    let twice = [&send[..], &send[..]].concat();
    let sent = Call::new("/netrox.chat.v1.ChatService/SendMessages", &twice).make(&core).await;
    assert_eq!(sent.expect("an answer").code(), Some(Code::Ok));
    assert_eq!(core.history(ada, bob).await.expect("a history").len(), 2);
}

#[tokio::test]
async fn too_much_metadata_is_refused_and_harms_no_other_call() {
    let (core, users, body) = ready().await;
    let [ada, bob] = &users;
    let connection = RawConnection::open(&core).await.expect("a connection");
    let subscribe = SubscribeRequest { user_id: bob.clone(), ..Default::default() };
    let subscribe = framed(&subscribe.encode_to_vec());
    let beside = connection.call(Call::new("/netrox.chat.v1.ChatService/Subscribe", &subscribe));
    let mut beside = std::pin::pin!(beside);
    for (kib, expected) in
        [(15, 200), (17, 200), (31, 200), (33, 431), (64, 431), (100, 431), (15, 200)]
    {
        let value = "x".repeat(kib * 1024);
        let headers = [("x-baggage", value.as_str())];
        let call = Call { headers: &headers, ..Call::new(SEND_MESSAGE, &body) };
        let answer = tokio::select! {
            answer = connection.call(call) => answer.expect("an answer"),
            ended = &mut beside => panic!("after {kib} KiB: {ended:?}"),
        };
        assert_eq!(answer.http_status, expected, "{kib} KiB");
        match kib {
            15 => assert_eq!(answer.code(), Some(Code::Ok)),
            17 | 31 => assert_refused(&answer, Code::ResourceExhausted, "metadata"),
            _ => assert_eq!(answer.code(), None),
        }
    }
    assert_eq!(core.history(ada, bob).await.expect("a history").len(), 2);
    assert_told(&core, "of metadata").await;
    // Beyond that the connection ends, as `error.proto` says.
    let value = "x".repeat(140 * 1024);
    let headers = [("x-baggage", value.as_str())];
    let call = Call { headers: &headers, ..Call::new(SEND_MESSAGE, &body) };
    assert!(connection.call(call).await.expect_err("the end").is_go_away());
    core.send(ada, bob, "hello").await.expect("stored");
}

#[tokio::test]
async fn health_tells_of_all_services_and_of_unknown_ones() {
    use netrox_proto::health::health_client::HealthClient;

    let mut core = Core::start().await;
    let mut health = HealthClient::new(core.channel().await);
    let listed = health.list(HealthListRequest {}).await.expect("a list").into_inner();
    let mut names: Vec<_> = listed.statuses.keys().cloned().collect();
    names.sort();
    let mut expected: Vec<_> =
        std::iter::once(String::new()).chain(crate::released::service_names()).collect();
    expected.sort();
    assert_eq!(names, expected);
    assert!(listed.statuses.values().all(|it| it.status() == ServingStatus::Serving));

    let unknown = HealthCheckRequest { service: "no.such.Service".into() };
    let mut watched = health.watch(unknown).await.expect("a stream").into_inner();
    let first = within("the state of health", watched.message()).await.expect("a state");
    assert_eq!(first.expect("a state").status(), ServingStatus::ServiceUnknown);
    // It stays open, and does not hold up the drain.
    let nothing = tokio::time::timeout(Duration::from_millis(300), watched.message()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    core.terminate();
    assert_eq!(within("the end", watched.message()).await.expect("no failure"), None);
    assert_eq!(core.exit_code().await, Some(0));
}

#[tokio::test]
async fn reflection_knows_the_list_of_health() {
    let core = Core::start().await;
    let file = reflection::file_of(core.service(), "grpc.health.v1.Health").await.expect("a file");
    let methods: Vec<_> = file.service[0].method.iter().map(|method| method.name()).collect();
    assert_eq!(methods, ["Check", "List", "Watch"]);
}

/// h2 warns of each.
const UNASKED: &str = "recv PING ack that we never sent";

/// Sends answers to pings that nobody sent, and waits until they were read.
async fn answer_pings_unasked(core: &Core, count: usize) {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PING_ACK: [u8; 17] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    // Data without a stream: the connection ends.
    const NO_STREAM: [u8; 9] = [0; 9];
    let mut raw = Raw::connect(core.address().parse().expect("an address")).await;
    raw.write([PREFACE, &PING_ACK.repeat(count), &NO_STREAM].concat()).await;
    raw.rest().await;
}

#[tokio::test]
async fn a_stranger_does_not_write_the_log_through_a_library() {
    let core = Core::start().await;
    answer_pings_unasked(&core, 1_000).await;
    assert_told(&core, UNASKED).await;
}

#[tokio::test]
async fn a_library_that_the_filter_names_is_logged_whole() {
    let core = Core::start_with(&[("log-filter", "info,h2=warn")]).await;
    answer_pings_unasked(&core, 1_000).await;
    let log = core.process.log(Role::Core(0));
    eventually("all lines", async || (log.count_of(UNASKED) == 1_000).then_some(())).await;
}
