//! Bodies of uploads, with every byte in the test's hand.

use bytes::Bytes;

use crate::{Edge, Response, TestChat, User, rest::Request};

/// A `multipart/form-data` body.
#[derive(Debug, Clone)]
pub struct Form {
    boundary: String,
    bytes: Vec<u8>,
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
        Self { boundary: boundary.to_owned(), bytes: Vec::new() }
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
        let head = format!("--{}\r\n{head}\r\n\r\n", self.boundary);
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// The body so far, without its end.
    pub fn unfinished(self) -> Bytes {
        self.bytes.into()
    }

    pub fn finish(mut self) -> Bytes {
        self.bytes.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        self.bytes.into()
    }
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
}

impl TestChat {
    pub async fn upload(&self, sender: &User, form: Form) -> Response {
        self.edge_of(sender).upload(sender, form).await
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
        let answer = self.upload(sender, form).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["entity"]["message"].clone()
    }
}
