//! Two JSON texts, key by key: which keys there are, in which order, of which types and values.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What is nested deeper is compared as one value.
const MAX_DEPTH: usize = 100;
/// Keys may be anything in what users put into profiles.
const MAX_KEY_CHARACTERS: usize = 64;

/// How two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The original alone has it.
    Missing,
    /// The candidate alone has it.
    Extra,
    Order,
    Type,
    Value,
    /// One of the two is no JSON, or not of the documented form.
    Malformed,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Missing, Self::Extra, Self::Order, Self::Type, Self::Value, Self::Malformed];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Order => "order",
            Self::Type => "type",
            Self::Value => "value",
            Self::Malformed => "malformed",
        }
    }
}

/// One difference. Of both sides, the JSON text that is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Difference<'a> {
    pub(super) path: &'a str,
    pub(super) kind: Kind,
    pub(super) original: Option<&'a str>,
    pub(super) candidate: Option<&'a str>,
}

/// Who is told.
pub(super) type Tell<'a> = &'a mut dyn FnMut(Difference<'_>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Object,
    Array,
    Text,
    Integer,
    Fraction,
    Boolean,
    Null,
}

impl Type {
    fn of(json: &str) -> Self {
        match json.bytes().next() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::Text,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') => Self::Null,
            // Clients of some languages take the one and not the other.
            _ if json.contains(['.', 'e', 'E']) => Self::Fraction,
            _ => Self::Integer,
        }
    }
}

/// The keys of an object with their values, as they stand there.
#[derive(Debug)]
pub(super) struct Entries<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'a> Entries<'a> {
    pub(super) fn of(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    /// The text that a key holds, if it is one.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        text(self.get(key)?)
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// What a JSON text says, if it is a string.
pub(super) fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// A JSON text without white space around it, if it is one.
pub(super) fn checked(json: &str) -> Option<&str> {
    serde_json::from_str::<&RawValue>(json).ok().map(RawValue::get)
}

/// Tells all in which two JSON texts differ. The path is that of both, and is left as it was.
pub(super) fn compare(path: &mut String, original: &str, candidate: &str, tell: Tell<'_>) {
    values(path, 0, [original, candidate], tell);
}

fn values(path: &mut String, depth: usize, sides: [&str; 2], tell: Tell<'_>) {
    let [original, candidate] = sides;
    if original == candidate {
        return;
    }
    let mut differ = |path: &str, kind| {
        let (original, candidate) = (Some(original), Some(candidate));
        tell(Difference { path, kind, original, candidate });
    };
    let [kind, other] = sides.map(Type::of);
    if kind != other {
        return differ(path, Kind::Type);
    }
    let is_equal = match kind {
        Type::Object if depth < MAX_DEPTH => {
            if let [Some(original), Some(candidate)] = sides.map(Entries::of) {
                return objects(path, depth, &original, &candidate, tell);
            }
            false
        }
        Type::Array if depth < MAX_DEPTH => {
            let elements = sides.map(|side| serde_json::from_str::<Vec<&RawValue>>(side).ok());
            if let [Some(original), Some(candidate)] = elements {
                return arrays(path, depth, &original, &candidate, tell);
            }
            false
        }
        Type::Text => matches!(sides.map(text), [Some(one), Some(two)] if one == two),
        Type::Fraction => {
            let [one, two] = sides.map(|side| side.parse().unwrap_or(f64::NAN));
            one.is_finite() && one == two
        }
        Type::Object | Type::Array | Type::Integer | Type::Boolean | Type::Null => false,
    };
    if !is_equal {
        differ(path, Kind::Value);
    }
}

fn objects(
    path: &mut String,
    depth: usize,
    original: &Entries<'_>,
    candidate: &Entries<'_>,
    tell: Tell<'_>,
) {
    let mut places = places(candidate);
    let mut newest = None;
    let mut is_ordered = true;
    for (occurrence, (key, value)) in occurrences(original) {
        let place = places.remove(&(key, occurrence));
        let length = enter(path, key);
        match place {
            None => {
                let original = Some(value.get());
                tell(Difference { path, kind: Kind::Missing, original, candidate: None });
            }
            Some(place) => {
                is_ordered &= newest < Some(place);
                newest = Some(place);
                let other = candidate.0[place].1;
                values(path, depth + 1, [value.get(), other.get()], tell);
            }
        }
        path.truncate(length);
    }
    let mut extra: Vec<_> = places.into_values().collect();
    extra.sort_unstable();
    for place in extra {
        let (key, value) = &candidate.0[place];
        let length = enter(path, key);
        let candidate = Some(value.get());
        tell(Difference { path, kind: Kind::Extra, original: None, candidate });
        path.truncate(length);
    }
    if !is_ordered {
        tell(Difference { path, kind: Kind::Order, original: None, candidate: None });
    }
}

fn arrays(
    path: &mut String,
    depth: usize,
    original: &[&RawValue],
    candidate: &[&RawValue],
    tell: Tell<'_>,
) {
    let length = path.len();
    path.push_str("[]");
    for (one, two) in original.iter().zip(candidate) {
        values(path, depth + 1, [one.get(), two.get()], tell);
    }
    for value in original.iter().skip(candidate.len()) {
        let original = Some(value.get());
        tell(Difference { path, kind: Kind::Missing, original, candidate: None });
    }
    for value in candidate.iter().skip(original.len()) {
        let candidate = Some(value.get());
        tell(Difference { path, kind: Kind::Extra, original: None, candidate });
    }
    path.truncate(length);
}

/// Each entry with how many of its key were there before.
fn occurrences<'a, 'b>(
    entries: &'a Entries<'b>,
) -> impl Iterator<Item = (usize, (&'a str, &'b RawValue))> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    entries.0.iter().map(move |(key, value)| {
        let count = seen.entry(key).or_default();
        *count += 1;
        (*count - 1, (key.as_str(), *value))
    })
}

/// Where each key stands, and which one of its name it is.
fn places<'a>(entries: &'a Entries<'_>) -> HashMap<(&'a str, usize), usize> {
    let keys = occurrences(entries).enumerate();
    keys.map(|(place, (occurrence, (key, _)))| ((key, occurrence), place)).collect()
}

/// Gives how long the path was.
fn enter(path: &mut String, key: &str) -> usize {
    let length = path.len();
    let shown = key.chars().take(MAX_KEY_CHARACTERS);
    path.push('.');
    path.extend(shown.map(|c| if c.is_alphanumeric() || "_-".contains(c) { c } else { '?' }));
    length
}

#[cfg(test)]
mod tests;
