//! All messages that were ever acknowledged or shown.

use std::collections::{BTreeSet, HashMap};

/// An id belongs to one message for ever, also where the message was lost.
#[derive(Debug, Default)]
pub(super) struct Book {
    texts: HashMap<i64, String>,
    /// Ids that were given to a second message.
    given_twice: BTreeSet<i64>,
}

impl Book {
    /// Notes a message that was acknowledged or shown.
    pub(super) fn note(&mut self, id: i64, text: &str) {
        if self.texts.insert(id, text.to_owned()).is_some_and(|before| before != text) {
            self.given_twice.insert(id);
        }
    }

    /// Whether a message had this id.
    pub(super) fn knows(&self, id: i64) -> bool {
        self.texts.contains_key(&id)
    }

    pub(super) fn no_id_was_given_twice(&self) {
        assert!(self.given_twice.is_empty(), "given twice: {:?}", self.given_twice);
    }

    /// The newest that has the id.
    pub(super) fn text(&self, id: i64) -> &str {
        self.texts.get(&id).map_or("unknown", String::as_str)
    }

    /// For people.
    pub(super) fn texts(&self, ids: &[i64]) -> Vec<&str> {
        ids.iter().map(|id| self.text(*id)).collect()
    }
}
