//! Whether all is here as it is there, by what the database has at the end, whoever wrote it.

use super::{
    digest::{self, Digests},
    report::Followed,
    take::Run,
};
use crate::{
    original::{Facts, SPAN_IDS, Span},
    transfer::TransferError,
};

/// Beyond it, reading all that there is in its order takes less.
const MAX_RANGES: usize = 64;

/// Compares counts of users, threads and messages, what messages are in each span of ids, and the digests of those that were read.
pub(super) async fn verify(
    run: &mut Run,
    facts: &Facts,
    spans: &[Span],
) -> Result<(), TransferError> {
    let here = run.intake.count_users().await.map_err(TransferError::Read)?;
    let refused = |report: &Followed, kind: &str| report.refused_of.get(kind).copied().unwrap_or(0);
    let expected = facts.users.saturating_sub(refused(&run.report, "user"));
    if here < expected {
        run.report.differ(format!("users: {here} here, of {expected}"));
    }
    let (here, _) =
        run.intake.count_threads(facts.newest_thread).await.map_err(TransferError::Read)?;
    let expected = facts.threads.saturating_sub(refused(&run.report, "thread"));
    if here < expected {
        run.report.differ(format!("threads: {here} here, of {expected}"));
    }
    compare_spans(run, facts, spans).await?;
    compare_digests(run, facts.newest_message).await
}

async fn compare_spans(run: &mut Run, facts: &Facts, spans: &[Span]) -> Result<(), TransferError> {
    let here = run.intake.spans(facts.newest_message).await.map_err(TransferError::Read)?;
    let mut here = here.into_iter().peekable();
    for span in spans {
        while let Some(other) = here.next_if(|other| other.number < span.number) {
            run.report.differ(of_others(&other));
        }
        let found = here.next_if(|other| other.number == span.number);
        let refused = run.report.refused_messages.get(&span.number).copied().unwrap_or(0);
        let is_same = match (found, refused) {
            (Some(found), 0) => found == *span,
            // What was refused is not known so well that the rest could be told.
            (found, refused) => found.map_or(0, |found| found.messages) == span.messages - refused,
        };
        if !is_same {
            let count = found.map_or(0, |found| found.messages);
            let what = match count == span.messages - refused {
                true => "not all are as they are there".to_owned(),
                false => format!("{count} here, of {}", span.messages - refused),
            };
            run.report.differ(format!("{}: {what}", name(span.number)));
        }
    }
    for other in here {
        run.report.differ(of_others(&other));
    }
    Ok(())
}

async fn compare_digests(run: &mut Run, newest: i64) -> Result<(), TransferError> {
    let mut here = Digests::default();
    if run.taken.len() > MAX_RANGES {
        let mut after = (0, 0);
        loop {
            let page = run.intake.stored(&mut after).await.map_err(TransferError::Read)?;
            if page.is_empty() {
                break;
            }
            for line in page.iter().filter(|line| line.id <= newest) {
                here.add(line.id, digest::of(line));
            }
        }
    } else {
        let numbers: Vec<_> = run.taken.spans().map(|(number, _)| number).collect();
        for number in numbers {
            let before = number.saturating_mul(SPAN_IDS).saturating_sub(1);
            let last = before.saturating_add(SPAN_IDS).min(newest);
            let page = run.intake.stored_in(before, last).await.map_err(TransferError::Read)?;
            for line in &page {
                here.add(line.id, digest::of(line));
            }
        }
    }
    let mut differing = Vec::new();
    for (number, expected) in run.taken.spans() {
        run.report.verified += expected.0;
        if here.of(number) != expected {
            differing.push(number);
        }
    }
    for number in differing {
        run.report.differ(format!("{}: another content here than there", name(number)));
    }
    Ok(())
}

fn name(span: i64) -> String {
    let first = span.saturating_mul(SPAN_IDS);
    format!("messages {} to {}", first.max(1), first.saturating_add(SPAN_IDS - 1))
}

fn of_others(span: &Span) -> String {
    format!("{}: {} here, and none there", name(span.number), span.messages)
}
