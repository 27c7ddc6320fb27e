use netrox_proto::v1::{ErrorReason, Failure};

use super::*;

#[tokio::test]
async fn every_reason_of_the_core_is_told_by_its_code() {
    use ErrorReason as R;
    let edge = StubEdge::start().await;
    for (reason, status, expected) in [
        (R::InvalidField, 400, "invalid_field"),
        (R::BodyTooLarge, 413, "message_too_large"),
        (R::MessageNotFound, 404, "not_found"),
        (R::MessageNotAllowed, 403, "not_allowed"),
        (R::TooLate, 409, "too_late"),
        (R::UserUnknown, 503, "unavailable"),
        (R::Overloaded, 503, "unavailable"),
        (R::StoreUnavailable, 503, "unavailable"),
        (R::OutcomeUnknown, 503, "outcome_unknown"),
        (R::Internal, 500, "internal"),
        (R::UserDeleted, 403, "user_deleted"),
    ] {
        let failure = Failure::new(reason, "why").into();
        edge.core.change(|state| state.second.refusals = [("edit_message", failure)].into());
        let body = r#"{"message_body":"x"}"#;
        let answer = alice(&edge, Method::PATCH, "/v2/messages/1", body).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (status, expected), "{reason:?}");
    }
}

#[tokio::test]
async fn whether_something_took_effect_is_known_from_a_core_alone() {
    let edge = StubEdge::start().await;
    for (end, expected) in [
        (tonic::Status::unavailable("the connection broke"), "outcome_unknown"),
        (tonic::Status::deadline_exceeded("late"), "outcome_unknown"),
        (tonic::Status::unimplemented("of the last version"), "unavailable"),
    ] {
        edge.core.change(|state| {
            state.second.refusals =
                [("edit_message", end.clone()), ("get_message", end.clone())].into();
        });
        let body = r#"{"message_body":"x"}"#;
        let answer = alice(&edge, Method::PATCH, "/v2/messages/1", body).await;
        assert_eq!(code(&answer), expected, "{end:?}");
        assert_eq!(code(&get(&edge, "/v2/messages/1").await), "unavailable", "{end:?}");
    }
}

#[tokio::test]
async fn a_token_is_missing_or_its_user_is_deleted() {
    let edge = StubEdge::start().await;
    let answer = edge.get("/v2/me", &[]).await;
    assert_eq!((answer.status.as_u16(), &*code(&answer)), (401, "invalid_token"));
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    edge.core.change(|state| state.deleted.insert(ALICE.into()));
    let answer = get(&edge, "/v2/me").await;
    assert_eq!((answer.status.as_u16(), &*code(&answer)), (403, "user_deleted"));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let edge = StubEdge::start().await;
    for path in [
        "/v2",
        "/v2/",
        "/v2/nowhere",
        "/v2/messages/0",
        "/v2/messages/x",
        "/v2/messages/9007199254740992",
        "/v2/messages/7",
        "/v2/sends/x",
        &format!("/v2/sends/{REF}"),
        "/v2/threads/x",
        "/v2/threads/%ff",
        &format!("/v2/threads/{ALICE}/"),
        &format!("/v2/threads/{STRANGER}"),
        &format!("/v2/threads/{ALICE}/messages"),
    ] {
        let answer = get(&edge, path).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (404, "not_found"), "{path}");
    }
    let answer = alice(&edge, Method::POST, "/v2/tickets", "{}").await;
    assert_eq!(code(&answer), "not_found");
    let answer = alice(&edge, Method::PUT, "/v2/messages/7/", "").await;
    assert_eq!((answer.status.as_u16(), &*code(&answer)), (405, "method_not_allowed"));
    assert_eq!(answer.headers["allow"], "GET,HEAD,PATCH,DELETE");
    // No path of the second generation.
    edge.get("/v2x", &[]).await.assert_refused(404, "Not found");
}

#[tokio::test]
async fn a_body_says_what_it_is_and_is_not_too_long() {
    let edge = StubEdge::start().await;
    let token = bearer(ALICE);
    let path = with_bob("/messages");
    let body = format!(r#"{{"message_body":"hello","client_ref":"{REF}"}}"#);
    for content_type in ["text/plain", "application/jsonx", "multipart/form-data; boundary=XX"] {
        let headers = [("authorization", &*token), ("content-type", content_type)];
        let answer = edge.request(Method::POST, &path, &headers, body.clone()).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (415, "unsupported_media_type"));
    }
    let headers = [("authorization", &*token)];
    let answer = edge.request(Method::POST, &path, &headers, body.clone()).await;
    assert_eq!(answer.status, 415);
    for (body, status, expected) in [
        (body.replace("hello", &"x".repeat(16_385)), 413, "message_too_large"),
        (body.replace("hello", &"x".repeat(65_536)), 413, "message_too_large"),
        (body.replace("hello", ""), 400, "invalid_field"),
        ("{".into(), 400, "invalid_json"),
        ("[]".into(), 400, "invalid_json"),
    ] {
        let answer = alice(&edge, Method::POST, &path, body).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (status, expected));
    }
    for peer in [ALICE, "nobody"] {
        let path = format!("/v2/threads/{peer}/messages");
        let answer = alice(&edge, Method::POST, &path, body.clone()).await;
        assert_eq!((answer.status.as_u16(), &*code(&answer)), (404, "invalid_receiver"));
    }
}

#[tokio::test]
async fn a_bad_head_is_a_problem_too() {
    let edge = StubEdge::start().await;
    let answer = edge.raw(b"GET /v2/me HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn browsers_are_told_of_each_generation_its_own() {
    let config = crate::config::Config {
        cors_allow_origin: crate::config::CorsAllowOrigin::Any,
        ..crate::stub_core::config(crate::config::Limits::default())
    };
    let edge = StubEdge::with(config).await;
    let preflight = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let answer = edge.request(Method::OPTIONS, "/v2/messages/7", &preflight, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-methods"], "GET,POST,PUT,PATCH,DELETE");
    assert_eq!(answer.headers["access-control-allow-headers"], "authorization,content-type");
    let answer = edge.get("/v2/me", &preflight[..1]).await;
    assert_eq!(answer.headers["access-control-expose-headers"], "retry-after");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let answer = edge.request(Method::OPTIONS, "/chat/get-user-threads/", &preflight, "").await;
    assert_eq!(answer.headers["access-control-allow-methods"], "GET,HEAD,POST");
}
