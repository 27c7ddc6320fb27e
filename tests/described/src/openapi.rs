//! Answers of REST.

use serde_json::Value;

use crate::{OPENAPI, faults, resolve};

/// Panics where an answer is not as it is described; what is not described is not looked at.
#[track_caller]
pub fn check_answer(
    method: &str,
    target: &str,
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
) {
    let path = target.split('?').next().unwrap_or_default();
    let Some((template, item)) = path_item(path) else { return };
    let Some(operation) = item.get(method.to_lowercase()) else { return };
    let responses = &operation["responses"];
    let code = status.to_string();
    let code = if responses.get(&code).is_some() { &*code } else { "default" };
    let response = resolve(&OPENAPI, &responses[code]);
    assert!(!response.is_null(), "{method} {path} {status} is not described");
    let Some(content) = response.get("content") else {
        assert!(body.is_empty(), "{method} {path} {status} is described without a body");
        return;
    };
    if content.get("*/*").is_some() {
        return;
    }
    let content_type = content_type.expect("a content type");
    let schema = &content[content_type]["schema"];
    assert!(!schema.is_null(), "{method} {path} {status} is not described as {content_type}");
    let json: Value = serde_json::from_slice(body).expect("JSON");
    let name = format!("{method} {template} {code} {content_type}");
    let faults = faults(&OPENAPI, name, schema, &json);
    assert!(faults.is_empty(), "{method} {path} {status}: {faults:#?}\n{json:#}");
}

fn path_item(path: &str) -> Option<(&'static str, &'static Value)> {
    let paths = OPENAPI["paths"].as_object().expect("paths");
    let found = paths.iter().find(|(template, _)| is_of(template, path));
    found.map(|(template, item)| (template.as_str(), item))
}

fn is_of(template: &str, path: &str) -> bool {
    if let Some((prefix, _)) = template.split_once("{path}") {
        return path.starts_with(prefix);
    }
    let (mut expected, mut actual) =
        (template.trim_end_matches('/').split('/'), path.trim_end_matches('/').split('/'));
    loop {
        match (expected.next(), actual.next()) {
            (None, None) => return true,
            (Some(expected), Some(actual)) if expected == actual => {}
            (Some(expected), Some(actual)) if expected.starts_with('{') && !actual.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, content_type: &str, body: &str) {
        check_answer("GET", "/v2/threads/?limit=1", status, Some(content_type), body.as_bytes());
    }

    #[test]
    fn an_answer_may_be_as_it_is_described() {
        check(200, "application/json", r#"{"threads":[],"next":null,"unread_total":0,"more":1}"#);
        check_answer("GET", "/nothing", 404, None, b"");
        check_answer("TRACE", "/v2/threads", 405, None, b"");
    }

    #[test]
    #[should_panic(expected = "unread_total")]
    fn a_key_must_not_be_missing() {
        check(200, "application/json", r#"{"threads":[],"next":null}"#);
    }

    #[test]
    #[should_panic(expected = "not described as text/html")]
    fn nor_may_it_be_of_another_type() {
        check(200, "text/html", "");
    }
}
