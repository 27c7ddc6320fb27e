//! A user who asks by REST.

use std::sync::atomic::{AtomicUsize, Ordering};

use netrox_harness::{
    Edge, Response, Socket, TestChat, User, eventually, multipart::Form, rest::Request,
};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) fn reference() -> String {
    Uuid::new_v4().to_string()
}

#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) user: User,
    pub(super) edge: Edge,
}

impl Client {
    pub(super) async fn join(chat: &TestChat, name: &str) -> Self {
        let user = chat.user(name).await;
        Self { edge: chat.edge_of(&user), user }
    }

    /// The same user at another edge, where there is one.
    pub(super) fn at(&self, edge: Edge) -> Self {
        Self { edge, ..self.clone() }
    }

    pub(super) fn id(&self) -> &str {
        &self.user.id
    }

    pub(super) fn request(&self, method: &str, path: &str) -> Request {
        self.edge.request(method, path).bearer(&self.user.token)
    }

    pub(super) async fn call(&self, method: &str, path: &str, json: &Value) -> Response {
        self.call_request(method, path, json).send().await
    }

    fn call_request(&self, method: &str, path: &str, json: &Value) -> Request {
        let request = self.request(method, path).header("content-type", "application/json");
        request.body(json.to_string())
    }

    /// Asks until it is answered for: where a machine stands still, a call may take longer than it may.
    pub(super) async fn answered(&self, request: impl Fn() -> Request) -> Response {
        eventually("an answer", async || {
            let answer = request().send().await;
            (answer.status != 503).then_some(answer)
        })
        .await
    }

    /// Reads what must be there.
    pub(super) async fn get(&self, path: &str) -> Value {
        let answer = self.answered(|| self.request("GET", path)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        answer.json()
    }

    /// Reads every page of a list.
    pub(super) async fn pages(&self, path: &str, limit: u16, list: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut page = self.get(&format!("{path}{separator}limit={limit}")).await;
        let bare = path.split('?').next().unwrap_or_default();
        let mut items = Vec::new();
        loop {
            let found = page[list].as_array().expect("a list");
            assert!(found.len() <= limit.into(), "{page}");
            items.extend(found.iter().cloned());
            let Some(next) = page["next"].as_str() else { return items };
            page = self.get(&format!("{bare}?limit={limit}&next={next}")).await;
        }
    }

    /// Sends a message with a reference of its own.
    pub(super) async fn send(&self, peer: &Client, client_ref: &str, body: &str) -> Response {
        let path = format!("/v2/threads/{}/messages", peer.id());
        let json = json!({"message_body": body, "client_ref": client_ref});
        self.call("POST", &path, &json).await
    }

    /// Stores a new message.
    pub(super) async fn say(&self, peer: &Client, body: &str) -> Value {
        let path = format!("/v2/threads/{}/messages", peer.id());
        let json = json!({"message_body": body, "client_ref": reference()});
        let asked = AtomicUsize::new(0);
        let answer = self.answered(|| {
            asked.fetch_add(1, Ordering::Relaxed);
            self.call_request("POST", &path, &json)
        });
        let answer = answer.await;
        let is_repeated = asked.into_inner() > 1;
        assert!(answer.status == 201 || answer.status == 200 && is_repeated, "{answer:?}");
        answer.json()
    }

    /// An upload with query parameters behind its reference.
    pub(super) fn upload_request(
        &self,
        peer: &Client,
        client_ref: &str,
        query: &str,
        form: Form,
    ) -> Request {
        let path = format!("/v2/threads/{}/attachments?client_ref={client_ref}{query}", peer.id());
        let request = self.request("POST", &path).header("content-type", &form.content_type());
        request.body(form.finish())
    }

    pub(super) async fn upload(&self, peer: &Client, client_ref: &str, form: Form) -> Response {
        self.upload_request(peer, client_ref, "", form).send().await
    }

    pub(super) async fn edit(&self, id: &Value, body: &str) -> Value {
        let edit = json!({"message_body": body});
        let path = format!("/v2/messages/{id}");
        let answer = self.answered(|| self.call_request("PATCH", &path, &edit)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Deletes a message for `everyone` or `me`.
    pub(super) async fn delete(&self, id: &Value, of: &str) {
        let path = format!("/v2/messages/{id}?for={of}");
        let answer = self.answered(|| self.request("DELETE", &path)).await;
        assert_eq!((answer.status, &*answer.body), (204, &b""[..]), "{answer:?}");
    }

    /// Marks what was `seen` or `delivered`.
    pub(super) async fn mark(&self, kind: &str, peer: &Client, up_to: &Value) -> Value {
        let path = format!("/v2/threads/{}/{kind}", peer.id());
        let mark = json!({"up_to": up_to});
        let answer = self.answered(|| self.call_request("PUT", &path, &mark)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(super) async fn thread(&self, peer: &Client) -> Value {
        self.get(&format!("/v2/threads/{}", peer.id())).await
    }

    /// A socket of the second generation, and its `hello`.
    pub(super) async fn connect(&self, after: &str) -> (Socket, Value) {
        let token = &self.user.token;
        let path = format!("/ws/chat/room/?protocol=2&token={token}&after={after}");
        let mut socket = Socket::open(self.edge.address, &path, &[]).await;
        let hello = socket.next().await;
        assert_eq!(hello["action"], "hello", "{hello}");
        (socket, hello)
    }
}

/// The texts of messages.
pub(super) fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["message"].as_str().expect("a text")).collect()
}

/// Fails unless it is a refusal as RFC 9457 has it.
#[track_caller]
pub(super) fn assert_problem(answer: &Response, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.header("retry-after").is_some(), matches!(status, 429 | 503), "{answer:?}");
    assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{answer:?}");
    let problem = answer.json();
    assert_eq!(
        (&problem["type"], &problem["status"], &problem["code"]),
        (&json!("about:blank"), &json!(status), &json!(code)),
        "{answer:?}"
    );
    problem
}
