//! Identifiers with their wire form.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// A malformed identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a hyphenated UUID")]
pub struct InvalidUuid;

/// A user: a UUID.
///
/// Parsed from the hyphenated form of 36 characters only, in either case; printed in lower case
/// (PROTOCOL section 1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub Uuid);

/// What a client names a send with, to make it safe to repeat: a UUID. Those of a client that draws them in order tell
/// which of two sends is the later one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientRef(pub Uuid);

/// How far apart references of version 7 are still compared, by the time in them: the longest wait of an edge that draws
/// them, and a minute.
const COMPARED_MILLIS: u64 = 65_000;
const MAX_MILLIS: u64 = (1 << 48) - 1;
/// The last 8 bytes of the greatest UUID: its variant, and ones.
const LAST_BYTES: u64 = 0xbfff_ffff_ffff_ffff;

impl ClientRef {
    /// The greatest of the references that are later than this one, which are those above it, of the same version, up to
    /// there: what its client drew after it (chat.proto, `is_repetition`). `None` where the version says nothing of an order.
    pub fn last_later(self) -> Option<Self> {
        let (first, _) = self.0.as_u64_pair();
        let first = match self.0.get_version_num() {
            // The same start of the same client.
            8 => first,
            // The upper 48 bits are milliseconds.
            7 => (((first >> 16) + COMPARED_MILLIS).min(MAX_MILLIS) << 16) | 0x7fff,
            _ => return None,
        };
        Some(Self(Uuid::from_u64_pair(first, LAST_BYTES)))
    }
}

fn parse_hyphenated(text: &str) -> Result<Uuid, InvalidUuid> {
    // `Uuid` also takes braces, "urn:uuid:" and bare digits, none of them 36 long and hyphenated.
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(InvalidUuid);
    }
    Uuid::try_parse(text).map_err(|_| InvalidUuid)
}

macro_rules! uuid_wire_form {
    ($id:ty, $new:path) => {
        impl FromStr for $id {
            type Err = InvalidUuid;

            fn from_str(text: &str) -> Result<Self, InvalidUuid> {
                parse_hyphenated(text).map($new)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

uuid_wire_form!(UserId, UserId);
uuid_wire_form!(ClientRef, ClientRef);

#[cfg(test)]
mod tests {
    use super::*;

    const LOWER: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";

    #[test]
    fn accepts_either_case_and_prints_lower_case() {
        for text in [LOWER, &LOWER.to_uppercase()] {
            let id: UserId = text.parse().expect("a hyphenated UUID");
            assert_eq!(id.to_string(), LOWER);
        }
    }

    #[test]
    fn references_are_later_within_one_start_or_one_minute_only() {
        let parse = |text: &str| text.parse::<ClientRef>().expect("a UUID");
        let last = |text: &str| parse(text).last_later().map(|last| last.to_string());
        assert_eq!(
            last("0193f7e5-2a40-8123-8000-000000000005").as_deref(),
            Some("0193f7e5-2a40-8123-bfff-ffffffffffff")
        );
        // 65,000 milliseconds are 0xfde8.
        assert_eq!(
            last("0193f7e5-2a40-7123-8000-000000000005").as_deref(),
            Some("0193f7e6-2828-7fff-bfff-ffffffffffff")
        );
        let greatest = "ffffffff-ffff-7fff-bfff-ffffffffffff";
        assert_eq!(last("ffffffff-ffff-7123-8000-000000000005").as_deref(), Some(greatest));
        assert_eq!(last("f47ac10b-58cc-4372-a567-0e02b2c3d479"), None);
    }

    #[test]
    fn refuses_every_other_spelling() {
        for text in [
            "",
            "96bf0d3f720d46208dee0f59f997cb51",
            "{96bf0d3f-720d-4620-8dee-0f59f997cb51}",
            "urn:uuid:96bf0d3f-720d-4620-8dee-0f59f997cb51",
            "96bf0d3f-720d-4620-8dee-0f59f997cb5",
            "96bf0d3f-720d-4620-8dee-0f59f997cb5g",
            "96bf0d3f-720d-4620-8dee00f59f997cb51",
            " 6bf0d3f-720d-4620-8dee-0f59f997cb51",
        ] {
            assert_eq!(text.parse::<UserId>(), Err(InvalidUuid), "{text:?}");
        }
    }
}
