//! Elements of the two lists: threads, or messages.

use std::io::BufRead;

use super::{
    compare::{Difference, Entries, Kind, checked, compare},
    document::{Document, DocumentError},
    ledger::{Ledger, Where},
    server::Side,
};

/// One of a list.
#[derive(Debug)]
pub(super) struct Element {
    /// Its id as it stands there; all of it, if it has none.
    pub(super) key: String,
    pub(super) json: String,
}

impl Element {
    fn of(text: &str) -> Result<Self, DocumentError> {
        let json = checked(text).ok_or(DocumentError::Malformed("it is no JSON"))?;
        let key = Entries::of(json).and_then(|entries| entries.get("id").map(str::to_owned));
        Ok(Self { key: key.unwrap_or_else(|| json.to_owned()), json: json.to_owned() })
    }

    /// Its id, if it has one that may be shown: what stands there for one may have a text in it.
    pub(super) fn id(&self) -> Option<&str> {
        let is_plain = !self.key.starts_with(['{', '[']);
        (is_plain && self.key.len() < self.json.len()).then_some(self.key.as_str())
    }

    /// The next one, if there is one.
    pub(super) fn next(
        document: &mut Document<impl BufRead>,
    ) -> Result<Option<Self>, DocumentError> {
        document.next()?.map(|text| Self::of(&text)).transpose()
    }
}

/// One of the two cannot be taken apart.
#[derive(Debug)]
pub(super) struct Broken(pub(super) Side, pub(super) DocumentError);

impl Broken {
    /// Tells of it. The other one may be as bad: then there is nothing to compare.
    pub(super) fn tell(
        self,
        path: &str,
        documents: [Document<impl BufRead>; 2],
        at: &Where,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let Self(side, error) = self;
        let reason = match error {
            DocumentError::Read(error) => return Err(format!("a temporary file: {error}")),
            DocumentError::Malformed(reason) => reason,
        };
        let [original, candidate] = documents;
        let other = match side {
            Side::Original => candidate,
            Side::Candidate => original,
        };
        if is_sound(other) {
            let reason = format!("{reason:?}");
            let (original, candidate) = match side {
                Side::Original => (Some(reason.as_str()), None),
                Side::Candidate => (None, Some(reason.as_str())),
            };
            let difference = Difference { path, kind: Kind::Malformed, original, candidate };
            ledger.tell(at, difference, false);
        } else {
            ledger.fail(at, format!("neither answer is understood: {reason}"));
        }
        Ok(())
    }
}

/// Whether there is nothing wrong with what is left of it.
fn is_sound(mut document: Document<impl BufRead>) -> bool {
    loop {
        match Element::next(&mut document) {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => return false,
        }
    }
    document.frame().is_ok_and(|frame| checked(&frame).is_some())
}

/// What stands around the two lists, which were read. `needs_list`: without one on either side, nothing was compared.
pub(super) fn compare_frames(
    path: &str,
    documents: [Document<impl BufRead>; 2],
    needs_list: bool,
    at: &Where,
    ledger: &Ledger,
) -> Result<(), String> {
    let has_list = documents.iter().any(Document::has_list);
    let [original, candidate] = documents.map(Document::frame);
    let frames = match (original, candidate) {
        (Ok(original), Ok(candidate)) => [original, candidate],
        (Err(DocumentError::Read(error)), _) | (_, Err(DocumentError::Read(error))) => {
            return Err(format!("a temporary file: {error}"));
        }
        (Err(DocumentError::Malformed(_)), Err(DocumentError::Malformed(reason))) => {
            ledger.fail(at, format!("neither answer is understood: {reason}"));
            return Ok(());
        }
        (original, candidate) => {
            // What is left of the other one is not what was expected.
            [original, candidate].map(Result::unwrap_or_default)
        }
    };
    let checked = [checked(&frames[0]), checked(&frames[1])];
    match checked {
        [Some(original), Some(candidate)] => {
            let mut path = path.to_owned();
            compare(&mut path, original, candidate, &mut |difference| {
                ledger.tell(at, difference, false);
            });
            if needs_list && !has_list {
                let reason = "neither answer has the documented list: nothing was compared";
                ledger.fail(at, reason.to_owned());
            }
        }
        [None, None] => ledger.fail(at, "neither answer is JSON".to_owned()),
        [original, candidate] => {
            let difference = Difference { path, kind: Kind::Malformed, original, candidate };
            ledger.tell(at, difference, false);
        }
    }
    Ok(())
}
