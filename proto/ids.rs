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

/// What a client names a send with, to make it safe to repeat: a UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientRef(pub Uuid);

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
