//! Compares a JSON text with a documented one, byte for byte but for white space between tokens.
//!
//! A documented text has placeholders where a deployment makes up the value:
//!
//! * `"<integer NAME>"`: a JSON integer, without quotes;
//! * `<instant NAME>`: date and time with six fractional digits, without a zone;
//! * `<date>`: a date as in the path of a file;
//! * `<uuid NAME>`: a random UUID in lower case;
//! * `<text NAME>`: anything but a quote.
//!
//! Whatever has the same name must have the same value, also across texts compared with the same
//! [`Values`].

use std::collections::HashMap;

/// What the named placeholders stood for.
#[derive(Debug, Default)]
pub(crate) struct Values(HashMap<String, String>);

impl Values {
    /// Fails unless `actual` is what `documented` describes.
    pub(crate) fn assert_matches(&mut self, actual: &str, documented: &str) {
        let (actual, documented) = (minified(actual), minified(documented));
        if let Err(problem) = self.compare(&actual, &documented) {
            panic!("{problem}\nactual:     {actual}\ndocumented: {documented}");
        }
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        &self.0[name]
    }

    pub(crate) fn integer(&self, name: &str) -> i64 {
        self.get(name).parse().expect("an integer")
    }

    fn compare(&mut self, mut actual: &str, documented: &str) -> Result<(), String> {
        // An integer stands without the quotes that keep the documented text JSON.
        let documented = documented.replace("\"<integer ", "<integer ");
        let mut pieces = documented.split('<');
        actual = literal(actual, pieces.next().unwrap_or_default())?;
        for piece in pieces {
            let (placeholder, text) = piece.split_once('>').expect("a closed placeholder");
            let (kind, name) = placeholder.split_once(' ').unwrap_or((placeholder, ""));
            let text = if kind == "integer" { text.trim_start_matches('"') } else { text };
            let length = extent(kind, actual);
            let value = &actual[..length];
            if !is_valid(kind, value) {
                return Err(format!("no {kind} at {actual:.60}"));
            }
            let first = self.0.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            if first != value && !name.is_empty() {
                return Err(format!("{name} was {first}, now {value}"));
            }
            actual = literal(&actual[length..], text)?;
        }
        if actual.is_empty() { Ok(()) } else { Err(format!("surplus text {actual:.60}")) }
    }
}

fn literal<'a>(actual: &'a str, expected: &str) -> Result<&'a str, String> {
    actual
        .strip_prefix(expected)
        .ok_or_else(|| format!("expected {expected:.200}\nfound    {actual:.200}"))
}

/// How many bytes a value takes, judged by the characters that it may have.
fn extent(kind: &str, actual: &str) -> usize {
    let length = match kind {
        "integer" => actual.find(|c: char| !c.is_ascii_digit()),
        "text" => actual.find('"'),
        "instant" => Some(PATTERN_INSTANT.len()),
        "date" => Some(PATTERN_DATE.len()),
        "uuid" => Some(PATTERN_UUID.len()),
        _ => panic!("unknown placeholder {kind}"),
    };
    length.filter(|length| actual.is_char_boundary(*length)).unwrap_or(0)
}

const PATTERN_INSTANT: &str = "0000-00-00T00:00:00.000000";
const PATTERN_DATE: &str = "0000/00/00";
/// Version 4, variant 1.
const PATTERN_UUID: &str = "xxxxxxxx-xxxx-4xxx-vxxx-xxxxxxxxxxxx";

fn is_valid(kind: &str, value: &str) -> bool {
    match kind {
        "integer" => value.parse::<i64>().is_ok_and(|value| (1..1 << 53).contains(&value)),
        "text" => !value.is_empty(),
        "instant" => fits(value, PATTERN_INSTANT),
        "date" => fits(value, PATTERN_DATE),
        "uuid" => fits(value, PATTERN_UUID),
        _ => false,
    }
}

fn fits(value: &str, pattern: &str) -> bool {
    value.len() == pattern.len()
        && value.bytes().zip(pattern.bytes()).all(|(byte, class)| match class {
            b'0' => byte.is_ascii_digit(),
            b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            b'v' => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            literal => byte == literal,
        })
}

/// Without the white space between tokens.
fn minified(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|&c| {
            let keep = in_string || !c.is_ascii_whitespace();
            if c == '"' && !escaped {
                in_string = !in_string;
            }
            escaped = in_string && c == '\\' && !escaped;
            keep
        })
        .collect()
}

#[test]
fn a_template_tells_other_texts_apart() {
    let documented = r#"{ "id": "<integer a>", "again": "<integer a>", "at": "<instant b>Z" }"#;
    let same = r#"{"id":3,"again": 3,"at":"2024-06-17T11:28:21.902531Z"}"#;
    Values::default().assert_matches(same, documented);
    for other in [
        r#"{"id":3,"again":4,"at":"2024-06-17T11:28:21.902531Z"}"#,
        r#"{"again":3,"id":3,"at":"2024-06-17T11:28:21.902531Z"}"#,
        r#"{"id":"3","again":"3","at":"2024-06-17T11:28:21.902531Z"}"#,
        r#"{"id":3,"again":3,"at":"2024-06-17T11:28:21.902Z"}"#,
        r#"{"id":3,"again":3,"at":"2024-06-17T11:28:21.902531+00:00"}"#,
        r#"{"id":3,"again":3,"at":"2024-06-17T11:28:21.902531Z"}}"#,
        r#"{"id":3,"again":3,"at":"2024-06-17T11:28:21.902531Z","more":1}"#,
        r#"{"id":9007199254740992,"again":9007199254740992,"at":"2024-06-17T11:28:21.902531Z"}"#,
        r#"{"id":3.0,"again":3.0,"at":"2024-06-17T11:28:21.902531Z"}"#,
    ] {
        let outcome = Values::default().compare(&minified(other), &minified(documented));
        assert!(outcome.is_err(), "{other}");
    }
}
