//! Keys that hold together, and which of them a token may be signed with.
//!
//! A token that names a key (`kid`) is held against all keys of that name. If there are none, it is held against the keys
//! without a name. A token that names none is held against all keys of a set that has few of its algorithm, so that it
//! is good before, in and after a rotation; else against those without a name.

use std::collections::{HashMap, HashSet};

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use sha2::{Digest as _, Sha256};

use super::key::UsableKey;

/// A token that names no key is held against so many.
const MAX_KEYS_OF_NO_NAME: usize = 8;

/// Of what makes a key the same: its material, its name and what it is for.
pub(super) type KeyId = [u8; 32];

pub(super) struct VerifyingKey {
    pub(super) id: KeyId,
    pub(super) key: DecodingKey,
    name: Option<String>,
    algorithms: Vec<Algorithm>,
}

impl VerifyingKey {
    pub(super) fn new((key, algorithms): UsableKey, name: Option<String>) -> Self {
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        match key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => add(bytes),
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                add(n);
                add(e);
            }
        }
        add(format!("{algorithms:?}").as_bytes());
        if let Some(name) = &name {
            add(name.as_bytes());
        }
        Self { id: digest.finalize().into(), key, name, algorithms }
    }

    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Then a signature costs no more than a digest.
    pub(super) fn is_secret(&self) -> bool {
        self.key.family() == AlgorithmFamily::Hmac
    }
}

#[derive(Default)]
pub(super) struct KeySet {
    keys: Vec<VerifyingKey>,
    by_name: HashMap<String, Vec<usize>>,
    nameless: Vec<usize>,
    all: Vec<usize>,
    ids: HashSet<KeyId>,
}

/// Not a word of the keys.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// What a token may be signed with.
pub(super) struct Candidates<'a> {
    set: &'a KeySet,
    indexes: &'a [usize],
    /// They have the name that the token gives.
    pub(super) are_named: bool,
}

impl<'a> Candidates<'a> {
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a VerifyingKey> + use<'a> {
        let set = self.set;
        self.indexes.iter().filter_map(|index| set.keys.get(*index))
    }
}

impl KeySet {
    pub(super) fn new(keys: Vec<VerifyingKey>) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut nameless = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            match &key.name {
                Some(name) => by_name.entry(name.clone()).or_default().push(index),
                None => nameless.push(index),
            }
        }
        let ids = keys.iter().map(|key| key.id).collect();
        let all = (0..keys.len()).collect();
        Self { keys, by_name, nameless, all, ids }
    }

    pub(super) fn single(key: UsableKey) -> Self {
        Self::new(vec![VerifyingKey::new(key, None)])
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.keys.iter().flat_map(|key| key.algorithms.iter().copied())
    }

    pub(super) fn contains(&self, id: &KeyId) -> bool {
        self.ids.contains(id)
    }

    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.ids == other.ids
    }

    /// `name` is the `kid` of a token.
    pub(super) fn candidates(&self, name: Option<&str>, algorithm: Algorithm) -> Candidates<'_> {
        let named = name.and_then(|name| self.by_name.get(name));
        let (indexes, are_named) = match (named, name) {
            (Some(indexes), _) => (indexes, true),
            (None, Some(_)) => (&self.nameless, false),
            (None, None) => {
                let fitting = self.keys.iter().filter(|key| key.is_for(algorithm)).count();
                let are_few = fitting <= MAX_KEYS_OF_NO_NAME;
                (if are_few { &self.all } else { &self.nameless }, false)
            }
        };
        Candidates { set: self, indexes, are_named }
    }
}
