//! A set of keys as an issuer hands it out: a JWK Set (RFC 7517 section 5), or Firebase's map of names and certificates.
//!
//! Each key is read by itself. One that is not usable here is left out, and spoils no other.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    jwk::{self, Origin, shown},
    key,
    key_set::{KeySet, VerifyingKey},
};

pub(super) const MAX_SET_BYTES: usize = 512 * 1024;
const MAX_KEYS: usize = 256;
/// A token is held against all of them.
const MAX_KEYS_OF_A_NAME: usize = 8;
/// Of a certificate in PEM form: an RSA key of 8,192 bits takes half of it.
const MAX_CERTIFICATE_BYTES: usize = 8 * 1024;
/// Of those that are left out, so that no line is without end.
const MAX_TOLD: usize = 8;

/// A set, and what it was left without.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) set: KeySet,
    /// For the log; nothing where all keys are usable.
    pub(super) left_out: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NotASet {
    #[error("it is larger than 512 KiB")]
    TooLarge,
    #[error("it is no JSON object with \"keys\", and no map of certificates")]
    NoKeys,
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    #[error("it has no key that is usable here{0}")]
    NoneUsable(String),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

pub(super) fn parse(text: &[u8], origin: Origin) -> Result<Parsed, NotASet> {
    if text.len() > MAX_SET_BYTES {
        return Err(NotASet::TooLarge);
    }
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(NotASet::NoKeys);
    }
    let entries = match serde_json::from_slice(text) {
        Ok(Document { keys }) => of_keys(&keys, origin)?,
        Err(_) => of_certificates(text)?,
    };
    let mut keys = Vec::new();
    let mut of_name: HashMap<Option<String>, usize> = HashMap::new();
    let mut left_out = Vec::new();
    for Entry { called, name, key } in entries {
        let count = of_name.entry(name).or_default();
        match key {
            Ok(_) if *count >= MAX_KEYS_OF_A_NAME => {
                left_out.push(format!("{called}: more than {MAX_KEYS_OF_A_NAME} have its name"));
            }
            Ok(key) => {
                *count += 1;
                keys.push(key);
            }
            Err(reason) => left_out.push(format!("{called}: {reason}")),
        }
    }
    let left_out = told(&left_out);
    if keys.is_empty() {
        let reasons = if left_out.is_empty() { left_out } else { format!(": {left_out}") };
        return Err(NotASet::NoneUsable(reasons));
    }
    Ok(Parsed { set: KeySet::new(keys), left_out })
}

struct Entry {
    /// In the log.
    called: String,
    name: Option<String>,
    key: Result<VerifyingKey, String>,
}

fn of_keys(keys: &[Value], origin: Origin) -> Result<Vec<Entry>, NotASet> {
    if keys.len() > MAX_KEYS {
        return Err(NotASet::TooMany);
    }
    let entry = |(index, jwk): (usize, &Value)| {
        let name = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
        let called = match &name {
            Some(name) => format!("the key {}", shown(name)),
            None => format!("the key at place {}", index + 1),
        };
        Entry { called, name, key: jwk::key(jwk, origin) }
    };
    Ok(keys.iter().enumerate().map(entry).collect())
}

/// As Google publishes those of Firebase: `{"kid": "-----BEGIN CERTIFICATE-----…", …}`. Its dates are not looked at: what
/// is handed out now counts now.
fn of_certificates(text: &[u8]) -> Result<Vec<Entry>, NotASet> {
    let map: Map<String, Value> = serde_json::from_slice(text).map_err(|_| NotASet::NoKeys)?;
    let is_certificate = |value: &Value| {
        value.as_str().is_some_and(|pem| pem.trim_start().starts_with("-----BEGIN CERTIFICATE"))
    };
    if map.contains_key("keys") || !map.values().any(is_certificate) {
        return Err(NotASet::NoKeys);
    }
    if map.len() > MAX_KEYS {
        return Err(NotASet::TooMany);
    }
    let entry = |(name, value): (String, Value)| {
        let pem = value.as_str().unwrap_or_default().as_bytes();
        let key = if pem.len() > MAX_CERTIFICATE_BYTES {
            Err("it is larger than 8 KiB".to_owned())
        } else if is_certificate(&value) {
            let key = key::of_pem(pem);
            key.map(|key| VerifyingKey::new(key, Some(name.clone())))
                .map_err(|error| error.reason().to_owned())
        } else {
            Err("it is no certificate in PEM form".to_owned())
        };
        Entry { called: format!("the key {}", shown(&name)), name: Some(name), key }
    };
    Ok(map.into_iter().map(entry).collect())
}

fn told(left_out: &[String]) -> String {
    let mut text = left_out.iter().take(MAX_TOLD).cloned().collect::<Vec<_>>().join("; ");
    if let Some(more) = left_out.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}
