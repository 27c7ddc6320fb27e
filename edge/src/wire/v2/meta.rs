//! `meta`: a JSON object that clients attach to a message, kept as the text that was sent, without the white space between its
//! tokens. The server never looks inside.

use serde_json::value::RawValue;

/// Bytes of it, without white space.
pub(crate) const MAX_META_BYTES: usize = 4096;
/// How deep it may be nested, itself the first level.
const MAX_DEPTH: usize = 8;

/// What completes "meta: …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidMeta {
    #[error("must be an object")]
    NoObject,
    #[error("must not be longer than {MAX_META_BYTES} bytes")]
    TooLong,
    #[error("must not be nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// The text to keep; `None` for null.
pub(crate) fn parse(raw: &RawValue) -> Result<Option<String>, InvalidMeta> {
    let text = raw.get().trim_ascii();
    if text == "null" {
        return Ok(None);
    }
    if !text.starts_with('{') {
        return Err(InvalidMeta::NoObject);
    }
    let mut compact = String::with_capacity(text.len().min(MAX_META_BYTES));
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for character in text.chars() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            '{' | '[' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(InvalidMeta::TooDeep);
                }
            }
            '}' | ']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        compact.push(character);
        if compact.len() > MAX_META_BYTES {
            return Err(InvalidMeta::TooLong);
        }
    }
    Ok(Some(compact))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<String>, InvalidMeta> {
        parse(serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn only_white_space_between_tokens_is_removed() {
        let text =
            " {\t\"b\" : [ 1e400 ,\n9007199254740993, 2.50 ], \"a b\\\" \": \"x  y\\\\\" }\r\n";
        let kept = r#"{"b":[1e400,9007199254740993,2.50],"a b\" ":"x  y\\"}"#;
        assert_eq!(parsed(text), Ok(Some(kept.into())));
        assert_eq!(parsed(kept), Ok(Some(kept.into())));
        assert_eq!(parsed(" null "), Ok(None));
        assert_eq!(parsed("{}"), Ok(Some("{}".into())));
    }

    #[test]
    fn what_is_no_object_too_long_or_too_deep_is_refused() {
        for text in ["[]", "\"{}\"", "1", "true"] {
            assert_eq!(parsed(text), Err(InvalidMeta::NoObject), "{text}");
        }
        let nested = |depth: usize| {
            let arrays = depth - 1;
            format!(r#"{{"a":{}{}, "b":"{{{{{{"}}"#, "[".repeat(arrays), "]".repeat(arrays))
        };
        assert!(parsed(&nested(8)).is_ok());
        assert_eq!(parsed(&nested(9)), Err(InvalidMeta::TooDeep));
        let long = |bytes: usize| format!(r#"{{ "a" : "{}" }}"#, "ü".repeat((bytes - 8) / 2));
        assert_eq!(parsed(&long(4096)).map(|kept| kept.map(|kept| kept.len())), Ok(Some(4096)));
        assert_eq!(parsed(&long(4098)), Err(InvalidMeta::TooLong));
    }
}
