//! A thread, as one of its two users sees it.

use netrox_proto::{ids::UserId, v1};
use serde::Serialize;

use super::{MessageObject, UserObject};
use crate::wire::v1::RestTimestamp;

/// Who read how far.
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

/// A thread state, and what a list shows beside it.
#[derive(Serialize)]
pub(crate) struct ThreadObject<'a> {
    #[serde(flatten)]
    state: ThreadStateObject<'a>,
    peer: UserObject<'a>,
    created: RestTimestamp,
    last_message: Option<MessageObject<'a>>,
}

impl<'a> ThreadObject<'a> {
    /// `None` where the core left out the state or the peer, which it owes.
    pub(crate) fn of(thread: &'a v1::Thread, viewer: UserId) -> Option<Self> {
        let state = thread.state.as_ref()?;
        let users = [&thread.user_one, &thread.user_two].into_iter().flatten();
        let peer = users.into_iter().find(|user| user.id.parse() != Ok(viewer))?;
        Some(Self {
            state: ThreadStateObject::of(state),
            peer: UserObject::of(peer),
            created: thread.created.as_ref().into(),
            last_message: thread
                .last_message
                .as_ref()
                .map(|message| MessageObject::of(message, viewer)),
        })
    }
}
