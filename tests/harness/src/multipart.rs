//! Bodies of uploads, with every byte in the test's hand.

use bytes::Bytes;
use uuid::Uuid;

use crate::{Edge, Response, TestChat, User, eventually, rest::Request};

/// A `multipart/form-data` body.
#[derive(Debug, Clone)]
pub struct Form {
    boundary: String,
    /// Without the boundary before each.
    parts: Vec<Vec<u8>>,
}

impl Default for Form {
    fn default() -> Self {
        Self::with_boundary(Self::BOUNDARY)
    }
}

impl Form {
    /// Does not look random: a form with it counts for itself, however often it is sent.
    pub const BOUNDARY: &str = "----------------netrox-form-boundary";
    pub const CONTENT_TYPE: &str =
        "multipart/form-data; boundary=----------------netrox-form-boundary";

    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_boundary(boundary: &str) -> Self {
        Self { boundary: boundary.to_owned(), parts: Vec::new() }
    }

    /// As libraries draw it: a form with it that is sent again, byte for byte, is one upload.
    pub fn drawn_boundary() -> String {
        // Of letters and of digits there is one at least, or it would not look drawn.
        format!("----FormBoundary{}a1", Uuid::new_v4())
    }

    /// The same parts with a boundary as libraries draw it.
    pub fn repeatable(self) -> Self {
        Self { boundary: Self::drawn_boundary(), ..self }
    }

    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub fn text(self, name: &str, value: &str) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_bytes())
    }

    /// The `attached_file` field; `name` is not escaped.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let head = format!(
            "Content-Disposition: form-data; name=\"attached_file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream"
        );
        self.part(&head, content.as_ref())
    }

    /// A part with its header lines as they stand.
    pub fn part(mut self, head: &str, content: &[u8]) -> Self {
        self.parts.push([head.as_bytes(), b"\r\n\r\n", content, b"\r\n"].concat());
        self
    }

    /// The body so far, without its end.
    pub fn unfinished(self) -> Bytes {
        self.bytes().into()
    }

    pub fn finish(self) -> Bytes {
        let mut bytes = self.bytes();
        bytes.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        bytes.into()
    }

    fn bytes(&self) -> Vec<u8> {
        let delimiter = format!("--{}\r\n", self.boundary).into_bytes();
        self.parts.iter().flat_map(|part| [&delimiter[..], &part[..]]).collect::<Vec<_>>().concat()
    }
}

/// Sends an upload until it is answered for certain. It must be the same bytes each time, with a boundary that looks random:
/// then it is one upload, however often it is sent. A database that is slow for a moment leaves one refused or in doubt.
pub async fn certain(upload: impl AsyncFn() -> Response) -> Response {
    eventually("an answer to an upload that is certain", async || {
        let answer = upload().await;
        let is_in_doubt = answer.status == 500 && answer.text().contains("\"It may be stored\"");
        (answer.status != 503 && !is_in_doubt).then_some(answer)
    })
    .await
}

impl Edge {
    /// An upload that is not sent yet.
    pub fn upload_request(&self, sender: &User, form: Form) -> Request {
        self.request("POST", "/chat/chat-attachment/")
            .bearer(&sender.token)
            .header("content-type", &form.content_type())
            .body(form.finish())
    }

    pub async fn upload(&self, sender: &User, form: Form) -> Response {
        self.upload_request(sender, form).send().await
    }

    /// Uploads a form, which must be stored.
    pub async fn store(&self, sender: &User, form: Form) -> Response {
        let form = form.repeatable();
        let answer = certain(async || self.upload(sender, form.clone()).await).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    }
}

impl TestChat {
    pub async fn upload(&self, sender: &User, form: Form) -> Response {
        self.edge_of(sender).upload(sender, form).await
    }

    /// Uploads a form, which must be stored.
    pub async fn store(&self, sender: &User, form: Form) -> Response {
        self.edge_of(sender).store(sender, form).await
    }

    /// Uploads a file from one user to another, which must succeed, and returns its message.
    pub async fn upload_file(
        &self,
        sender: &User,
        receiver: &User,
        name: &str,
        content: impl AsRef<[u8]>,
    ) -> serde_json::Value {
        let form = Form::new()
            .text("receiver", &receiver.id)
            .text("message", "see this")
            .file(name, content);
        self.store(sender, form).await.json()["entity"]["message"].clone()
    }
}
