//! A documented socket beside the devices of its user.

use crate::v2::view::Rest;
use std::{collections::BTreeMap, task::Poll};

use futures_util::{SinkExt as _, StreamExt as _, poll};
use netrox_harness::{Edge, User, within};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::wire::{self, Stream};
use crate::v2::client::Held;

#[derive(Debug)]
pub(super) struct Documented {
    user: User,
    stream: Option<Stream>,
    /// What was shown: ids and texts.
    pub(super) shown: Vec<(i64, String)>,
    /// Codes of errors.
    pub(super) refused: Vec<String>,
    /// Messages up to this id may have come while it was not connected.
    floor: i64,
}

impl Documented {
    pub(super) fn new(user: User) -> Self {
        Self { user, stream: None, shown: Vec::new(), refused: Vec::new(), floor: 0 }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    pub(super) async fn connect(&mut self, edge: Edge) {
        let path = format!("/ws/chat/room/?token={}", self.user.token);
        let Some(stream) = within("a handshake", wire::open(edge.address, &path, None)).await
        else {
            return;
        };
        let mut held = Held::default();
        let rest = Rest { edge, user: &self.user };
        if rest.snapshot(&mut held, 200).await.is_none() {
            return;
        }
        self.floor = held.messages.keys().max().copied().unwrap_or(0).max(self.floor);
        let last = |thread: &Value| thread["last_id"].as_i64().expect("an id");
        self.floor = held.threads.values().map(last).max().unwrap_or(0).max(self.floor);
        self.stream = Some(stream);
    }

    pub(super) async fn say(&mut self, to: &User, body: &str) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let frame = netrox_harness::socket::chat_message(&to.id, body).to_string();
        within("room to send", stream.send(Message::text(frame))).await.is_ok()
    }

    /// Takes all that has come.
    pub(super) async fn pump(&mut self) {
        while let Some(stream) = &mut self.stream {
            match poll!(stream.next()) {
                Poll::Ready(Some(Ok(Message::Text(text)))) => self.take(&text),
                Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Poll::Ready(_) => self.stream = None,
                Poll::Pending => return,
            }
        }
    }

    fn take(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).expect("a JSON frame");
        if frame["action"] == "error" {
            return self.refused.push(frame["code"].as_str().expect("a code").to_owned());
        }
        assert_eq!(frame["action"], "re_message", "{frame}");
        assert_eq!(frame["receiver_id"], self.user.id, "{frame}");
        let id = frame["created_msg_id"].as_i64().expect("an id");
        let body = frame["message_body"].as_str().expect("a text");
        self.shown.push((id, body.to_owned()));
    }

    /// What it should have been shown and was not, or was shown and should not; `messages` are all that its
    /// user ever had.
    pub(super) fn differs(&self, messages: &BTreeMap<i64, Value>) -> Option<String> {
        assert!(
            self.shown.is_sorted_by(|(one, _), (other, _)| one < other),
            "out of order or again: {:?}",
            self.shown
        );
        for (id, _) in &self.shown {
            let receiver = messages.get(id).map(|message| &message["receiver_id"]);
            if receiver != Some(&json!(self.user.id)) {
                return Some(format!("it was shown {id}, which is not there"));
            }
        }
        let missed = messages.values().find(|message| {
            message["receiver_id"] == self.user.id
                && message["deleted"] == false
                && message["hidden"] == false
                && message["id"].as_i64() > Some(self.floor)
                && self.shown.iter().all(|(id, _)| message["id"] != *id)
        });
        missed.map(|message| format!("the documented socket was not shown {message}"))
    }
}
