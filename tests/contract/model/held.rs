//! What a client holds that folds its feed.

use std::collections::BTreeMap;

use netrox_proto::v1::{Message, ThreadState, event::Change};

/// What a client holds (PROTOCOL-2 section 10).
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) seq: u64,
    pub(super) messages: BTreeMap<i64, Message>,
    /// By peer.
    pub(super) states: BTreeMap<String, ThreadState>,
}

impl Held {
    pub(super) fn take(&mut self, change: Change) {
        match change {
            Change::Message(message) => {
                let newer = self.messages.get(&message.id).is_none_or(|it| it.rev <= message.rev);
                if newer {
                    self.messages.insert(message.id, message);
                }
            }
            Change::Thread(state) => {
                let newer = self.states.get(&state.peer_id).is_none_or(|it| it.rev <= state.rev);
                if newer {
                    self.states.insert(state.peer_id.clone(), state);
                }
            }
            other @ (Change::Typing(_) | Change::Presence(_) | Change::User(_)) => {
                panic!("nobody asked for it: {other:?}")
            }
        }
    }

    /// That of the newest state, and what is held above it (PROTOCOL-2 section 4).
    pub(super) fn unread(&self, peer: &str) -> usize {
        let state = self.states.get(peer);
        let (last_id, unread) =
            state.map_or((0, 0), |state| (state.last_id, state.unread.unsigned_abs() as usize));
        let above = self.messages.values().filter(|it| it.sender_id == peer && it.id > last_id);
        unread + above.filter(|it| !it.deleted && !it.hidden).count()
    }
}
