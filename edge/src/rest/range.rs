//! The `Range` of a request (RFC 9110 section 14).
//!
//! `headers::Range` takes a suffix longer than the file for unsatisfiable, and tells malformed
//! ranges from absent ones nowhere, so the value is read here.

use http::HeaderValue;

/// What of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// No range, or one that is to be ignored: malformed, or more than one.
    Whole,
    /// The bytes from `first` to `last`, both of them included.
    Part {
        first: u64,
        last: u64,
    },
    Unsatisfiable,
}

/// What `range` selects of `size` bytes.
pub(super) fn select(range: Option<&HeaderValue>, size: u64) -> Selection {
    range.and_then(|range| parse(range.to_str().ok()?, size)).unwrap_or(Selection::Whole)
}

/// `None` for what is malformed, more than one range, or of another unit.
fn parse(range: &str, size: u64) -> Option<Selection> {
    let (unit, spec) = range.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let (first, last) = match (first, last) {
        ("", suffix) => {
            let suffix = position(suffix)?;
            if suffix == 0 {
                return Some(Selection::Unsatisfiable);
            }
            (size.saturating_sub(suffix), u64::MAX)
        }
        (first, "") => (position(first)?, u64::MAX),
        (first, last) => (position(first)?, position(last)?),
    };
    if last < first {
        return None;
    }
    if first >= size {
        return Some(Selection::Unsatisfiable);
    }
    Some(Selection::Part { first, last: last.min(size - 1) })
}

/// Digits only; what is too large stands for the largest.
fn position(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selects_as_rfc_9110_says() {
        use Selection::{Part, Unsatisfiable, Whole};
        for (range, size, selection) in [
            ("bytes=0-0", 10, Part { first: 0, last: 0 }),
            ("bytes=0-", 10, Part { first: 0, last: 9 }),
            ("bytes=9-9", 10, Part { first: 9, last: 9 }),
            ("bytes=2-99", 10, Part { first: 2, last: 9 }),
            ("Bytes= 2-5 ", 10, Part { first: 2, last: 5 }),
            ("bytes=2-99999999999999999999999", 10, Part { first: 2, last: 9 }),
            ("bytes=-3", 10, Part { first: 7, last: 9 }),
            ("bytes=-99", 10, Part { first: 0, last: 9 }),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-5", 0, Unsatisfiable),
            ("bytes=5-2", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=1--2", 10, Whole),
            ("lines=0-1", 10, Whole),
            ("", 10, Whole),
        ] {
            let value = HeaderValue::from_str(range).expect("a header value");
            assert_eq!(select(Some(&value), size), selection, "{range} of {size}");
        }
        assert_eq!(select(None, 10), Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(range in "bytes=[0-9]{0,25}-[0-9]{0,25}", size: u64) {
            let value = HeaderValue::from_str(&range).expect("a header value");
            if let Selection::Part { first, last } = select(Some(&value), size) {
                prop_assert!(first <= last && last < size);
            }
        }

        #[test]
        fn anything_is_read_without_panic(range in "\\PC*", size: u64) {
            if let Ok(value) = HeaderValue::from_str(&range) {
                select(Some(&value), size);
            }
        }
    }
}
