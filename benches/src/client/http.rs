//! REST calls over connections that stay.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{door::Door, user::User};
use crate::Result;

#[derive(Debug)]
pub(crate) struct Http {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

/// How an answer came; its content was counted, and kept if wanted.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) first_byte: Duration,
    pub(crate) whole: Duration,
    pub(crate) bytes: u64,
    pub(crate) content: Vec<u8>,
}

impl Http {
    pub(crate) async fn connect(door: &Door) -> Result<Self> {
        let stream = door.connect().await?;
        let sender = match &door.tls {
            Some(config) => speak(door.secure(config, stream).await?).await?,
            None => speak(stream).await?,
        };
        Ok(Self { host: door.address.to_string(), sender })
    }

    pub(crate) async fn get(&mut self, path: &str, user: &User, keep: bool) -> Result<Answer> {
        let request = self.request("GET", path, user).body(Full::default())?;
        self.call(request, keep).await
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        user: &User,
        content_type: &str,
        body: Bytes,
    ) -> Result<Answer> {
        let request = self
            .request("POST", path, user)
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))?;
        self.call(request, true).await
    }

    fn request(&self, method: &str, path: &str, user: &User) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, format!("Bearer {}", user.token))
    }

    async fn call(&mut self, request: Request<Full<Bytes>>, keep: bool) -> Result<Answer> {
        self.sender.ready().await?;
        let start = Instant::now();
        let mut response = self.sender.send_request(request).await?;
        let status = response.status();
        let (mut first_byte, mut bytes, mut content) = (None, 0, Vec::new());
        while let Some(frame) = response.frame().await {
            if let Ok(data) = frame?.into_data() {
                first_byte.get_or_insert_with(|| start.elapsed());
                bytes += data.len() as u64;
                if keep {
                    content.extend_from_slice(&data);
                }
            }
        }
        let whole = start.elapsed();
        let first_byte = first_byte.unwrap_or(whole);
        Ok(Answer { status, first_byte, whole, bytes, content })
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; an error shows in the call.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

impl Answer {
    pub(crate) fn expect(self, status: StatusCode) -> Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        let content = String::from_utf8_lossy(&self.content);
        Err(format!("{} instead of {status}: {content:.200}", self.status).into())
    }
}

/// Whether the server behind a door says that it can serve.
pub(crate) async fn is_ready(door: &Door) -> bool {
    let anyone = User { id: uuid::Uuid::nil(), token: String::new() };
    let Ok(mut http) = Http::connect(door).await else { return false };
    http.get("/readyz", &anyone, false).await.is_ok_and(|answer| answer.status == StatusCode::OK)
}
