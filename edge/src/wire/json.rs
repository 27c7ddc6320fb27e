//! JSON of clients, before anything is made of it.

use serde_json::value::RawValue;

/// The text of a JSON string; nothing of another value.
pub(super) fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}
