//! What becomes of a message that goes back.

use std::cmp::Ordering;

use super::{
    known::digest,
    row::{body, updated},
    was::Was,
};
use crate::lines::MessageLine;

const MICROS_A_MILLI: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The original has it so already.
    Same,
    New,
    Changed,
    /// Of the sender alone, whom the receiver has blocked: the original has nothing of the kind.
    Swallowed,
    /// Retention has removed it. What the original has stays there.
    Removed,
    /// The original's row is not understood.
    Unread,
    /// The original's row is another message. It stays.
    Other,
    /// The original's text is another one, and not older. It stays.
    Newer,
}

impl Fate {
    /// `users`: what the original calls sender and receiver, as far as it knows them.
    pub(super) fn of(
        line: &MessageLine,
        was: Option<&Was>,
        users: [Option<&String>; 2],
        seen: bool,
    ) -> Self {
        match was {
            _ if line.removed => Self::Removed,
            None if line.swallowed => Self::Swallowed,
            None => Self::New,
            Some(was) if !was.is_read => Self::Unread,
            Some(was) if !is_same_message(line, was, users) => Self::Other,
            // Its text is there alone.
            Some(was) if was.deleted => Self::Same,
            Some(was) => {
                let is_other_text = digest(body(line)) != was.digest;
                if is_other_text && is_newer(line, was) {
                    return Self::Newer;
                }
                let is_news = line.deleted || seen && !was.seen || is_other_text;
                if is_news { Self::Changed } else { Self::Same }
            }
        }
    }
}

fn is_same_message(line: &MessageLine, was: &Was, users: [Option<&String>; 2]) -> bool {
    let [sender, receiver] = users;
    was.thread_id == line.thread_id
        && sender.is_none_or(|sender| *sender == was.sender)
        && receiver.is_none_or(|receiver| *receiver == was.receiver)
        && compare(was.created, line.created.0).is_eq()
}

/// Who edits a message here makes it later. So one that is not later is as it was taken, and the original has changed its own,
/// with `updated` or, by Django's `update()`, without. One that is deleted here as it was taken is so there, too.
fn is_newer(line: &MessageLine, was: &Was) -> bool {
    match compare(was.updated, updated(line).0) {
        Ordering::Greater => true,
        Ordering::Equal => !line.deleted,
        Ordering::Less => false,
    }
}

/// Two times of which one may have been cut off to milliseconds, as in a fixture.
fn compare(one: i64, two: i64) -> Ordering {
    let cut = |micros: i64| micros.div_euclid(MICROS_A_MILLI) * MICROS_A_MILLI;
    if cut(one) == two || one == cut(two) { Ordering::Equal } else { one.cmp(&two) }
}
