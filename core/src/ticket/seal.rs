//! What a ticket says, as text, and its signature: HMAC-SHA-256.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{Buf, BufMut};
use hmac::{Hmac, KeyInit as _, Mac as _};
use netrox_proto::ids::UserId;
use sha2::Sha256;
use uuid::Uuid;

use super::NAME_BYTES;
use crate::{
    error::Error,
    store::{history::Start, ticket::KeyRow},
};

/// What is signed begins with it, and is no other thing that such a key could sign.
const DOMAIN: &[u8] = b"netrox-chat ticket";
const SIGNATURE_BYTES: usize = 32;
const MAX_TEXT_BYTES: usize = 512;
/// First byte of a ticket: what it is for, and how it is written.
const SOCKET: u8 = 1;
const LINK: u8 = 2;
/// Stands for a token without a time of issue.
const UNDATED: i64 = i64::MIN;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) purpose: Purpose,
    pub(super) user: UserId,
    /// Microseconds since the epoch, as is the next.
    pub(super) expires: i64,
    pub(super) token_expires: i64,
    pub(super) token: TokenMark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Opens one, in the start of the history in which it was made.
    Socket { id: Uuid, start: Start },
    /// Signs a link to a file, whose path is signed and not said.
    Link,
}

/// What the token that bought it is known by when it is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenMark {
    /// Seconds since the epoch.
    pub(super) issued_at: Option<i64>,
    /// Digests of its name: as that of any issuer, and as that of its own.
    pub(super) names: Option<[[u8; NAME_BYTES]; 2]>,
}

/// A ticket that nobody has verified. Of what it says nothing may be believed but which key it names.
pub(super) struct Sealed {
    key_id: i64,
    bytes: Vec<u8>,
}

impl Ticket {
    /// `path` is of a link, else empty.
    pub(super) fn seal(&self, key: &KeyRow, path: &str) -> Result<String, Error> {
        let Self { purpose, user, expires, token_expires, token } = self;
        let mut bytes = Vec::with_capacity(160);
        bytes.put_u8(match purpose {
            Purpose::Socket { .. } => SOCKET,
            Purpose::Link => LINK,
        });
        bytes.put_i64(key.id);
        bytes.put_slice(user.0.as_bytes());
        bytes.put_i64(*expires);
        bytes.put_i64(*token_expires);
        bytes.put_i64(token.issued_at.unwrap_or(UNDATED));
        bytes.put_u8(token.names.is_some().into());
        token.names.iter().flatten().for_each(|name| bytes.put_slice(name));
        if let Purpose::Socket { id, start } = purpose {
            bytes.put_slice(id.as_bytes());
            bytes.put_i64(start.0);
        }
        let signature = signing(key, &bytes, path)?.finalize().into_bytes();
        bytes.put_slice(&signature);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What was signed.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let kind = bytes.try_get_u8().ok()?;
        let _key_id = bytes.try_get_i64().ok()?;
        let user = UserId(Uuid::from_bytes(array(&mut bytes)?));
        let expires = bytes.try_get_i64().ok()?;
        let token_expires = bytes.try_get_i64().ok()?;
        let issued_at = Some(bytes.try_get_i64().ok()?).filter(|at| *at != UNDATED);
        let names = match bytes.try_get_u8().ok()? {
            0 => None,
            1 => Some([array(&mut bytes)?, array(&mut bytes)?]),
            _ => return None,
        };
        let purpose = match kind {
            SOCKET => Purpose::Socket {
                id: Uuid::from_bytes(array(&mut bytes)?),
                start: Start(bytes.try_get_i64().ok()?),
            },
            LINK => Purpose::Link,
            _ => return None,
        };
        let token = TokenMark { issued_at, names };
        bytes.is_empty().then_some(Self { purpose, user, expires, token_expires, token })
    }
}

impl Sealed {
    /// `None` if it is no ticket of any deployment.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let mut rest = bytes.get(1..)?;
        let key_id = rest.try_get_i64().ok()?;
        Some(Self { key_id, bytes })
    }

    pub(super) fn key_id(&self) -> i64 {
        self.key_id
    }

    /// `None` if it is not signed so. Takes as long for any signature.
    pub(super) fn open(&self, key: &KeyRow, path: &str) -> Option<Ticket> {
        let length = self.bytes.len().checked_sub(SIGNATURE_BYTES)?;
        let (signed, signature) = self.bytes.split_at_checked(length)?;
        signing(key, signed, path).ok()?.verify_slice(signature).ok()?;
        Ticket::read(signed)
    }
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

/// How long what is signed is follows from itself, so that a path cannot be taken for a part of it.
fn signing(key: &KeyRow, bytes: &[u8], path: &str) -> Result<Hmac<Sha256>, Error> {
    // Any length is good.
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.key).map_err(|_| Error::Internal)?;
    mac.update(DOMAIN);
    mac.update(bytes);
    mac.update(path.as_bytes());
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";

    fn key(id: i64) -> KeyRow {
        KeyRow { id, key: vec![7; 32], created: 0 }
    }

    fn ticket(purpose: Purpose) -> Ticket {
        let token = TokenMark { issued_at: Some(-5), names: Some([[1; 16], [2; 16]]) };
        Ticket { purpose, user: UserId(Uuid::from_u128(9)), expires: 10, token_expires: 11, token }
    }

    fn socket() -> Ticket {
        ticket(Purpose::Socket { id: Uuid::from_u128(8), start: Start(3) })
    }

    fn opened(text: &str, key: &KeyRow, path: &str) -> Option<Ticket> {
        Sealed::parse(text)?.open(key, path)
    }

    #[test]
    fn a_ticket_says_what_it_was_made_of() {
        let undated = TokenMark { issued_at: None, names: None };
        let plain = Ticket { token: undated, ..ticket(Purpose::Link) };
        for (ticket, path) in [(socket(), ""), (ticket(Purpose::Link), PATH), (plain, PATH)] {
            let text = ticket.seal(&key(-7), path).expect("sealed");
            assert!(text.len() < MAX_TEXT_BYTES, "{text}");
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            assert!(text.bytes().all(is_plain), "{text}");
            assert_eq!(Sealed::parse(&text).expect("a ticket").key_id(), -7);
            assert_eq!(opened(&text, &key(-7), path), Some(ticket));
        }
    }

    #[test]
    fn whatever_is_changed_it_is_none_any_more() {
        let text = ticket(Purpose::Link).seal(&key(1), PATH).expect("sealed");
        let bytes = URL_SAFE_NO_PAD.decode(&text).expect("its alphabet");
        for index in 0..bytes.len() {
            let mut other = bytes.clone();
            other[index] ^= 1;
            assert_eq!(opened(&URL_SAFE_NO_PAD.encode(other), &key(1), PATH), None, "{index}");
        }
        for length in 0..bytes.len() {
            let short = URL_SAFE_NO_PAD.encode(&bytes[..length]);
            assert_eq!(opened(&short, &key(1), PATH), None, "{length}");
        }
        let other_key = KeyRow { key: vec![8; 32], ..key(1) };
        assert_eq!(opened(&text, &other_key, PATH), None);
        for path in ["", &PATH.replace("jpg", "png"), &format!("{PATH}x")] {
            assert_eq!(opened(&text, &key(1), path), None, "{path}");
        }
        for wrong in ["", "x", &format!("{text}="), &format!("{text}A"), &"A".repeat(513)] {
            assert_eq!(opened(wrong, &key(1), PATH), None, "{wrong}");
        }
    }

    #[test]
    fn keys_stay_out_of_logs() {
        let shown = format!("{:?}", KeyRow { key: vec![77, 88, 99], ..key(1) });
        assert!(!shown.contains("77") && !shown.contains("key:"), "{shown}");
    }
}
