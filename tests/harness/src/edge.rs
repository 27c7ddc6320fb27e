//! One address that clients talk to.

use std::net::SocketAddr;

use crate::{Socket, User, eventually, rest::Request};

/// One address that clients talk to.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    pub address: SocketAddr,
}

impl Edge {
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.address, method, path)
    }

    /// Opens a socket with the user's token in the query, as documented clients do.
    pub async fn connect(&self, user: &User) -> Socket {
        let path = format!("/ws/chat/room/?token={}", user.token);
        Socket::open(self.address, &path, &[]).await
    }

    /// The messages of a conversation, as `reader` sees them. 503 asks for another attempt: a core may be slow, or just
    /// come back.
    pub async fn history(&self, reader: &User, peer: &User) -> Vec<serde_json::Value> {
        let path = format!("/chat/messages/{}/", peer.id);
        let answer = eventually("a history", async || {
            let answer = self.get(&path).bearer(&reader.token).send().await;
            assert!([200, 503].contains(&answer.status), "{answer:?}");
            (answer.status == 200).then_some(answer)
        })
        .await;
        answer.json()["entity"]["messages"].as_array().expect("messages").clone()
    }
}
