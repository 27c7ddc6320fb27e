use std::sync::Arc;

use http::Method;
use netrox_proto::v1::{ErrorReason, Failure};
use serde_json::json;

use crate::world::{ALICE, BOB, World, bearer, token};

const ROUTES: [(Method, &str); 3] = [
    (Method::GET, "/chat/messages/87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437"),
    (Method::GET, "/chat/get-user-threads"),
    (Method::POST, "/chat/chat-attachment"),
];
const REFUSAL: &str = "Authentication credentials were not provided or are invalid";

#[tokio::test]
async fn every_route_wants_a_token_with_and_without_its_slash() {
    let world = World::start().await;
    let refresh = format!("Bearer {}", token(ALICE, &json!({"token_type": "refresh"})));
    let query = token(ALICE, &json!({}));
    for (method, route) in ROUTES {
        for path in [route.to_owned(), format!("{route}/"), format!("{route}/?token={query}")] {
            for headers in [vec![], vec![("authorization", refresh.as_str())]] {
                let answer = world.request(method.clone(), &path, &headers, "").await;
                answer.assert_refused(401, REFUSAL);
                assert_eq!(answer.headers["www-authenticate"], "Bearer");
            }
        }
    }
    assert!(world.core.state().ensured.is_empty());
}

#[tokio::test]
async fn an_upload_without_a_token_is_refused_before_its_body_is_read() {
    let world = World::start().await;
    let answer = world
        .raw(
            b"POST /chat/chat-attachment/ HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\
               expect: 100-continue\r\ncontent-length: 1000000\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_in_the_envelope() {
    let world = World::start().await;
    for path in ["/", "/chat", "/chat/messages/", "/chat/messages/a/b/", "/chat/get-user-threads//"]
    {
        world.get(path, &[]).await.assert_refused(404, "Not found");
    }
    for (method, path, allow) in [
        (Method::POST, "/chat/messages/x/", "GET,HEAD"),
        (Method::DELETE, "/chat/get-user-threads", "GET,HEAD"),
        (Method::GET, "/chat/chat-attachment/", "POST"),
        (Method::OPTIONS, "/chat/chat-attachment/", "POST"),
        (Method::PUT, "/mediafiles/x", "GET,HEAD"),
    ] {
        let answer = world.request(method, path, &[], "").await;
        answer.assert_refused(405, "Method not allowed");
        assert_eq!(answer.headers["allow"], allow, "{path}");
    }
}

#[tokio::test]
async fn a_token_provisions_its_user_once() {
    let world = World::start().await;
    let first = format!("Bearer {}", token(ALICE, &json!({"email": "a@example.com"})));
    let second =
        format!("Bearer {}", token(ALICE, &json!({"email": "b@example.com", "profile": null})));
    for authorization in [&first, &first, &second, &second] {
        let headers = [("authorization", authorization.as_str())];
        assert_eq!(world.get("/chat/get-user-threads", &headers).await.status, 200);
    }
    let ensured = world.core.state().ensured.clone();
    let told: Vec<_> = ensured
        .iter()
        .map(|user| (user.id.as_str(), user.email.as_deref(), user.profile_json.as_deref()))
        .collect();
    assert_eq!(
        told,
        [(ALICE, Some("a@example.com"), None), (ALICE, Some("b@example.com"), Some("null"))]
    );
}

#[tokio::test]
async fn claims_that_the_directory_cannot_hold_keep_nobody_out() {
    let world = World::start().await;
    world.core.state().ensure_user = Arc::new(|user| match user.email {
        Some(_) => Err(Failure::invalid_field("email", "too long")),
        None => Ok(()),
    });
    let authorization = format!("Bearer {}", token(ALICE, &json!({"email": "x".repeat(400)})));
    let headers = [("authorization", authorization.as_str())];
    assert_eq!(world.get("/chat/get-user-threads", &headers).await.status, 200);
}

#[tokio::test]
async fn a_deleted_user_is_refused_as_if_the_token_were_bad() {
    let world = World::start().await;
    let deleted = || Failure::new(ErrorReason::UserDeleted, "deleted");
    let (alice, bob) = (bearer(ALICE), bearer(BOB));
    world.core.state().ensure_user = Arc::new(move |_| Err(deleted()));
    let answer = world.get("/chat/get-user-threads", &[("authorization", &alice)]).await;
    answer.assert_refused(401, REFUSAL);

    // One who is deleted while the edge knows of them is asked for again.
    world.core.state().ensure_user = Arc::new(|_| Ok(()));
    world.core.state().list_threads = Arc::new(move |_| Err(deleted().into()));
    for _ in 0..2 {
        let answer = world.get("/chat/get-user-threads", &[("authorization", &bob)]).await;
        answer.assert_refused(401, REFUSAL);
    }
    let asked = world.core.state().ensured.iter().filter(|user| user.id == BOB).count();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn who_is_refused_in_the_middle_of_an_upload_can_read_why() {
    let world = World::start().await;
    let path = "/chat/chat-attachment/";
    let answer = world.request(Method::POST, path, &[], vec![b'x'; 8_000_000]).await;
    answer.assert_refused(401, REFUSAL);
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str()), ("content-type", "text/plain")];
    let answer = world.request(Method::POST, path, &headers, vec![b'x'; 8_000_000]).await;
    answer.assert_refused(415, "The body must be multipart/form-data");
}
