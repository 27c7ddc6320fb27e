//! What one user is to see of a thread.

use netrox_proto::v1;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct ThreadStateObject<'a> {
    id: i64,
    peer_id: &'a str,
    last_id: i64,
    unread: i32,
    seen_id: i64,
    delivered_id: i64,
    peer_seen_id: i64,
    peer_delivered_id: i64,
    blocked: bool,
    rev: u64,
}

impl<'a> ThreadStateObject<'a> {
    pub(crate) fn of(state: &'a v1::ThreadState) -> Self {
        Self {
            id: state.thread_id,
            peer_id: &state.peer_id,
            last_id: state.last_id,
            unread: state.unread,
            seen_id: state.seen_id,
            delivered_id: state.delivered_id,
            peer_seen_id: state.peer_seen_id,
            peer_delivered_id: state.peer_delivered_id,
            blocked: state.blocked,
            rev: state.rev,
        }
    }
}
