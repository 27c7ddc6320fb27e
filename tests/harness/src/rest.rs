//! HTTP requests as bytes and answers as text.

use std::{convert::Infallible, net::SocketAddr};

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use netrox_described::check_answer;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::within;

/// Longer ones are histories of load tests: no other than short ones, and slow to be held against anything.
const MAX_CHECKED_BYTES: usize = 256 * 1024;

/// A request on a connection of its own. Its path is sent as it stands.
#[derive(Debug)]
pub struct Request {
    address: SocketAddr,
    request: http::Request<UnsyncBoxBody<Bytes, Infallible>>,
}

impl Request {
    pub(crate) fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, address.to_string())
            .body(Full::default().boxed_unsync())
            .expect("a request");
        Self { address, request }
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Adds a header; one of the same name stays.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        self
    }

    /// The headers of a WebSocket handshake.
    pub fn websocket(self) -> Self {
        self.header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    /// A body of known length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = Full::new(body.into()).boxed_unsync();
        self
    }

    /// A body without `Content-Length`, sent in chunks.
    pub fn chunks(mut self, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        let frames = chunks.map(|chunk| Ok(Frame::data(chunk)));
        *self.request.body_mut() = StreamBody::new(frames).boxed_unsync();
        self
    }

    pub async fn send(self) -> Response {
        let line = format!("{} {}", self.request.method(), self.request.uri().path());
        match self.try_send().await {
            Ok(response) => response,
            Err(error) => panic!("{line}: {error:?}"),
        }
    }

    /// Sends it; an error is one of the connection.
    pub async fn try_send(self) -> std::io::Result<Response> {
        within("the answer to a request", self.exchange()).await
    }

    async fn exchange(self) -> std::io::Result<Response> {
        let stream = TcpStream::connect(self.address).await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(std::io::Error::other)?;
        let connection = tokio::spawn(connection);
        let (method, uri) = (self.request.method().clone(), self.request.uri().clone());
        let answer = sender.send_request(self.request).await.map_err(std::io::Error::other)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        connection.abort();
        let response = Response { status: head.status.as_u16(), headers: head.headers, body };
        response.check(method.as_str(), uri.path()).await;
        Ok(response)
    }
}

/// An answer, whole.
#[derive(Clone)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?} {:.2000}", self.status, self.headers, body)
    }
}

impl Response {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text body")
    }

    /// Fails where `docs/openapi.yaml` says otherwise. What is not of JSON may be a proxy's, or of the HTTP layer.
    async fn check(&self, method: &str, path: &str) {
        if !path.starts_with("/v2/") && self.header("content-type") != Some("application/json") {
            return;
        }
        let body = self.decoded().await;
        if body.len() > MAX_CHECKED_BYTES {
            return;
        }
        check_answer(method, path, self.status, self.header("content-type"), &body);
    }

    /// The body as it was before it was compressed.
    pub async fn decoded(&self) -> Vec<u8> {
        let decoded = self.try_decoded().await;
        decoded.unwrap_or_else(|error| panic!("{error}: {:?}", self.headers))
    }

    /// The same, of a body that may be cut off: an error is one of the decoder.
    pub async fn try_decoded(&self) -> std::io::Result<Vec<u8>> {
        let (encoded, mut body) = (&*self.body, Vec::new());
        let read = match self.header("content-encoding") {
            _ if self.body.is_empty() => return Ok(body),
            None => return Ok(self.body.to_vec()),
            Some("gzip") => GzipDecoder::new(encoded).read_to_end(&mut body).await,
            Some("br") => BrotliDecoder::new(encoded).read_to_end(&mut body).await,
            Some("zstd") => ZstdDecoder::new(encoded).read_to_end(&mut body).await,
            Some(other) => panic!("an encoding that nobody asked for: {other}"),
        };
        read.map(|_| body)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header that is there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("a text header"));
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        value
    }

    /// Fails unless this is the failure envelope, byte for byte, with the given status.
    pub fn assert_failure(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let message = self.json()["message"].as_str().map(str::to_owned);
        let message = message.unwrap_or_else(|| panic!("no message: {self:?}"));
        let quoted = serde_json::Value::from(message.as_str());
        let envelope =
            format!(r#"{{"status":"failure","entity":null,"message":{quoted},"success":false}}"#);
        assert_eq!(self.text(), envelope);
        message
    }
}
