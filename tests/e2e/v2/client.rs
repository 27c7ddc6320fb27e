//! A client as PROTOCOL-2 section 10 wants it: what it holds, and the one string that it remembers.

use std::collections::{BTreeMap, BTreeSet};

use netrox_harness::{Edge, Socket, TestChat, User};
use serde_json::{Value, json};
use uuid::Uuid;

/// What a client keeps over its connections.
#[derive(Debug, Default, Clone)]
pub(crate) struct Held {
    pub(crate) cursor: Option<String>,
    /// By id, the greatest `rev` of each.
    pub(crate) messages: BTreeMap<i64, Value>,
    /// By peer.
    pub(crate) threads: BTreeMap<String, Value>,
    /// Ids for which it rang.
    pub(crate) rung: BTreeSet<i64>,
    /// Ids that a snapshot told of before the feed did: it does not ring for them.
    pub(crate) listed: BTreeSet<i64>,
    /// Whether it began with a snapshot, which lacks threads that moved to its head meanwhile.
    pub(crate) is_partial: bool,
    /// Peers of such threads, as they show up: they are to be read.
    pub(crate) wanted: BTreeSet<String>,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) hello: Value,
}

fn is_older(held: Option<&Value>, object: &Value) -> bool {
    held.is_some_and(|held| held["rev"].as_u64() > object["rev"].as_u64())
}

impl Held {
    /// Applies what came, and remembers its place.
    pub(crate) fn take(&mut self, user: &User, frame: &Value) {
        match frame["action"].as_str().expect("an action") {
            "message" | "thread" => self.apply(user, frame),
            "hello" | "live" => {}
            _ => return,
        }
        self.cursor = Some(frame["cursor"].as_str().expect("a cursor").to_owned());
    }

    /// Applies a change of the feed.
    pub(crate) fn apply(&mut self, user: &User, change: &Value) {
        if change["action"] == "thread" {
            self.miss(&change["thread"]["peer_id"]);
            return self.put_thread(&change["thread"]);
        }
        let message = &change["message"];
        let id = message["id"].as_i64().expect("an id");
        let rings = change["new"] == true
            && !self.messages.contains_key(&id)
            && message["receiver_id"] == user.id
            && message["deleted"] == false
            && message["hidden"] == false;
        if rings {
            assert!(self.rung.insert(id), "it rings again for {id}");
        }
        let is_own = message["sender_id"] == user.id;
        self.miss(&message[if is_own { "receiver_id" } else { "sender_id" }]);
        self.put_message(message);
    }

    pub(crate) fn put_message(&mut self, message: &Value) {
        let id = message["id"].as_i64().expect("an id");
        if !is_older(self.messages.get(&id), message) {
            self.messages.insert(id, message.clone());
        }
    }

    /// Notes a thread that is not held (PROTOCOL-2 section 5).
    fn miss(&mut self, peer: &Value) {
        let peer = peer.as_str().expect("a peer");
        if self.is_partial && !self.threads.contains_key(peer) {
            self.wanted.insert(peer.to_owned());
        }
    }

    pub(crate) fn put_thread(&mut self, thread: &Value) {
        let peer = thread["peer_id"].as_str().expect("a peer");
        if !is_older(self.threads.get(peer), thread) {
            self.threads.insert(peer.to_owned(), thread.clone());
        }
    }

    /// That of the newest state, and what is held above it (PROTOCOL-2 section 4).
    pub(crate) fn unread(&self, peer: &str) -> u64 {
        let state = self.threads.get(peer);
        let told = |key: &str| state.and_then(|state| state[key].as_u64()).unwrap_or(0);
        let last_id = told("last_id");
        let above = self.messages.values().filter(|it| {
            it["sender_id"] == peer
                && it["id"].as_u64() > Some(last_id)
                && it["deleted"] == false
                && it["hidden"] == false
        });
        told("unread") + above.count() as u64
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        self.messages.values().map(|message| message["message"].as_str().expect("text")).collect()
    }
}

impl Client {
    /// Behind its `hello`.
    pub(crate) async fn open(edge: Edge, user: &User, after: Option<&str>) -> Self {
        let after = after.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let path = format!("/ws/chat/room/?protocol=2&token={}{after}", user.token);
        let mut socket = Socket::open(edge.address, &path, &[]).await;
        let hello = socket.next().await;
        assert_eq!(hello["action"], "hello", "{hello}");
        assert_eq!(hello["user_id"], user.id, "{hello}");
        Self { socket, hello }
    }

    /// Behind its `live`, with nothing missed.
    pub(crate) async fn join(chat: &TestChat, name: &str) -> (User, Self) {
        let user = chat.stranger(name);
        let client = Self::live(chat.edge_of(&user), &user).await;
        (user, client)
    }

    pub(crate) async fn live(edge: Edge, user: &User) -> Self {
        let mut client = Self::open(edge, user, None).await;
        client.next_of("live").await;
        client
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.socket.send(&frame).await;
    }

    /// The next frame of an action, past others.
    pub(crate) async fn next_of(&mut self, action: &str) -> Value {
        loop {
            let frame = self.socket.next().await;
            if frame["action"] == action {
                return frame;
            }
        }
    }

    /// The answer to a frame, past others.
    pub(crate) async fn answer(&mut self) -> Value {
        loop {
            let frame = self.socket.next().await;
            if frame["action"] == "ack" || frame["action"] == "error" {
                return frame;
            }
        }
    }

    /// Sends a frame that must take effect.
    pub(crate) async fn ask(&mut self, mut frame: Value) -> Value {
        let reference = Uuid::new_v4().to_string();
        frame["ref"] = json!(reference);
        self.send(frame).await;
        let ack = self.answer().await;
        assert_eq!((&ack["action"], &ack["ref"]), (&json!("ack"), &json!(reference)), "{ack}");
        ack
    }

    /// Sends a frame that must be refused.
    pub(crate) async fn refused(&mut self, frame: Value, code: &str) -> Value {
        self.send(frame).await;
        let error = self.answer().await;
        assert_eq!((&error["action"], &error["code"]), (&json!("error"), &json!(code)), "{error}");
        error
    }

    /// Stores a message, and gives its id.
    pub(crate) async fn say(&mut self, peer: &User, body: &str) -> i64 {
        let ack = self.ask(message(peer, body, &Uuid::new_v4().to_string())).await;
        ack["message_id"].as_i64().expect("an id")
    }

    /// Applies all that comes up to `live`.
    pub(crate) async fn catch_up(&mut self, user: &User, held: &mut Held) {
        held.take(user, &self.hello);
        loop {
            let frame = self.socket.next().await;
            held.take(user, &frame);
            if frame["action"] == "live" {
                return;
            }
        }
    }
}

pub(crate) fn message(peer: &User, body: &str, client_ref: &str) -> Value {
    json!({
        "action": "chat_message",
        "message_body": body,
        "receiver_id": peer.id,
        "client_ref": client_ref,
    })
}

pub(crate) fn mark(action: &str, peer: &User, up_to: i64) -> Value {
    json!({"action": action, "peer_id": peer.id, "up_to": up_to})
}
