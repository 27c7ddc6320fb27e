//! JSON of clients, before anything is made of it.

use netrox_proto::json;
use serde::{Deserializer as _, de::Visitor};
use serde_json::value::RawValue;

/// The text of a JSON string; nothing of another value.
pub(super) fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// What a visitor makes of a text that is one JSON object, nested no deeper than is taken of others.
pub(super) fn object<'de, V: Visitor<'de>>(text: &'de str, visitor: V) -> Option<V::Value> {
    if json::is_too_deep(text) || json::has_lone_surrogate(text) {
        return None;
    }
    // Not a derived struct: that would take an array for it.
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = deserializer.deserialize_map(visitor).ok()?;
    deserializer.end().ok()?;
    Some(value)
}
