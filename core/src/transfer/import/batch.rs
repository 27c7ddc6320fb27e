//! Lines as they are read: so many at a time, those of a kind that follow each other together.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
};

use serde::Deserialize;

use super::BadLine;
use crate::{
    lines::{BlockLine, LineKind, MarkLine, MessageLine, RevocationLine, ThreadLine, UserLine},
    store::transfer::PAGE_ROWS,
};

/// A longer line is none of ours: a body of control characters takes six bytes for each.
const MAX_LINE_BYTES: u64 = 8 * 1024 * 1024;
/// So much is enough for a batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Lines of one kind that follow each other, and their numbers.
pub(super) enum Group {
    Users(Vec<UserLine>),
    Threads(Vec<ThreadLine>),
    Messages(Vec<MessageLine>),
    Marks(Vec<MarkLine>),
    Blocks(Vec<BlockLine>),
    Revocations(Vec<RevocationLine>),
}

pub(super) struct Batch {
    pub(super) reader: BufReader<File>,
    pub(super) groups: Vec<(Vec<u64>, Group)>,
    pub(super) refused: Vec<BadLine>,
    pub(super) lines: u64,
    pub(super) is_last: bool,
    pub(super) failed: Option<io::Error>,
}

/// As many as make a transaction; `first` is the number of the first of them.
pub(super) fn read(reader: BufReader<File>, first: u64) -> Batch {
    let (groups, refused) = (Vec::new(), Vec::new());
    let mut batch = Batch { reader, groups, refused, lines: 0, is_last: false, failed: None };
    let mut bytes = 0;
    while bytes < BATCH_BYTES && batch.lines < PAGE_ROWS as u64 {
        let mut line = Vec::new();
        let read = batch.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        match read {
            Ok(0) => {
                batch.is_last = true;
                break;
            }
            Ok(read) => bytes += read,
            Err(error) => {
                batch.failed = Some(error);
                break;
            }
        }
        let number = first + batch.lines;
        batch.lines += 1;
        let is_cut = line.len() as u64 == MAX_LINE_BYTES && line.last() != Some(&b'\n');
        let parsed = match is_cut {
            true => Err(format!("longer than {MAX_LINE_BYTES} bytes")),
            false => parse(&line, number, &mut batch.groups),
        };
        if let Err(reason) = parsed {
            batch.refused.push(BadLine { number, reason });
            if is_cut && let Err(error) = batch.reader.skip_until(b'\n') {
                batch.failed = Some(error);
                break;
            }
        }
    }
    batch
}

/// Adds a line to the group of its kind that it follows, or begins another. Empty lines are none.
fn parse(line: &[u8], number: u64, groups: &mut Vec<(Vec<u64>, Group)>) -> Result<(), String> {
    #[derive(Deserialize)]
    struct OfKind {
        #[serde(rename = "type")]
        kind: LineKind,
    }
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    // Arrays would be taken for the fields in their order.
    if line.first() != Some(&b'{') {
        return Err("expected a JSON object".to_owned());
    }
    let of = |error: serde_json::Error| error.to_string();
    let OfKind { kind } = serde_json::from_slice(line).map_err(of)?;
    macro_rules! add {
        ($group:ident) => {{
            let line = serde_json::from_slice(line).map_err(of)?;
            match groups.last_mut() {
                Some((numbers, Group::$group(lines))) => {
                    numbers.push(number);
                    lines.push(line);
                }
                Some(_) | None => groups.push((vec![number], Group::$group(vec![line]))),
            }
        }};
    }
    match kind {
        LineKind::User => add!(Users),
        LineKind::Thread => add!(Threads),
        LineKind::Message => add!(Messages),
        LineKind::Mark => add!(Marks),
        LineKind::Block => add!(Blocks),
        LineKind::Revocation => add!(Revocations),
        LineKind::Session => return Err("a session is of one user's data alone".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_kind_that_follow_each_other_go_together() {
        let mark = br#"{"type":"mark","thread_id":1,"user_id":"96bf0d3f-720d-4620-8dee-0f59f997cb51","seen_id":1,"delivered_id":2}"#;
        let all = br#"{"type":"revocation","issued_until":5}"#;
        let mut groups = Vec::new();
        for (number, line) in (1..).zip([&mark[..], &mark[..], b" \n", &all[..], &mark[..]]) {
            parse(line, number, &mut groups).expect("a line");
        }
        let numbers: Vec<_> = groups.iter().map(|(numbers, _)| numbers.clone()).collect();
        assert_eq!(numbers, [vec![1, 2], vec![4], vec![5]]);
        for wrong in [
            "{}",
            "[",
            "[\"revocation\",null,null,5,null]",
            "{\"type\":\"colour\"}",
            "{\"type\":\"mark\"}",
            "\u{feff}{}",
        ] {
            assert!(parse(wrong.as_bytes(), 1, &mut groups).is_err(), "{wrong}");
        }
    }
}
