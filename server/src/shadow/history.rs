//! One conversation at both servers, message by message, in order. Of each side a few messages are held, so that one that is
//! missing does not make all behind it differ.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{BufRead, BufReader},
};

use tokio_util::sync::CancellationToken;

use super::{
    attached::{Attached, AttachedList},
    compare::{Difference, Entries, Kind, compare},
    document::{Document, DocumentError},
    element::{Broken, Element, compare_frames},
    ledger::{Ledger, Where},
    rule::{HISTORY, MESSAGE},
    server::Side,
};

const LIST: &[&str] = &["entity", "messages"];
/// How far ahead a message is looked for that the other side has next.
const MAX_AHEAD: usize = 256;
const MAX_AHEAD_BYTES: usize = 8 << 20;
/// What was not found there may come much later: then it is out of order.
const MAX_UNMATCHED_BYTES: usize = 16 << 20;

/// Gives the files of messages that both have. Fails if this machine does. `needs_list`: as of answers with status 200.
pub(super) fn compare_histories(
    histories: [File; 2],
    needs_list: bool,
    at: &Where,
    ledger: &Ledger,
    stop: &CancellationToken,
) -> Result<AttachedList, String> {
    let sides = [Side::Original, Side::Candidate];
    let mut windows = sides
        .into_iter()
        .zip(histories)
        .map(|(side, file)| Window::new(side, Document::new(BufReader::new(file), LIST)));
    let (Some(original), Some(candidate)) = (windows.next(), windows.next()) else {
        return Err("two histories were to be compared".to_owned());
    };
    compare_windows([original, candidate], needs_list, at, ledger, stop)
}

fn compare_windows<R: BufRead>(
    [mut original, mut candidate]: [Window<R>; 2],
    needs_list: bool,
    at: &Where,
    ledger: &Ledger,
    stop: &CancellationToken,
) -> Result<AttachedList, String> {
    let mut comparison = Comparison::new(at, ledger);
    let aligned = comparison.align(&mut original, &mut candidate, stop);
    comparison.settle()?;
    ledger.add(|totals| totals.messages += comparison.messages);
    let documents = [original.document, candidate.document];
    match aligned {
        Ok(()) if stop.is_cancelled() => {}
        Ok(()) => compare_frames(HISTORY, documents, needs_list, at, ledger)?,
        Err(Ended::Broken(broken)) => broken.tell(HISTORY, documents, at, ledger)?,
        Err(Ended::Here(reason)) => return Err(reason),
    }
    Ok(comparison.attached)
}

enum Ended {
    Broken(Broken),
    Here(String),
}

/// What comes next of one side.
struct Window<R> {
    side: Side,
    document: Document<R>,
    ahead: VecDeque<Element>,
    bytes: usize,
    is_over: bool,
}

impl<R: BufRead> Window<R> {
    fn new(side: Side, document: Document<R>) -> Self {
        Self { side, document, ahead: VecDeque::new(), bytes: 0, is_over: false }
    }

    /// Looks so many ahead, if there are as many, and they are not too long.
    fn look(&mut self, most: usize) -> Result<(), Ended> {
        while !self.is_over
            && self.ahead.len() < most
            && (self.ahead.is_empty() || self.bytes < MAX_AHEAD_BYTES)
        {
            let next = Element::next(&mut self.document);
            let broken = |error: DocumentError| Ended::Broken(Broken(self.side, error));
            match next.map_err(broken)? {
                Some(element) => {
                    self.bytes += element.json.len();
                    self.ahead.push_back(element);
                }
                None => self.is_over = true,
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<Element> {
        let element = self.ahead.pop_front()?;
        self.bytes -= element.json.len();
        Some(element)
    }

    fn place(&self, key: &str) -> Option<usize> {
        self.ahead.iter().position(|element| element.key == key)
    }
}

struct Comparison<'a> {
    at: Where,
    ledger: &'a Ledger,
    /// How many both have.
    messages: u64,
    attached: AttachedList,
    /// Of each side, what the other one did not have there.
    unmatched: [Vec<Element>; 2],
    unmatched_bytes: usize,
}

impl<'a> Comparison<'a> {
    fn new(at: &Where, ledger: &'a Ledger) -> Self {
        Self {
            at: at.clone(),
            ledger,
            messages: 0,
            attached: AttachedList::default(),
            unmatched: Default::default(),
            unmatched_bytes: 0,
        }
    }

    fn align<R: BufRead>(
        &mut self,
        original: &mut Window<R>,
        candidate: &mut Window<R>,
        stop: &CancellationToken,
    ) -> Result<(), Ended> {
        while !stop.is_cancelled() {
            original.look(1)?;
            candidate.look(1)?;
            let (skipped, window, side) = match (original.ahead.front(), candidate.ahead.front()) {
                (None, None) => break,
                (Some(one), Some(two)) if one.key == two.key => {
                    if let (Some(one), Some(two)) = (original.take(), candidate.take()) {
                        self.pair(&one, &two).map_err(Ended::Here)?;
                    }
                    continue;
                }
                (Some(_), None) => (1, &mut *original, 0),
                (None, Some(_)) => (1, &mut *candidate, 1),
                (Some(_), Some(_)) => {
                    original.look(MAX_AHEAD)?;
                    candidate.look(MAX_AHEAD)?;
                    let next =
                        |window: &Window<R>| window.ahead.front().map(|next| next.key.clone());
                    let of_candidate = next(original).and_then(|key| candidate.place(&key));
                    let of_original = next(candidate).and_then(|key| original.place(&key));
                    match (of_original, of_candidate) {
                        // The shorter way to what both have.
                        (Some(one), Some(two)) if one <= two => (one, &mut *original, 0),
                        (_, Some(two)) => (two, &mut *candidate, 1),
                        (Some(one), None) => (one, &mut *original, 0),
                        (None, None) => (1, &mut *original, 0),
                    }
                }
            };
            for _ in 0..skipped {
                if let Some(element) = window.take() {
                    self.unmatched_bytes += element.json.len();
                    self.unmatched[side].push(element);
                }
            }
            if self.unmatched_bytes > MAX_UNMATCHED_BYTES {
                self.settle().map_err(Ended::Here)?;
            }
        }
        Ok(())
    }

    /// Two of one id.
    fn pair(&mut self, original: &Element, candidate: &Element) -> Result<(), String> {
        self.messages += 1;
        let sides = [original, candidate].map(|element| Entries::of(&element.json));
        let [one, two] = &sides;
        let (Some(one), Some(two)) = (one, two) else {
            self.differ(original, candidate, false);
            return Ok(());
        };
        if original.json != candidate.json {
            let is_deleted = [one, two].iter().all(|side| side.get("deleted") == Some("true"));
            self.differ(original, candidate, is_deleted);
        }
        let files = [one, two].map(|side| side.text("attached_file"));
        if let [Some(file), Some(other)] = files {
            let message = original.id().map(str::to_owned);
            let attached = Attached { message, original: file, candidate: other };
            self.attached.push(&attached).map_err(|error| format!("a temporary file: {error}"))?;
        }
        Ok(())
    }

    fn differ(&self, original: &Element, candidate: &Element, is_deleted: bool) {
        let at = self.at_message(original);
        let mut path = MESSAGE.to_owned();
        compare(&mut path, &original.json, &candidate.json, &mut |difference| {
            self.ledger.tell(&at, difference, is_deleted);
        });
    }

    fn at_message(&self, element: &Element) -> Where {
        Where { message: element.id().map(str::to_owned), ..self.at.clone() }
    }

    /// Tells of what has found no other until now.
    fn settle(&mut self) -> Result<(), String> {
        let [original, candidate] = std::mem::take(&mut self.unmatched);
        self.unmatched_bytes = 0;
        let mut others: HashMap<String, VecDeque<Element>> = HashMap::new();
        for element in candidate {
            others.entry(element.key.clone()).or_default().push_back(element);
        }
        for element in original {
            let other = others.get_mut(&element.key).and_then(VecDeque::pop_front);
            let Some(other) = other else {
                self.tell(Kind::Missing, &element);
                continue;
            };
            self.tell(Kind::Order, &element);
            self.pair(&element, &other)?;
        }
        let mut extra: Vec<_> = others.into_values().flatten().collect();
        extra.sort_by(|one, two| (one.key.len(), &one.key).cmp(&(two.key.len(), &two.key)));
        for element in extra {
            self.tell(Kind::Extra, &element);
        }
        Ok(())
    }

    fn tell(&self, kind: Kind, element: &Element) {
        let json = Some(element.json.as_str());
        let (original, candidate) = match kind {
            Kind::Missing => (json, None),
            Kind::Extra => (None, json),
            Kind::Order | Kind::Type | Kind::Value | Kind::Malformed => (None, None),
        };
        let difference = Difference { path: MESSAGE, kind, original, candidate };
        self.ledger.tell(&self.at_message(element), difference, false);
    }
}

#[cfg(test)]
mod tests;
