use http::Method;
use netrox_proto::v1::{ErrorReason, Failure};

use crate::{
    stub_core::Upload,
    stub_edge::{ALICE, Answer, BOB, StubEdge, bearer},
};

const PATH: &str = "/chat/chat-attachment/";
const TYPE: &str = "multipart/form-data; boundary=XX";

/// One part of a form: what stands after `form-data; ` and the content.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (disposition, content) in parts {
        form.extend_from_slice(
            format!("--XX\r\nContent-Disposition: form-data; {disposition}\r\n\r\n").as_bytes(),
        );
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--XX--\r\n");
    form
}

const RECEIVER: (&str, &[u8]) = ("name=\"receiver\"", BOB.as_bytes());
const FILE: (&str, &[u8]) = ("name=\"attached_file\"; filename=\"a b.jpg\"", b"content\r\n--X");

async fn upload(edge: &StubEdge, body: Vec<u8>) -> Answer {
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str()), ("content-type", TYPE)];
    edge.request(Method::POST, PATH, &headers, body).await
}

/// Waits for the core to see the end of its first upload.
async fn first_upload(edge: &StubEdge) -> Upload {
    let is_over = |uploads: &[Upload]| uploads.first().is_some_and(|upload| upload.is_over);
    edge.core.wait_for("upload", |state| is_over(&state.uploads)).await;
    edge.core.state().uploads[0].clone()
}

#[tokio::test]
async fn a_large_file_goes_on_in_bounded_chunks() {
    let edge = StubEdge::start().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let file = (FILE.0, content.as_slice());
    assert_eq!(upload(&edge, form(&[file, RECEIVER])).await.status, 201);
    let upload = first_upload(&edge).await;
    assert_eq!(upload.content, content);
    assert!(upload.largest_chunk <= 65_536, "{}", upload.largest_chunk);
}

#[tokio::test]
async fn what_the_core_refuses_is_refused() {
    for (reason, status, refusal) in [
        (ErrorReason::ReceiverUnknown, 404, "Invalid receipient"),
        (ErrorReason::AttachmentTooLarge, 413, "The file is too large"),
        (ErrorReason::StoreUnavailable, 503, "Temporarily unavailable, try again"),
        (ErrorReason::UserUnknown, 503, "Temporarily unavailable, try again"),
    ] {
        let edge = StubEdge::start().await;
        edge.core.state().upload_failure = Some(Failure::new(reason, "why"));
        upload(&edge, form(&[FILE, RECEIVER])).await.assert_refused(status, refusal);
    }
}

#[tokio::test]
async fn an_outcome_that_is_not_known_is_no_invitation_to_try_again() {
    let edge = StubEdge::start().await;
    let reasoned = Failure::new(ErrorReason::StoreUnavailable, "why").into();
    for (end, status) in [
        (tonic::Status::unavailable("a broken connection"), 500),
        (tonic::Status::deadline_exceeded("late"), 500),
        (reasoned, 503),
    ] {
        edge.core.state().upload_end = Some(end);
        let answer = upload(&edge, form(&[FILE, RECEIVER])).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.text().contains("It may be stored"), status == 500);
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
    }
    edge.core.state().upload_end = None;
    edge.core.state().upload_failure = None;
    assert_eq!(upload(&edge, form(&[FILE, RECEIVER])).await.status, 201);
}

#[tokio::test]
async fn headers_of_a_part_are_bounded() {
    let edge = StubEdge::start().await;
    let mut endless = b"--XX\r\nContent-Disposition: form-data; name=\"".to_vec();
    endless.resize(1_000_000, b'x');
    upload(&edge, endless).await.assert_refused(400, "A part's headers are too large");
}
