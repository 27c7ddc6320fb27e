//! An edge on a free port of the loopback, with a stub for its core, and plain HTTP/1.1 requests to it, one connection each.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use netrox_described::check_answer;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Limits},
    edge::Edge,
    metrics::Metrics,
    stub_core::{SECRET, StubCore, authorization, config},
};

pub(crate) const ALICE: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
pub(crate) const BOB: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";

pub(crate) struct StubEdge {
    pub(crate) core: StubCore,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<()>,
}

impl StubEdge {
    pub(crate) async fn start() -> Self {
        Self::with_limits(|_| ()).await
    }

    pub(crate) async fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::with(config(limits)).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let core = StubCore::default();
        let edge = Edge::new(config, core.transport(), authorization(), Metrics::default())
            .expect("a usable key");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let served = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { edge.serve(listener, shutdown).await }
        });
        Self { core, address, shutdown, served }
    }
}

/// The value of an `Authorization` header of a user.
pub(crate) fn bearer(user: &str) -> String {
    let claims = json!({"token_type": "access", "exp": 9_999_999_999_i64, "user_id": user});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key);
    format!("Bearer {}", token.expect("a token"))
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("UTF-8")
    }

    /// A refusal in the documented envelope.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, message: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        let message = Value::from(message);
        let envelope =
            format!(r#"{{"status":"failure","entity":null,"message":{message},"success":false}}"#);
        assert_eq!(self.text(), envelope);
        assert_eq!(self.headers["content-type"], "application/json");
        assert_eq!(self.headers["x-content-type-options"], "nosniff");
        assert_eq!(self.headers["cache-control"], "no-store");
        assert_eq!(self.headers["referrer-policy"], "no-referrer");
        let policy = self.headers["content-security-policy"].to_str().expect("ASCII");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let retries = matches!(status, 429 | 503);
        assert_eq!(self.headers.contains_key("retry-after"), retries, "{:?}", self.headers);
    }
}

impl StubEdge {
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request(Method::GET, path, headers, Bytes::new()).await
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.attempt(method, path, headers, body).await.expect("a whole answer")
    }

    /// Fails where the answer breaks off.
    pub(crate) async fn attempt(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> hyper::Result<Answer> {
        let (head, body) = self.send(method.clone(), path, headers, body).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if !head.headers.contains_key("content-encoding") {
            let content_type = head.headers.get("content-type").and_then(|kind| kind.to_str().ok());
            check_answer(method.as_str(), path, head.status.as_u16(), content_type, &body);
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Gives the head of the answer, and the body still to be read.
    pub(crate) async fn start_request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        self.send(method, path, headers, body).await.expect("the head of an answer")
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> hyper::Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "edge");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        sender.send_request(request).await
    }

    /// Sends the bytes as they are, and gives all that comes until the connection is closed.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(request).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("closed in good order");
        String::from_utf8_lossy(&answer).into_owned()
    }
}
