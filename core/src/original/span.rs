//! What messages of a range of ids are as a whole: two databases that have the same of a range have the same messages there, as far
//! as sums tell. No index is needed for it. SQL that both engines have knows no hash: what is changed without `updated`, and to a text
//! as long, or in a name, is not told.

use super::value;

/// So many ids make a span.
pub(crate) const SPAN_IDS: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its ids are those that are this many times [`SPAN_IDS`], and less than as many more.
    pub(crate) number: i64,
    pub(crate) messages: i64,
    /// Of those that are, their places in the span, from 1, added up: one for another makes another sum.
    pub(crate) seen: i64,
    pub(crate) deleted: i64,
    pub(crate) files: i64,
    /// Characters of those that are not deleted, each as often as its place.
    pub(crate) characters: i64,
    /// The latest change.
    pub(crate) updated: i64,
}

/// Number, messages, seen, deleted, files, characters, updated.
pub(crate) type Raw = (i64, i64, i64, i64, i64, i64, Option<String>);

impl Span {
    pub(crate) fn of(
        (number, messages, seen, deleted, files, characters, updated): Raw,
    ) -> Result<Self, String> {
        let updated = updated.map_or(Ok(0), |text| value::micros(&text));
        let updated = updated.map_err(|reason| {
            format!("messages {}…: updated: {reason}", number.saturating_mul(SPAN_IDS))
        })?;
        Ok(Self { number, messages, seen, deleted, files, characters, updated })
    }

    /// Before its first id.
    pub(crate) fn after(&self) -> i64 {
        self.number.saturating_mul(SPAN_IDS).saturating_sub(1)
    }

    /// Its last id.
    pub(crate) fn last(&self) -> i64 {
        self.after().saturating_add(SPAN_IDS)
    }
}
