//! What a device is shown that has no place in the feed: who types, and who is online.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Everybody who was ever shown to type.
    pub(super) typed: BTreeSet<String>,
    /// How peers type, as it was shown last.
    pub(super) typing: BTreeMap<String, bool>,
    /// How those are who are watched over this connection; `None` before anybody is.
    pub(super) watched: Option<BTreeMap<String, Value>>,
}

impl Signals {
    /// What is watched is of a connection.
    pub(super) fn disconnected(&mut self) {
        self.watched = None;
    }

    /// Watches others than before.
    pub(super) fn watch(&mut self, states: &Value) {
        let states = states.as_array().expect("states");
        let peer = |state: &Value| state["peer_id"].as_str().expect("a peer").to_owned();
        self.watched = Some(states.iter().map(|state| (peer(state), state.clone())).collect());
    }

    pub(super) fn take(&mut self, frame: &Value) {
        assert!(frame["cursor"].is_null(), "a signal has no place: {frame}");
        let peer = frame["peer_id"].as_str().expect("a peer").to_owned();
        if frame["action"] == "typing" {
            self.typed.insert(peer.clone());
            self.typing.insert(peer, frame["typing"] == true);
            return;
        }
        let mut state = frame.clone();
        state.as_object_mut().expect("an object").remove("action");
        let watched = self.watched.as_mut().expect("somebody is watched");
        assert!(watched.insert(peer, state).is_some(), "it is not watched: {frame}");
    }
}
