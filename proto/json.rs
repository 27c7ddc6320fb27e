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
