//! Cursors: a position in one user's feed, as the client keeps it (PROTOCOL-2 section 2).
//!
//! A cursor is base64url of these bytes: the version, a digest that binds it to its user and shows what was damaged, the
//! epoch, the place, and how far before it the client was last up to date, unless it is up to date. Numbers of the last two
//! are in groups of 7 bits, the lowest first (LEB128).

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use netrox_proto::ids::UserId;
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const DIGEST_BYTES: usize = 6;
const EPOCH_BYTES: usize = 12;
/// PROTOCOL-2 section 2. The longest that is written here is shorter.
const MAX_CHARACTERS: usize = 63;

/// A history of the database, as the core names it: `DEPLOYMENT.START` (chat.proto, `SubscribeResponse.epoch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch {
    deployment: u32,
    start: u64,
}

/// A core names its epochs in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not DEPLOYMENT.START in 8 and 16 hexadecimal digits")]
pub(crate) struct UnknownEpoch;

impl FromStr for Epoch {
    type Err = UnknownEpoch;

    fn from_str(text: &str) -> Result<Self, UnknownEpoch> {
        let is_hexadecimal = |text: &str, length| {
            text.len() == length
                && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let (deployment, start) = text.split_once('.').ok_or(UnknownEpoch)?;
        if !is_hexadecimal(deployment, 8) || !is_hexadecimal(start, 16) {
            return Err(UnknownEpoch);
        }
        Ok(Self {
            deployment: u32::from_str_radix(deployment, 16).map_err(|_| UnknownEpoch)?,
            start: u64::from_str_radix(start, 16).map_err(|_| UnknownEpoch)?,
        })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{:016x}", self.deployment, self.start)
    }
}

/// Why a client has to throw away what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reset {
    /// Its cursor is none of this user in this deployment.
    Unknown,
    /// Its cursor names this deployment, and no place in its history.
    Epoch,
}

impl Reset {
    /// What a cursor of `lost` is told, which the core does not know, by the epoch that it has now.
    pub(crate) fn of(lost: Epoch, now: Epoch) -> Self {
        if lost.deployment == now.deployment { Self::Epoch } else { Self::Unknown }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Epoch => "epoch",
        }
    }
}

/// A position in the feed of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) epoch: Epoch,
    pub(crate) seq: u64,
    /// Where the client was last up to date: what first appeared after it is new to the client. Equal to `seq` if it is up
    /// to date there, else less.
    pub(crate) began: u64,
}

impl Cursor {
    /// As `user` gets it.
    pub(crate) fn encode(&self, user: UserId) -> String {
        let mut body = Vec::with_capacity(EPOCH_BYTES + 20);
        body.extend(self.epoch.deployment.to_be_bytes());
        body.extend(self.epoch.start.to_be_bytes());
        put_number(&mut body, self.seq);
        if self.began < self.seq {
            put_number(&mut body, self.seq - self.began);
        }
        let bytes = [&[VERSION][..], &digest(user, &body), &body].concat();
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` for what no server gave to `user`.
    pub(crate) fn parse(text: &str, user: UserId) -> Option<Self> {
        if text.len() > MAX_CHARACTERS {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&version, rest) = bytes.split_first()?;
        let (given_digest, body) = rest.split_at_checked(DIGEST_BYTES)?;
        if version != VERSION || given_digest != digest(user, body) {
            return None;
        }
        let (deployment, rest) = body.split_first_chunk()?;
        let (start, mut rest) = rest.split_first_chunk()?;
        let epoch = Epoch {
            deployment: u32::from_be_bytes(*deployment),
            start: u64::from_be_bytes(*start),
        };
        let seq = take_number(&mut rest)?;
        let missed = if rest.is_empty() { 0 } else { take_number(&mut rest)? };
        let began = seq.checked_sub(missed)?;
        rest.is_empty().then_some(Self { epoch, seq, began })
    }
}

fn digest(user: UserId, body: &[u8]) -> [u8; DIGEST_BYTES] {
    let whole = Sha256::new().chain_update(user.0.as_bytes()).chain_update(body).finalize();
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&whole[..DIGEST_BYTES]);
    digest
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        number |= bits.checked_mul(1 << shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const ADA: UserId = UserId(Uuid::from_u128(1));
    const BOB: UserId = UserId(Uuid::from_u128(2));

    fn cursor(deployment: u32, start: u64, seq: u64, missed: u64) -> Cursor {
        let epoch = Epoch { deployment, start };
        Cursor { epoch, seq, began: seq.saturating_sub(missed) }
    }

    #[test]
    fn an_epoch_is_read_as_the_core_writes_it_and_nothing_else() {
        let text = "0140004d.0000000002400000";
        assert_eq!(text.parse::<Epoch>().map(|epoch| epoch.to_string()), Ok(text.to_owned()));
        for text in ["", ".", "1.2", "0140004D.0000000002400000", "0140004d.+000000002400000", "é"]
        {
            assert_eq!(text.parse::<Epoch>(), Err(UnknownEpoch), "{text}");
        }
    }

    #[test]
    fn a_lost_position_is_one_of_the_same_deployment() {
        let [ours, earlier, other] =
            [(1, 9), (1, 5), (2, 9)].map(|(deployment, start)| Epoch { deployment, start });
        assert_eq!(Reset::of(earlier, ours), Reset::Epoch);
        assert_eq!(Reset::of(other, ours), Reset::Unknown);
    }

    #[test]
    fn what_a_cursor_looks_like_stays_as_it_is() {
        // Clients keep them over upgrades.
        for (cursor, text) in [
            (cursor(0x0140_004d, 0x0240_0000, 300, 0), "ASJeKbJo0wFAAE0AAAAAAkAAAKwC"),
            (cursor(0x0140_004d, 0x0240_0000, 300, 7), "AXPjprzvBgFAAE0AAAAAAkAAAKwCBw"),
        ] {
            assert_eq!(cursor.encode(ADA), text);
            assert_eq!(Cursor::parse(text, ADA), Some(cursor));
        }
    }

    #[test]
    fn the_longest_is_short_enough() {
        let longest = cursor(u32::MAX, u64::MAX, u64::MAX, u64::MAX);
        let text = longest.encode(ADA);
        assert!(text.len() <= MAX_CHARACTERS, "{} characters", text.len());
        assert_eq!(Cursor::parse(&text, ADA), Some(longest));
    }

    #[test]
    fn what_is_none_is_not_taken_for_one() {
        let good = cursor(1, 2, 3, 0).encode(ADA);
        let long = "A".repeat(64);
        let later = format!("Ag{}", &good[2..]);
        for text in ["", " ", "A", "x.y", "null", "é", &long, &later, &format!("{good}=")] {
            assert_eq!(Cursor::parse(text, ADA), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_back(
            deployment: u32, start: u64, seq: u64, missed: u64, user: u128
        ) {
            let user = UserId(Uuid::from_u128(user));
            let cursor = cursor(deployment, start, seq, missed);
            let text = cursor.encode(user);
            prop_assert!(text.len() < 64);
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            prop_assert!(text.bytes().all(is_plain), "{}", text);
            prop_assert_eq!(Cursor::parse(&text, user), Some(cursor));
        }

        #[test]
        fn a_cursor_is_of_one_user(seq: u64, missed: u64) {
            let cursor = cursor(1, 2, seq, missed);
            prop_assert_eq!(Cursor::parse(&cursor.encode(ADA), BOB), None);
        }

        #[test]
        fn a_damaged_one_is_none(seq: u64, missed in 0..3_u64, at: prop::sample::Index, by in 1..64_u8) {
            const DIGITS: &[u8; 64] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let text = cursor(1, 2, seq, missed).encode(ADA);
            let at = at.index(text.len());
            let mut changed = text.clone().into_bytes();
            let digit = DIGITS.iter().position(|digit| *digit == changed[at]).expect("a digit");
            changed[at] = DIGITS[(digit + usize::from(by)) % DIGITS.len()];
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assert_eq!(Cursor::parse(&changed, ADA), None);
            prop_assert_eq!(Cursor::parse(&text[..at], ADA), None);
            prop_assert_eq!(Cursor::parse(&format!("{text}A"), ADA), None);
        }

        #[test]
        fn whatever_a_client_sends_is_read_without_a_fault(text: String) {
            prop_assert_eq!(Cursor::parse(&text, ADA), None);
        }
    }
}
