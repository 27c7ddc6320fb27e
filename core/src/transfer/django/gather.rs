//! What of the original is not here as it is there, read in one of its snapshots and put aside. Files are looked at later: by then
//! nothing of the original is held.

use std::collections::{BTreeSet, HashMap};

use super::{
    report::Followed,
    rows::{Reading, Row, Rows},
};
use crate::{
    original::{BadRow, Facts, Original, Span},
    store::transfer::intake::Intake,
    transfer::TransferError,
};

#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) facts: Facts,
    /// What messages are there.
    pub(super) spans: Vec<Span>,
    pub(super) rows: Reading,
    /// How many there are of them.
    pub(super) read: u64,
    pub(super) report: Followed,
}

/// What is read also where nothing differs.
#[derive(Debug)]
pub(super) enum Again {
    All,
    /// By their numbers.
    Spans(BTreeSet<i64>),
}

/// `progress` is told how many rows were read so far.
pub(super) async fn gather(
    original: &mut Original,
    intake: &mut Intake,
    again: &Again,
    mut progress: impl FnMut(u64),
) -> Result<Gathered, TransferError> {
    let facts = original.begin().await?;
    let mut aside = Aside { rows: Rows::new().await?, read: 0, report: Followed::default() };
    let mut after = None;
    loop {
        let page = original.users(&mut after).await?;
        if page.is_empty() {
            break;
        }
        aside.put(page, Row::User).await?;
        progress(aside.read);
    }
    // A thread never changes.
    let here = intake.count_threads(facts.newest_thread).await.map_err(TransferError::Read)?;
    if matches!(again, Again::All) || here != (facts.threads, facts.newest_thread) {
        let mut after = i64::MIN;
        loop {
            let page = original.threads(&mut after).await?;
            if page.is_empty() {
                break;
            }
            aside.put(page, Row::Thread).await?;
            progress(aside.read);
        }
    }
    let spans = original.spans(facts.newest_message).await?;
    let is_new = intake.newest_message().await.map_err(TransferError::Read)? == 0;
    let ranges = match again {
        Again::Spans(again) if !is_new => {
            let here = intake.spans(facts.newest_message).await.map_err(TransferError::Read)?;
            differing(&spans, &here, again)
        }
        Again::All | Again::Spans(_) => vec![(i64::MIN, facts.newest_message)],
    };
    for (before, last) in ranges {
        let last = last.min(facts.newest_message);
        let mut after = before;
        loop {
            let page = original.messages(&mut after, last).await?;
            if page.is_empty() {
                break;
            }
            aside.report.read += page.len() as u64;
            aside.put(page, Row::Message).await?;
            progress(aside.read);
        }
    }
    original.end().await?;
    let Aside { rows, read, report } = aside;
    Ok(Gathered { facts, spans, rows: rows.read().await?, read, report })
}

struct Aside {
    rows: Rows,
    read: u64,
    report: Followed,
}

impl Aside {
    async fn put<T>(
        &mut self,
        page: Vec<Result<T, BadRow>>,
        row: impl Fn(T) -> Row,
    ) -> Result<(), TransferError> {
        self.read += page.len() as u64;
        let mut rows = Vec::with_capacity(page.len());
        for read in page {
            match read {
                Ok(read) => rows.push(row(read)),
                Err(bad) => self.report.refuse(bad),
            }
        }
        self.rows.write(rows).await
    }
}

/// Ids (after the first, up to the second) of spans that are not the same here, or are read again; those that touch are one range.
fn differing(there: &[Span], here: &[Span], again: &BTreeSet<i64>) -> Vec<(i64, i64)> {
    let here: HashMap<_, _> = here.iter().map(|span| (span.number, span)).collect();
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    let is_read =
        |span: &Span| here.get(&span.number) != Some(&span) || again.contains(&span.number);
    for span in there.iter().filter(|span| is_read(span)) {
        match ranges.last_mut() {
            Some((_, last)) if *last == span.after() => *last = span.last(),
            Some(_) | None => ranges.push((span.after(), span.last())),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(number: i64, messages: i64) -> Span {
        let updated = 1_718_623_701_902_531;
        Span { number, messages, seen: 0, deleted: 0, files: 0, characters: messages, updated }
    }

    #[test]
    fn ranges_are_of_spans_that_differ_or_are_missing() {
        let there = [span(0, 9), span(1, 9), span(2, 9), span(5, 9), span(7, 9)];
        let none = BTreeSet::new();
        assert_eq!(differing(&there, &there, &none), []);
        assert_eq!(differing(&there, &[], &none), [(-1, 2_999), (4_999, 5_999), (6_999, 7_999)]);
        let here = [span(0, 9), span(1, 8), span(5, 9), span(6, 1), Span { seen: 1, ..span(7, 9) }];
        assert_eq!(differing(&there, &here, &none), [(999, 2_999), (6_999, 7_999)]);
        // Nothing is read of a span that is not there any more.
        let again = BTreeSet::from([1, 5, 6]);
        assert_eq!(differing(&there, &there, &again), [(999, 1_999), (4_999, 5_999)]);
    }
}
