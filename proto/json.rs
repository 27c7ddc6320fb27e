//! What is taken as JSON of others, by edge and core alike.

/// How deep objects and arrays are nested at most, the outermost being the first level (PROTOCOL section 5).
pub const MAX_DEPTH: usize = 32;

/// Whether a JSON text is nested deeper than [`MAX_DEPTH`]. Says nothing of a text that is not JSON.
pub fn is_too_deep(text: &str) -> bool {
    is_deeper_than(text, MAX_DEPTH)
}

/// The same of another depth.
pub fn is_deeper_than(text: &str, max_depth: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > max_depth {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether a surrogate escape lacks its other half, which serde does not look at where it skips a value. Says nothing of a
/// text that is not JSON.
pub fn has_lone_surrogate(text: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_strings_is_no_nesting() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(!is_too_deep(&nested(MAX_DEPTH)));
        assert!(is_too_deep(&nested(MAX_DEPTH + 1)));
        let text = format!(r#"{{"a": "\"\\{}", "b": {{}}}}"#, "[".repeat(100));
        assert!(!is_too_deep(&text), "{text}");
        let text = format!(r#"{{"a": "\\", "b": {}}}"#, nested(MAX_DEPTH));
        assert!(is_too_deep(&text), "{text}");
        // Side by side is not one in the other.
        assert!(!is_too_deep(&format!("[{}1]", "[],{},".repeat(100))));
    }
}
