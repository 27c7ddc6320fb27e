//! JSON of clients, before anything is made of it.

use serde_json::value::RawValue;

/// The text of a JSON string; nothing of another value.
pub(super) fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Whether a surrogate escape lacks its other half, which serde does not look at where it skips a value. Says nothing of a
/// text that is not JSON.
pub(super) fn has_lone_surrogate(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        rest = &rest[backslash + 1..];
        match escape_length(rest) {
            Some(length) => rest = rest.get(length..).unwrap_or_default(),
            None => return true,
        }
    }
    false
}

/// How long the escape is whose backslash precedes `rest`, a pair of surrogates being one; `None` for
/// half of a pair.
fn escape_length(rest: &[u8]) -> Option<usize> {
    if rest.first() != Some(&b'u') {
        return Some(1);
    }
    match code_unit(&rest[1..]) {
        Some(0xD800..=0xDBFF) => {
            let low = rest[5..].strip_prefix(b"\\u").and_then(code_unit);
            matches!(low, Some(0xDC00..=0xDFFF)).then_some(11)
        }
        Some(0xDC00..=0xDFFF) => None,
        Some(_) => Some(5),
        // Not JSON; the parser will say so.
        None => Some(1),
    }
}

fn code_unit(hex: &[u8]) -> Option<u32> {
    let digits = hex.get(..4)?;
    digits.iter().try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
}
