//! What is compressed, for whom, and when it is sent.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use netrox_proto::{
    time::timestamp,
    v1::{Attachment, ListMessagesResponse, Message, User},
};
use tokio::sync::Notify;
use tonic::Status;
use tower::ServiceExt as _;
use tower_http::decompression::{Decompression, DecompressionBody};

use super::message::PATH;
use crate::{
    config::Limits,
    stub_core::{StoredFile, answers, config},
    stub_edge::{ALICE, Answer, BOB, StubEdge, bearer},
};

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// A piece of a history, of about 40 KiB.
fn piece(number: i64) -> ListMessagesResponse {
    let message = |id| Message {
        id,
        thread_id: 1,
        sender_id: ALICE.into(),
        receiver_id: BOB.into(),
        body: format!("message {id}"),
        created: Some(timestamp(1_718_623_701_902_531 + id)),
        ..Default::default()
    };
    let users = [ALICE, BOB].map(|id| User { id: id.into(), ..Default::default() });
    let messages = (number * 100 + 1..=number * 100 + 100).map(message).collect();
    ListMessagesResponse { users: users.into(), messages }
}

fn history(edge: &StubEdge) {
    edge.core.state().messages = Some(Box::new(|_| Ok(answers((0..5).map(piece)))));
}

async fn get(edge: &StubEdge, path: &str, accepted: &[&str]) -> Answer {
    let token = bearer(ALICE);
    let mut headers = vec![("authorization", &*token)];
    headers.extend(accepted.iter().map(|coding| ("accept-encoding", *coding)));
    edge.get(path, &headers).await
}

async fn decoding<B>(response: Response<B>) -> DecompressionBody<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let mut response = Some(response);
    let service = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let response = response.take().expect("one request");
        async { Ok::<_, Infallible>(response) }
    });
    let Ok(response) = Decompression::new(service).oneshot(Request::default()).await;
    response.into_body()
}

async fn decoded(answer: &Answer) -> Bytes {
    let mut response = Response::new(Full::new(answer.body.clone()));
    *response.headers_mut() = answer.headers.clone();
    decoding(response).await.collect().await.expect("a whole body").to_bytes()
}

#[tokio::test]
async fn who_asks_gets_the_same_compressed() {
    let edge = StubEdge::start().await;
    history(&edge);
    let plain = get(&edge, PATH, &[]).await;
    for (path, plain) in
        [(PATH, &plain), ("/v2/openapi.json", &get(&edge, "/v2/openapi.json", &[]).await)]
    {
        for coding in CODINGS {
            let answer = get(&edge, path, &[coding]).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.headers["content-encoding"], coding);
            assert_eq!(answer.headers["vary"], "accept-encoding");
            assert_eq!(answer.headers["content-type"], "application/json");
            assert!(answer.body.len() * 2 < plain.body.len(), "{}", answer.body.len());
            assert_eq!(decoded(&answer).await, plain.body);
        }
    }
    let answer = get(&edge, PATH, &["br;q=0.1, zstd;q=0, gzip;q=0.5"]).await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
}

#[tokio::test]
async fn who_does_not_ask_gets_what_it_always_got() {
    let edge = StubEdge::start().await;
    history(&edge);
    for path in [PATH, "/v2/openapi.json"] {
        let plain = get(&edge, path, &[]).await;
        for accepted in [&["identity"][..], &["deflate", "compress"], &["gzip;q=0"], &[""]] {
            let mut answer = get(&edge, path, accepted).await;
            answer.headers.insert("date", plain.headers["date"].clone());
            assert_eq!(answer.headers, plain.headers, "{accepted:?}");
            assert_eq!(answer.body, plain.body, "{accepted:?}");
            assert!(!answer.headers.contains_key("vary"));
        }
    }
}

#[tokio::test]
async fn short_answers_and_files_go_as_they_are() {
    let edge = StubEdge::with(config(Limits::default())).await;
    let url = "/mediafiles/attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.json";
    let path = url.trim_start_matches("/mediafiles/");
    let file = StoredFile {
        attachment: Attachment {
            path: path.into(),
            file_name: "data.json".into(),
            size: 100_000,
            content_type: "application/json".into(),
            dispatched: None,
        },
        created: timestamp(1_718_623_701_902_531),
        content: vec![b' '; 100_000],
        participants: vec![],
    };
    edge.core.state().files.insert(path.into(), file);
    edge.core.state().messages = Some(Box::new(|_| {
        let mut short = piece(0);
        short.messages.truncate(1);
        Ok(answers([short]))
    }));
    let plain = get(&edge, PATH, &[]).await;
    let asked = get(&edge, PATH, &["gzip"]).await;
    assert_eq!(asked.body, plain.body);
    for path in [PATH, url, "/healthz", "/nowhere", "/v2/nowhere"] {
        let answer = get(&edge, path, &["gzip, br, zstd"]).await;
        assert!(!answer.headers.contains_key("content-encoding"), "{path}");
        assert!(!answer.headers.contains_key("vary"), "{path}");
    }
    assert_eq!(get(&edge, url, &["gzip"]).await.body.len(), 100_000);
}

#[tokio::test]
async fn each_piece_is_sent_when_it_is_there() {
    for coding in CODINGS {
        let edge = StubEdge::start().await;
        let go_on = Arc::new(Notify::new());
        edge.core.state().messages = Some(Box::new({
            let go_on = Arc::clone(&go_on);
            move |_| {
                let go_on = Arc::clone(&go_on);
                let pieces = stream::iter(0..3).then(move |number| {
                    let go_on = Arc::clone(&go_on);
                    async move {
                        if number > 0 {
                            go_on.notified().await;
                        }
                        Ok(piece(number))
                    }
                });
                Ok(pieces.boxed())
            }
        }));
        let token = bearer(ALICE);
        let headers = [("authorization", &*token), ("accept-encoding", coding)];
        let response = edge.start_request(Method::GET, PATH, &headers, "").await;
        assert_eq!(response.headers()["content-encoding"], coding);
        let mut body = decoding(response).await;
        let mut json = String::new();
        for last in [100, 200, 300] {
            let last = format!(r#""message":"message {last}""#);
            while !json.contains(&last) {
                let frame = body.frame().await.expect("a frame").expect("no error");
                json.push_str(&String::from_utf8_lossy(frame.data_ref().expect("data")));
            }
            go_on.notify_one();
        }
    }
}

#[tokio::test]
async fn what_breaks_off_never_looks_whole() {
    let edge = StubEdge::start().await;
    edge.core.state().messages = Some(Box::new(|_| {
        let items = [Ok(piece(0)), Err(Status::unavailable("gone"))];
        Ok(Box::pin(stream::iter(items)))
    }));
    for coding in CODINGS {
        let token = bearer(ALICE);
        let headers = [("authorization", &*token), ("accept-encoding", coding)];
        let answer = edge.attempt(Method::GET, PATH, &headers, "").await;
        answer.expect_err("an answer that breaks off");
    }
}

#[tokio::test]
async fn so_many_are_compressed_at_a_time() {
    let edge = StubEdge::with_limits(|limits| limits.max_history_reads_per_user = 100).await;
    edge.core.state().messages = Some(Box::new(|_| {
        let rest = stream::pending();
        Ok(stream::iter([Ok(piece(0))]).chain(rest).boxed())
    }));
    let token = bearer(ALICE);
    let headers = [("authorization", &*token), ("accept-encoding", "gzip")];
    let mut open = Vec::new();
    for _ in 0..64 {
        let response = edge.start_request(Method::GET, PATH, &headers, "").await;
        assert_eq!(response.headers()["content-encoding"], "gzip");
        open.push(response);
    }
    let response = edge.start_request(Method::GET, PATH, &headers, "").await;
    assert!(!response.headers().contains_key("content-encoding"));
    drop((open, response));
    // A turn is free again when its client is gone.
    history(&edge);
    while !get(&edge, PATH, &["gzip"]).await.headers.contains_key("content-encoding") {
        tokio::task::yield_now().await;
    }
}
