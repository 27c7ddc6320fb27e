//! Signals on the bus: what users do just now. They have a lane of their own, behind all hints, in which of each two users the
//! last word waits, and of so many at most.
//!
//! A signal is whom it is for, in 16 bytes, and a [`Content`]. It goes by the share of that user, under a subject that cores which
//! know of none do not listen to.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use netrox_proto::ids::UserId;
use prost::Message as _;
use tokio::sync::Notify;
use uuid::Uuid;

use super::hint::{address, addressee};
use crate::change::Typing;

/// Beyond it they are dropped.
const MAX_SIGNALS: usize = 4_096;

#[derive(Clone, PartialEq, prost::Message)]
struct Content {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    from: Vec<u8>,
    /// Another one is of a later version.
    #[prost(enumeration = "Kind", tag = "2")]
    kind: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    Unknown = 0,
    Types = 1,
    TypesNoMore = 2,
}

/// Those that wait for the connection.
#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: Mutex<HashMap<(UserId, UserId), Typing>>,
    added: Notify,
}

impl Lane {
    fn waiting(&self) -> MutexGuard<'_, HashMap<(UserId, UserId), Typing>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was room.
    pub(super) fn push(&self, typing: Typing) -> bool {
        let pair = (typing.from, typing.to);
        let is_first = {
            let mut waiting = self.waiting();
            if waiting.len() >= MAX_SIGNALS && !waiting.contains_key(&pair) {
                return false;
            }
            waiting.insert(pair, typing);
            waiting.len() == 1
        };
        if is_first {
            self.added.notify_one();
        }
        true
    }

    pub(super) fn part(&self, one: UserId, two: UserId) {
        let mut waiting = self.waiting();
        waiting.remove(&(one, two));
        waiting.remove(&(two, one));
    }

    /// All that wait, once there is one.
    pub(super) async fn next(&self) -> Vec<Typing> {
        loop {
            let waiting = std::mem::take(&mut *self.waiting());
            if !waiting.is_empty() {
                return waiting.into_values().collect();
            }
            self.added.notified().await;
        }
    }
}

pub(super) fn encode(typing: Typing) -> Bytes {
    let kind = if typing.typing { Kind::Types } else { Kind::TypesNoMore };
    let from = typing.from.0.as_bytes().to_vec();
    let content = Content { from, kind: kind.into() };
    let mut payload = address(typing.to).to_vec();
    content.encode_raw(&mut payload);
    payload.into()
}

/// Nothing of what is not understood: a signal may be lost.
pub(super) fn decode(payload: &[u8]) -> Option<Typing> {
    let (to, content) = addressee(payload)?;
    let content = Content::decode(content).ok()?;
    let typing = match content.kind() {
        Kind::Types => true,
        Kind::TypesNoMore => false,
        Kind::Unknown => return None,
    };
    let from = UserId(Uuid::from_slice(&content.from).ok()?);
    Some(Typing { from, to, typing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typing(from: u128, typing: bool) -> Typing {
        let user = |number| UserId(Uuid::from_u128(number));
        Typing { from: user(from), to: user(0), typing }
    }

    #[test]
    fn what_is_carried_is_what_was_said() {
        for signal in [typing(1, true), typing(2, false)] {
            assert_eq!(decode(&encode(signal)), Some(signal));
        }
        let payload = encode(typing(1, true));
        for end in 0..payload.len() {
            assert_eq!(decode(&payload[..end]), None, "{end}");
        }
        let mut later = address(typing(1, true).to).to_vec();
        Content { from: vec![0; 16], kind: 9 }.encode_raw(&mut later);
        assert_eq!(decode(&later), None);
    }

    #[tokio::test]
    async fn of_each_two_the_last_word_waits_and_so_many_at_most() {
        let lane = Lane::default();
        assert!(lane.push(typing(1, true)) && lane.push(typing(1, false)));
        assert_eq!(lane.next().await, [typing(1, false)]);
        let room = (0..5_000).filter(|from| lane.push(typing(*from, true))).count();
        assert_eq!(room, MAX_SIGNALS);
        assert!(lane.push(typing(1, false)), "one that waits is replaced");
        lane.part(typing(0, true).to, typing(7, true).from);
        assert_eq!(lane.next().await.len(), MAX_SIGNALS - 1);
    }
}
