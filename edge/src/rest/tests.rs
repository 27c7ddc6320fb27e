//! The REST side from outside, where its core hangs, breaks off or answers what it should not: all else is proved through
//! the whole program (tests/e2e).

mod attachment;
mod compression;
mod media;
mod message;
mod request_id;

use super::*;

#[tokio::test]
async fn a_panic_is_an_internal_error_that_tells_nothing() {
    async fn panics() -> &'static str {
        panic!("a secret")
    }
    let router =
        Router::new().route("/", get(panics)).layer(CatchPanicLayer::custom(internal_error));
    let request = http::Request::new(axum::body::Body::empty());
    let Ok(answer) = router.oneshot(request).await;
    assert_eq!(answer.status(), 500);
    let body = axum::body::to_bytes(answer.into_body(), 1000).await.expect("a body");
    let body = String::from_utf8_lossy(&body);
    assert!(body.contains(r#""message":"Internal error "#), "{body}");
    assert!(!body.contains("secret"), "{body}");
}
