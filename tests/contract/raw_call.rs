//! Calls made of raw HTTP/2 frames, for what a generated client cannot send.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method};
use netrox_harness::{settings::SERVICE_TOKEN, within};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::running::Core;

pub(crate) const SEND_MESSAGE: &str = "/netrox.chat.v1.ChatService/SendMessage";

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) content_type: Option<&'a str>,
    /// Besides those of every call, the credential among them.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    /// Whether the request comes to its end.
    pub(crate) ends: bool,
}

impl<'a> Call<'a> {
    /// An ordinary one.
    pub(crate) fn new(path: &'a str, body: &'a [u8]) -> Self {
        let content_type = Some("application/grpc");
        Self { method: Method::POST, path, content_type, headers: &[], body, ends: true }
    }

    /// On a connection of its own.
    pub(crate) async fn make(self, core: &Core) -> Result<RawAnswer, h2::Error> {
        RawConnection::open(core).await?.call(self).await
    }
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) http_status: u16,
    pub(crate) headers: HeaderMap,
    /// That of its head or of its end.
    pub(crate) status: Option<Status>,
}

impl RawAnswer {
    pub(crate) fn code(&self) -> Option<Code> {
        self.status.as_ref().map(Status::code)
    }
}

/// A connection with the service credential.
#[derive(Debug)]
pub(crate) struct RawConnection {
    address: String,
    client: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl RawConnection {
    pub(crate) async fn open(core: &Core) -> Result<Self, h2::Error> {
        let tcp = tokio::net::TcpStream::connect(core.address()).await.expect("connect");
        let (client, connection) = h2::client::handshake(tcp).await?;
        Ok(Self { address: core.address(), client, connection: tokio::spawn(connection) })
    }

    pub(crate) async fn call(&self, call: Call<'_>) -> Result<RawAnswer, h2::Error> {
        within("an answer", self.answer(call)).await
    }

    async fn answer(&self, call: Call<'_>) -> Result<RawAnswer, h2::Error> {
        let mut client = self.client.clone().ready().await?;
        let mut request = http::Request::builder()
            .method(call.method)
            .uri(format!("http://{}{}", self.address, call.path))
            .header("te", "trailers")
            .header("authorization", format!("Bearer {SERVICE_TOKEN}"));
        if let Some(content_type) = call.content_type {
            request = request.header("content-type", content_type);
        }
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let (response, mut sending) =
            client.send_request(request.body(()).expect("a request"), false)?;
        // A refusal may come before the body is sent.
        let _ = sending.send_data(Bytes::copy_from_slice(call.body), call.ends);
        let (head, mut body) = response.await?.into_parts();
        while let Some(data) = body.data().await {
            let _ = body.flow_control().release_capacity(data?.len());
        }
        let end = body.trailers().await?.unwrap_or_default();
        let status =
            Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&end));
        Ok(RawAnswer { http_status: head.status.as_u16(), headers: head.headers, status })
    }
}

impl Drop for RawConnection {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A message with its length before it, as gRPC frames it.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short message");
    [&[0], &length.to_be_bytes()[..], message].concat()
}
