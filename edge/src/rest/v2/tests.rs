//! The second generation over REST from outside, with a stub for its core. Each answer is held against `docs/openapi.yaml`
//! (`tests/described`).

mod change;
mod description;
mod page;
mod refusal;
mod search;
mod sync;
mod ticket;
mod upload;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::stub_edge::{ALICE, Answer, BOB, StubEdge, bearer};

const REF: &str = "3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90";
const STRANGER: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

/// A path of the thread with Bob.
fn with_bob(rest: &str) -> String {
    format!("/v2/threads/{BOB}{rest}")
}

async fn alice(edge: &StubEdge, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
    let token = bearer(ALICE);
    let mut headers = vec![("authorization", &*token)];
    let body = body.into();
    if !body.is_empty() {
        headers.push(("content-type", "application/json; charset=utf-8"));
    }
    edge.request(method, path, &headers, body).await
}

async fn get(edge: &StubEdge, path: &str) -> Answer {
    alice(edge, Method::GET, path, "").await
}

/// The code of a refusal, after a look at the rest of it.
#[track_caller]
fn code(answer: &Answer) -> String {
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(json["status"], answer.status.as_u16());
    let waits = matches!(answer.status.as_u16(), 429 | 503);
    assert_eq!(answer.headers.contains_key("retry-after"), waits, "{json}");
    json["code"].as_str().expect("a code").to_owned()
}
