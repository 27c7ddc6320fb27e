//! What cores tell each other of who is online with them, over the bus.

use bytes::Bytes;
use netrox_proto::ids::UserId;
use prost::Message as _;
use uuid::Uuid;

/// Users in one word: some 48 KiB.
pub(super) const MAX_USERS: usize = 3_000;
pub(super) const ID_BYTES: usize = 16;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Word {
    /// Of this start of the core.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) core: Vec<u8>,
    /// One more with each word that changes anything; of a beat that of the last one.
    #[prost(uint64, tag = "2")]
    pub(super) number: u64,
    #[prost(enumeration = "Kind", tag = "3")]
    pub(super) kind: i32,
    /// 16 bytes each.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) online: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) offline: Vec<u8>,
    /// Who is asked; empty for all.
    #[prost(bytes = "vec", tag = "6")]
    pub(super) asked: Vec<u8>,
    /// The last of those that tell all.
    #[prost(bool, tag = "7")]
    pub(super) is_last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Kind {
    /// One of a later version.
    Unknown = 0,
    /// The core is there.
    Beat = 1,
    /// Who came and who left.
    Change = 2,
    /// The first of those that tell all.
    All = 3,
    /// What follows it.
    More = 4,
    /// A core is to tell all.
    Ask = 5,
    /// The core ends.
    Over = 6,
    /// The email or profile of users has changed.
    Profile = 7,
}

impl Word {
    pub(super) fn new(core: Uuid, number: u64, kind: Kind) -> Self {
        Self { core: core.as_bytes().to_vec(), number, kind: kind.into(), ..Self::default() }
    }

    pub(super) fn core(&self) -> Option<Uuid> {
        Uuid::from_slice(&self.core).ok()
    }

    pub(super) fn decode_from(payload: &[u8]) -> Option<Self> {
        Self::decode(payload).ok()
    }

    pub(super) fn encoded(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

pub(super) fn ids(users: impl IntoIterator<Item = UserId>) -> Vec<u8> {
    users.into_iter().flat_map(|user| user.0.into_bytes()).collect()
}

/// What is left over is none.
pub(crate) fn users(ids: &[u8]) -> impl Iterator<Item = UserId> {
    let (ids, _) = ids.as_chunks::<ID_BYTES>();
    ids.iter().map(|id| UserId(Uuid::from_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_as_they_are() {
        let all: Vec<_> = (0..5).map(|number| UserId(Uuid::from_u128(number))).collect();
        let mut told = ids(all.clone());
        assert_eq!(users(&told).collect::<Vec<_>>(), all);
        told.pop();
        assert_eq!(users(&told).collect::<Vec<_>>(), all[..4]);
        let word = Word { online: ids(all), ..Word::new(Uuid::from_u128(9), 7, Kind::All) };
        let read = Word::decode_from(&word.encoded()).expect("a word");
        assert_eq!((read.core(), read.kind(), &read), (Some(Uuid::from_u128(9)), Kind::All, &word));
        assert!(Word::new(Uuid::nil(), 0, Kind::All).encoded().len() + MAX_USERS * 16 < 64 * 1024);
    }
}
