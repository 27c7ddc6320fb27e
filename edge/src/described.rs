//! What `docs/openapi.yaml` says, to hold each answer of the tests against it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use http::{Method, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};

pub(crate) static OPENAPI: LazyLock<Value> = LazyLock::new(|| {
    let json = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));
    serde_json::from_str(json).expect("JSON")
});

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Panics where an answer is not as it is described; what is not described is not looked at.
#[track_caller]
pub(crate) fn check(
    method: &Method,
    target: &str,
    status: StatusCode,
    content_type: Option<&str>,
    body: &[u8],
) {
    let path = target.split('?').next().unwrap_or_default();
    let Some((template, item)) = path_item(path) else { return };
    let Some(operation) = item.get(method.as_str().to_lowercase()) else { return };
    let responses = &operation["responses"];
    let code = status.as_str();
    let code = if responses.get(code).is_some() { code } else { "default" };
    let response = resolve(&responses[code]);
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
    let validator = validator(format!("{method} {template} {code} {content_type}"), schema);
    let json: Value = serde_json::from_slice(body).expect("JSON");
    let faults: Vec<_> = validator.iter_errors(&json).map(|fault| fault.to_string()).collect();
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

/// Of what refers to a part elsewhere, that part.
fn resolve(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => OPENAPI.pointer(&reference[1..]).expect("a part"),
        None => value,
    }
}

fn validator(name: String, schema: &Value) -> Arc<Validator> {
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let made = validators.entry(name).or_insert_with(|| Arc::new(compile(&OPENAPI, schema)));
    Arc::clone(made)
}

/// A schema of a document, whose parts it may refer to.
pub(crate) fn compile(document: &Value, schema: &Value) -> Validator {
    let whole = json!({"allOf": [schema], "components": document["components"]});
    jsonschema::draft202012::new(&whole).expect("a schema")
}
