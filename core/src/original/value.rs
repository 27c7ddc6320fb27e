//! Values as Django writes them.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the original calls a user: all of its users in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum OriginalUserId {
    Uuid(Uuid),
    Number(i64),
}

/// Which way that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OriginalUserIds {
    Uuids,
    Numbers,
}

impl OriginalUserId {
    pub(crate) fn kind(self) -> OriginalUserIds {
        match self {
            Self::Uuid(_) => OriginalUserIds::Uuids,
            Self::Number(_) => OriginalUserIds::Numbers,
        }
    }
}

impl FromStr for OriginalUserId {
    type Err = String;

    /// UUIDs with hyphens, or of 32 digits as SQLite has them.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let is_uuid = [32, 36].contains(&text.len());
        let uuid = is_uuid.then(|| Uuid::try_parse(text).ok()).flatten();
        uuid.map(Self::Uuid).ok_or_else(|| format!("{text:?} is neither a UUID nor a whole number"))
    }
}

/// As fixtures and answers have it.
impl fmt::Display for OriginalUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(id) => id.as_hyphenated().fmt(f),
            Self::Number(id) => id.fmt(f),
        }
    }
}

/// Microseconds since the epoch, of a number of them or of a time as Django writes it: into SQLite `2024-06-17 11:28:21.902531`,
/// of UTC, and into fixtures `2024-06-17T11:28:21.902Z`.
pub(crate) fn micros(text: &str) -> Result<i64, String> {
    if let Ok(micros) = text.parse() {
        return Ok(micros);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_microsecond());
    }
    let at = text.parse::<DateTime>().and_then(|at| at.to_zoned(TimeZone::UTC));
    at.map(|at| at.timestamp().as_microsecond()).map_err(|_| format!("{text:?} is no time"))
}

/// Of a profile, its JSON. Of a column that may hold any text, what is no JSON is a JSON string. None of what says nothing.
pub(crate) fn profile(text: String, is_json: bool) -> Option<String> {
    const LIKE_JSON: [char; 3] = ['{', '[', '"'];
    if text.is_empty() || text == "null" {
        return None;
    }
    let looks_so = is_json || text.starts_with(LIKE_JSON);
    if looks_so && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
        return Some(text);
    }
    serde_json::to_string(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_microseconds() {
        const AT: i64 = 1_718_623_701_902_531;
        for text in [
            "1718623701902531",
            "2024-06-17 11:28:21.902531",
            "2024-06-17T11:28:21.902531Z",
            "2024-06-17 11:28:21.902531+00:00",
            "2024-06-17T13:28:21.902531+02:00",
        ] {
            assert_eq!(micros(text), Ok(AT), "{text}");
        }
        assert_eq!(micros("2024-06-17 11:28:21"), Ok(1_718_623_701_000_000));
        assert_eq!(micros("2024-06-17T11:28:21.902Z"), Ok(1_718_623_701_902_000));
        for wrong in ["", "today", "2024-17-06 11:28:21"] {
            assert!(micros(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_id_is_a_uuid_or_a_number() {
        let uuid = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
        let id: OriginalUserId = uuid.replace('-', "").parse().expect("a UUID");
        assert_eq!((id, id.to_string()), (uuid.parse().expect("a UUID"), uuid.to_owned()));
        // Thirty-two digits are one of those that have no letter.
        let digits: OriginalUserId = "12345678901234567890123456789012".parse().expect("a UUID");
        assert_eq!(digits.kind(), OriginalUserIds::Uuids);
        assert_eq!("17".parse(), Ok(OriginalUserId::Number(17)));
        for wrong in ["", "ada", "{96bf0d3f-720d-4620-8dee-0f59f997cb51}", "1.5"] {
            assert!(wrong.parse::<OriginalUserId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_profile_is_json() {
        for (text, is_json, expected) in [
            ("{\"a\": 1}", true, Some("{\"a\": 1}")),
            ("7", true, Some("7")),
            ("7", false, Some("\"7\"")),
            ("{\"a\": 1}", false, Some("{\"a\": 1}")),
            ("{broken", false, Some("\"{broken\"")),
            ("https://example.com/a.png", false, Some("\"https://example.com/a.png\"")),
            ("null", true, None),
            ("", false, None),
        ] {
            assert_eq!(profile(text.to_owned(), is_json).as_deref(), expected, "{text}");
        }
    }
}
