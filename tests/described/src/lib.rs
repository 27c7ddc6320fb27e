//! What `docs/openapi.yaml` and `docs/asyncapi.yaml` say, to hold answers and frames of the tests against it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by a panic")]

mod asyncapi;
mod openapi;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::Validator;
use serde_json::{Value, json};

pub use self::{asyncapi::check_frame, openapi::check_answer};

pub static OPENAPI: LazyLock<Value> =
    LazyLock::new(|| document(include_str!("../../../docs/openapi.yaml")));
pub static ASYNCAPI: LazyLock<Value> =
    LazyLock::new(|| document(include_str!("../../../docs/asyncapi.yaml")));

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

fn document(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).expect("YAML")
}

/// Of what refers to a part of its document, that part.
fn resolve(document: &'static Value, value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(&reference[1..]).expect("a part"),
        None => value,
    }
}

/// What is wrong with a value; `name` is one of the schema alone.
fn faults(document: &Value, name: String, schema: &Value, value: &Value) -> Vec<String> {
    let validator = {
        let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
        let made = validators.entry(name).or_insert_with(|| Arc::new(compile(document, schema)));
        Arc::clone(made)
    };
    validator.iter_errors(value).map(|fault| fault.to_string()).collect()
}

/// A schema of a document, whose parts it may refer to.
pub fn compile(document: &Value, schema: &Value) -> Validator {
    let whole = json!({"allOf": [schema], "components": document["components"]});
    jsonschema::draft202012::new(&whole).expect("a schema")
}
