//! What the server says by REST, and devices that ask it.

use std::collections::BTreeMap;

use netrox_harness::{Edge, User};
use serde_json::{Value, json};

use super::client::Held;

/// One address, as one user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest<'a> {
    pub(crate) edge: Edge,
    pub(crate) user: &'a User,
}

impl Rest<'_> {
    /// An answer; nothing where the server is not there at the moment.
    pub(crate) async fn get(self, path: &str) -> Option<Value> {
        let answer = self.edge.get(path).bearer(&self.user.token).try_send().await.ok()?;
        assert!([200, 503].contains(&answer.status), "{path}: {answer:?}");
        (answer.status == 200).then(|| answer.json())
    }

    /// Sends a message: its object, as it is now.
    pub(crate) async fn send(self, peer: &str, body: &str, client_ref: &str) -> Option<Value> {
        let content = json!({"message_body": body, "client_ref": client_ref}).to_string();
        let request = self.edge.request("POST", &format!("/v2/threads/{peer}/messages"));
        let request = request.bearer(&self.user.token).header("content-type", "application/json");
        let answer = request.body(content).try_send().await.ok()?;
        assert!([200, 201, 503].contains(&answer.status), "{answer:?}");
        (answer.status != 503).then(|| answer.json())
    }

    /// What opens one socket.
    pub(crate) async fn ticket(self) -> Option<String> {
        let request = self.edge.request("POST", "/v2/ticket").bearer(&self.user.token);
        let answer = request.try_send().await.ok()?;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        let ticket = |answer: Value| answer["ticket"].as_str().expect("a ticket").to_owned();
        (answer.status == 200).then(|| ticket(answer.json()))
    }

    /// All that is found by words with `+` between them, of one thread or of all, in pages.
    pub(crate) async fn found(
        self,
        query: &str,
        peer: Option<&User>,
        limit: usize,
    ) -> Option<Vec<Value>> {
        let peer = peer.map(|peer| format!("&peer_id={}", peer.id)).unwrap_or_default();
        let mut query = format!("&q={query}{peer}");
        let mut found = Vec::new();
        loop {
            let page = self.get(&format!("/v2/search?limit={limit}{query}")).await?;
            found.extend(page["messages"].as_array().expect("messages").iter().cloned());
            let Some(next) = page["next"].as_str() else { return Some(found) };
            query = format!("&next={next}");
        }
    }

    /// One list, page after page.
    async fn list(self, path: &str, key: &str, limit: usize) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        let mut query = String::new();
        loop {
            let page = self.get(&format!("{path}?limit={limit}{query}")).await?;
            items.extend(page[key].as_array().expect("a list").iter().cloned());
            let Some(next) = page["next"].as_str() else { return Some(items) };
            query = format!("&next={next}");
        }
    }

    /// The messages of these threads.
    async fn messages(self, threads: &[Value], limit: usize) -> Option<Vec<Value>> {
        let mut messages = Vec::new();
        for thread in threads {
            let peer = thread["peer_id"].as_str().expect("a peer");
            let path = format!("/v2/threads/{peer}/messages");
            messages.extend(self.list(&path, "messages", limit).await?);
        }
        Some(messages)
    }

    /// What the server holds for this user.
    pub(crate) async fn view(self) -> Option<View> {
        let threads = self.list("/v2/threads", "threads", 200).await?;
        let messages = self.messages(&threads, 200).await?;
        let unread_total = self.get("/v2/me").await?["unread_total"].as_u64().expect("a number");
        let peer = |thread: &Value| thread["peer_id"].as_str().expect("a peer").to_owned();
        let id = |message: &Value| message["id"].as_i64().expect("an id");
        Some(View {
            messages: messages.into_iter().map(|message| (id(&message), message)).collect(),
            threads: threads.into_iter().map(|thread| (peer(&thread), thread)).collect(),
            unread_total,
        })
    }

    /// Replaces what is held by a snapshot.
    pub(crate) async fn snapshot(self, held: &mut Held, limit: usize) -> Option<()> {
        let first = self.get(&format!("/v2/sync?limit={limit}")).await?;
        let mut threads = first["threads"].as_array().expect("threads").clone();
        let mut next = first["next"].as_str().map(str::to_owned);
        while let Some(token) = next {
            let page = self.get(&format!("/v2/threads?limit={limit}&next={token}")).await?;
            threads.extend(page["threads"].as_array().expect("threads").iter().cloned());
            next = page["next"].as_str().map(str::to_owned);
        }
        let messages = self.messages(&threads, limit).await?;
        held.messages.clear();
        held.threads.clear();
        for thread in &threads {
            held.put_thread(thread);
        }
        for message in &messages {
            let id = message["id"].as_i64().expect("an id");
            held.put_message(message);
            held.listed.insert(id);
        }
        held.cursor = Some(first["cursor"].as_str().expect("a cursor").to_owned());
        held.is_partial = true;
        held.wanted.clear();
        Some(())
    }

    /// Reads the threads that a snapshot lacked.
    pub(crate) async fn complete(self, held: &mut Held) -> Option<()> {
        while let Some(peer) = held.wanted.first().cloned() {
            let thread = self.get(&format!("/v2/threads/{peer}")).await?;
            let messages = self.messages(std::slice::from_ref(&thread), 50).await?;
            held.put_thread(&thread);
            for message in &messages {
                let id = message["id"].as_i64().expect("an id");
                // Also what an edit brought before, which is new no more.
                held.listed.insert(id);
                held.put_message(message);
            }
            held.wanted.remove(&peer);
        }
        Some(())
    }

    /// Applies up to so many pages of the feed; true where there are no more.
    pub(crate) async fn sync(self, held: &mut Held, limit: usize, pages: usize) -> Option<bool> {
        for _ in 0..pages {
            let after = held.cursor.as_deref().expect("a cursor");
            let page = self.get(&format!("/v2/sync?limit={limit}&after={after}")).await?;
            let changes = page["changes"].as_array().expect("changes");
            assert!(changes.len() <= limit, "{page}");
            for change in changes {
                held.apply(self.user, change);
            }
            held.cursor = Some(page["cursor"].as_str().expect("a cursor").to_owned());
            if page["more"] == false {
                return Some(true);
            }
        }
        Some(false)
    }
}

/// What the server holds for a user: messages by id, threads by peer.
#[derive(Debug)]
pub(crate) struct View {
    messages: BTreeMap<i64, Value>,
    threads: BTreeMap<String, Value>,
    unread_total: u64,
}

impl View {
    /// By id.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Value> {
        self.messages.values()
    }

    pub(crate) fn has_the_messages_of(&self, other: &Self) -> bool {
        self.messages == other.messages
    }

    pub(crate) fn thread(&self, peer: &str) -> Option<&Value> {
        self.threads.get(peer)
    }

    /// What a device holds otherwise than the server.
    pub(crate) fn differs(&self, held: &Held) -> Option<String> {
        let shown: BTreeMap<_, _> =
            held.messages.iter().filter(|(_, message)| message["hidden"] == false).collect();
        for (id, message) in &self.messages {
            if shown.get(id) != Some(&message) {
                return Some(format!("the server: {message}\nthe device: {:?}", shown.get(id)));
            }
        }
        if let Some(id) = shown.keys().find(|id| !self.messages.contains_key(id)) {
            return Some(format!("only the device has {}", shown[id]));
        }
        if let Some(peer) = held.threads.keys().find(|peer| !self.threads.contains_key(*peer)) {
            return Some(format!("only the device has a thread with {peer}"));
        }
        let thread =
            self.threads.iter().find_map(|(peer, thread)| thread_differs(peer, thread, held));
        let counting = self.threads.iter().filter(|(_, thread)| thread["blocked"] == false);
        let unread: u64 = counting.map(|(peer, _)| held.unread(peer)).sum();
        thread.or_else(|| {
            let is_right = unread == self.unread_total;
            (!is_right).then(|| format!("{unread} unread, and {} in truth", self.unread_total))
        })
    }
}

fn thread_differs(peer: &str, thread: &Value, held: &Held) -> Option<String> {
    let state = held.threads.get(peer);
    let mark = |key: &str| state.and_then(|state| state[key].as_i64()).unwrap_or(0);
    let of_peer = |message: &&Value| message["sender_id"] == peer || message["receiver_id"] == peer;
    let ids = held.messages.values().filter(of_peer).filter_map(|message| message["id"].as_i64());
    // A new message changes no state of a thread.
    let last_id = ids.max().unwrap_or(0).max(mark("last_id"));
    let found = json!({
        "last_id": last_id,
        "unread": held.unread(peer),
        "seen_id": mark("seen_id"),
        "peer_seen_id": mark("peer_seen_id"),
        "peer_delivered_id": mark("peer_delivered_id"),
    });
    // One's own "delivered" is no change for one's devices.
    let is_behind = mark("delivered_id") <= thread["delivered_id"].as_i64().expect("a mark");
    let names = state.is_none_or(|state| {
        ["id", "peer_id", "blocked"].iter().all(|key| state[key] == thread[key])
    });
    let fields = found.as_object().expect("an object");
    let is_same = fields.iter().all(|(key, value)| *value == thread[key]);
    (!(is_same && is_behind && names))
        .then(|| format!("the server: {thread}\nthe device: {found}, of {state:?}"))
}
