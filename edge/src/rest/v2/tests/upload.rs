use netrox_proto::v1::{ErrorReason, Failure};
use serde_json::json;

use super::*;

const FILE: (&str, &str) = ("name=\"attached_file\"; filename=\"a b.jpg\"", "content");

fn form(parts: &[(&str, &str)]) -> String {
    let part = |(disposition, content): &(&str, &str)| {
        format!("--XX\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    };
    parts.iter().map(part).chain(["--XX--\r\n".to_owned()]).collect()
}

async fn upload(edge: &StubEdge, query: &str, body: String) -> Answer {
    let token = bearer(ALICE);
    let headers =
        [("authorization", &*token), ("content-type", "multipart/form-data; boundary=XX")];
    let path = with_bob(&format!("/attachments{query}"));
    edge.request(Method::POST, &path, &headers, body).await
}

#[tokio::test]
async fn a_file_is_sent_in_one_step_whatever_the_order_of_its_parts() {
    let text = ("name=\"message_body\"", "look");
    let reply = ("name=\"reply_to\"", "7");
    let meta = ("name=\"meta\"", "{ \"k\": [1, 2.50] }");
    for (parts, dispatch) in [
        ([text, reply, meta, FILE], true),
        ([FILE, meta, reply, text], true),
        ([reply, FILE, text, meta], false),
    ] {
        let edge = StubEdge::start().await;
        let query = format!("?client_ref={}&dispatch={dispatch}", REF.to_uppercase());
        let answer = upload(&edge, &query, form(&parts)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let message = answer.json();
        assert_eq!((&message["message"], &message["reply_to"]), (&json!("look"), &json!(7)));
        assert!(answer.text().contains(r#""meta":{"k":[1,2.50]}"#), "{}", answer.text());
        assert_eq!(message["client_ref"], REF);
        assert_eq!(message["attachment"]["name"], "a b.jpg");
        assert_eq!(message["dispatched"].is_string(), dispatch);

        // A repetition is answered whatever its body is, which nobody reads.
        let again = upload(&edge, &format!("?client_ref={REF}"), "--broken".into()).await;
        assert_eq!((again.status.as_u16(), again.body), (200, answer.body));
        assert_eq!(edge.core.state().uploads.len(), 1);
    }
}

#[tokio::test]
async fn a_file_of_its_own_is_dispatched_by_itself() {
    let edge = StubEdge::start().await;
    let answer = upload(&edge, &format!("?client_ref={REF}"), form(&[FILE])).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let message = answer.json();
    assert_eq!(message["message"], "");
    assert!(message["dispatched"].is_string());
    let start = edge.core.state().uploads[0].start.clone().expect("a start");
    assert!(start.from_client && start.dispatch);
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_told() {
    let edge = StubEdge::with_limits(|limits| {
        (limits.max_body_bytes, limits.max_attachment_bytes) = (10, 100);
    })
    .await;
    let known = format!("?client_ref={REF}");
    let long = "x".repeat(101);
    for (query, parts, status, expected) in [
        ("", vec![FILE], 400, "invalid_field"),
        ("?client_ref=x", vec![FILE], 400, "invalid_field"),
        (&*format!("{known}&dispatch=maybe"), vec![FILE], 400, "invalid_field"),
        (&*known, vec![], 400, "invalid_field"),
        (&*known, vec![FILE, FILE], 400, "invalid_field"),
        (&*known, vec![("name=\"attached_file\"", "x")], 400, "invalid_field"),
        (&*known, vec![(FILE.0, &*long)], 413, "message_too_large"),
        (&*known, vec![FILE, ("name=\"message_body\"", "12345678901")], 413, "message_too_large"),
        (&*known, vec![FILE, ("name=\"message_body\"", "\0")], 400, "invalid_field"),
        (&*known, vec![FILE, ("name=\"reply_to\"", "0")], 400, "invalid_field"),
        (&*known, vec![FILE, ("name=\"meta\"", "[]")], 400, "invalid_field"),
        (&*known, vec![FILE, ("name=\"meta\"", "{")], 400, "invalid_field"),
    ] {
        let answer = upload(&edge, query, form(&parts)).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (status, expected), "{parts:?}");
    }
    let answer = alice(&edge, Method::POST, &with_bob(&format!("/attachments{known}")), "{}").await;
    assert_eq!(code(&answer), "unsupported_media_type");
    let path = format!("/v2/threads/{ALICE}/attachments{known}");
    assert_eq!(code(&alice(&edge, Method::POST, &path, "{}").await), "invalid_receiver");
    assert!(edge.core.state().second.messages.is_empty());
}

#[tokio::test]
async fn an_upload_that_may_be_stored_is_to_be_repeated() {
    let edge = StubEdge::start().await;
    let query = format!("?client_ref={REF}");
    for (end, expected) in [
        (tonic::Status::unavailable("the connection broke"), "outcome_unknown"),
        (Failure::new(ErrorReason::StoreUnavailable, "why").into(), "unavailable"),
        (Failure::new(ErrorReason::ReceiverUnknown, "why").into(), "invalid_receiver"),
        (Failure::new(ErrorReason::MessageNotFound, "reply_to").into(), "not_found"),
    ] {
        edge.core.state().upload_end = Some(end);
        let answer = upload(&edge, &query, form(&[FILE])).await;
        assert_eq!(code(&answer), expected, "{}", answer.text());
    }
}
