//! Times and addresses of files, as the documented API writes them.

use std::ops::Range;

use jiff::{Timestamp, tz::Offset};
use netrox_proto::time;
use serde::{Serialize, Serializer};

/// Where the core's attachment paths are served.
pub(crate) const MEDIA_PREFIX: &str = "/mediafiles/";

/// `2024-06-17T11:28:21.902531Z`, as in REST answers.
#[derive(Clone, Copy)]
pub(crate) struct RestTimestamp([u8; REST_TIMESTAMP.len()]);

const REST_TIMESTAMP: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";

impl RestTimestamp {
    /// Written digit by digit: two of them are half the work of a message's JSON otherwise.
    pub(in crate::wire) fn new(micros: i64) -> Self {
        // Later years than 9999 have no such form, and nothing was sent before 1970.
        let instant = Timestamp::from_microsecond(micros.max(0)).unwrap_or(Timestamp::MAX);
        let time = Offset::UTC.to_datetime(instant);
        let mut text = *REST_TIMESTAMP;
        let mut write = |range: Range<usize>, mut value: u32| {
            for digit in text[range].iter_mut().rev() {
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        write(0..4, time.year().unsigned_abs().into());
        write(5..7, time.month().unsigned_abs().into());
        write(8..10, time.day().unsigned_abs().into());
        write(11..13, time.hour().unsigned_abs().into());
        write(14..16, time.minute().unsigned_abs().into());
        write(17..19, time.second().unsigned_abs().into());
        write(20..26, time.subsec_nanosecond().unsigned_abs() / 1000);
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        // ASCII throughout.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<Option<&prost_types::Timestamp>> for RestTimestamp {
    fn from(timestamp: Option<&prost_types::Timestamp>) -> Self {
        Self::new(timestamp.map(time::micros).unwrap_or_default())
    }
}

impl Serialize for RestTimestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// `2024-06-17T12:48:28.228342+00:00`, as in WebSocket frames.
pub(super) fn socket_timestamp(micros: i64) -> String {
    let text = RestTimestamp::new(micros);
    [text.as_str().trim_end_matches('Z'), "+00:00"].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CREATED: i64 = 1_718_623_701_902_531;

    #[test]
    fn whole_seconds_have_six_digits_too() {
        assert_eq!(RestTimestamp::new(0).as_str(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(RestTimestamp::new(i64::MIN).as_str(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(RestTimestamp::new(i64::MAX).as_str(), "9999-12-30T22:00:00.999999Z");
        assert_eq!(socket_timestamp(CREATED), "2024-06-17T11:28:21.902531+00:00");
    }

    proptest! {
        #[test]
        fn a_timestamp_is_read_back_as_the_same_instant(micros in 0..253_402_207_200_000_000_i64) {
            let text = RestTimestamp::new(micros);
            let text = text.as_str();
            prop_assert!(text.ends_with('Z') && &text[19..20] == ".");
            let read: Timestamp = text.parse().expect("RFC 3339");
            prop_assert_eq!(read.as_microsecond(), micros);
            let read: Timestamp = socket_timestamp(micros).parse().expect("RFC 3339");
            prop_assert_eq!(read.as_microsecond(), micros);
        }
    }
}
