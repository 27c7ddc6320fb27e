//! What devices ask for.

use netrox_harness::User;
use serde_json::{Value, json};

use super::device::Device;
use crate::v2::client::mark;

/// What a frame asked for.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    Send {
        client_ref: String,
    },
    Edit {
        id: i64,
    },
    Delete {
        id: i64,
        is_for_everyone: bool,
    },
    Mark {
        peer: String,
        up_to: i64,
        is_seen: bool,
    },
    /// By its number in the case.
    Block {
        number: usize,
    },
    Type,
    Watch,
    Hide,
}

impl Asked {
    /// Which message was to be sent.
    pub(super) fn client_ref(&self) -> Option<&str> {
        match self {
            Self::Send { client_ref } => Some(client_ref),
            Self::Edit { .. }
            | Self::Delete { .. }
            | Self::Mark { .. }
            | Self::Block { .. }
            | Self::Type
            | Self::Watch
            | Self::Hide => None,
        }
    }
}

/// A message that is not known to be stored.
#[derive(Debug, Clone)]
pub(super) struct Unsent {
    pub(super) client_ref: String,
    pub(super) to: User,
    pub(super) body: String,
    pub(super) reply_to: Option<i64>,
}

impl Device {
    pub(super) async fn edit(&mut self, id: i64, body: &str) {
        let frame = json!({"action": "message_edit", "message_id": id, "message_body": body});
        self.ask(Asked::Edit { id }, frame).await;
    }

    pub(super) async fn delete(&mut self, id: i64, is_for_everyone: bool) {
        let whom = if is_for_everyone { "everyone" } else { "me" };
        let frame = json!({"action": "message_delete", "message_id": id, "for": whom});
        self.ask(Asked::Delete { id, is_for_everyone }, frame).await;
    }

    pub(super) async fn mark(&mut self, peer: &User, up_to: i64, is_seen: bool) {
        let frame = mark(if is_seen { "seen" } else { "delivered" }, peer, up_to);
        self.ask(Asked::Mark { peer: peer.id.clone(), up_to, is_seen }, frame).await;
    }

    /// Gives whether it was asked for.
    pub(super) async fn block(&mut self, peer: &User, blocks: bool, number: usize) -> bool {
        let action = if blocks { "block" } else { "unblock" };
        let is_connected = self.is_connected();
        self.ask(Asked::Block { number }, json!({"action": action, "peer_id": peer.id})).await;
        is_connected
    }

    pub(super) async fn types(&mut self, peer: &User, typing: bool) {
        let frame = json!({"action": "typing", "peer_id": peer.id, "typing": typing});
        self.ask(Asked::Type, frame).await;
    }

    pub(super) async fn watch<'a>(&mut self, peers: impl Iterator<Item = &'a User>) {
        let peers: Vec<_> = peers.map(|peer| peer.id.as_str()).collect();
        self.ask(Asked::Watch, json!({"action": "presence_watch", "peer_ids": peers})).await;
    }

    pub(super) async fn hide(&mut self, hides: bool) {
        let presence = if hides { "nobody" } else { "peers" };
        self.ask(Asked::Hide, json!({"action": "presence_set", "presence": presence})).await;
    }
}

/// A state of a peer of whom nothing is told.
pub(super) fn nothing_of(peer: &User) -> Value {
    json!({"peer_id": peer.id, "online": false, "last_seen": null})
}
