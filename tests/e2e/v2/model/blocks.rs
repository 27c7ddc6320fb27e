//! Which blocks are known to hold.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::asked::Asked;

/// A block, or the end of one, that was asked for.
#[derive(Debug)]
struct Asking {
    blocker: usize,
    blocked: usize,
    blocks: bool,
    /// How many had been asked for when its answer was heard.
    answered: Option<usize>,
    heard: Option<Instant>,
}

/// In the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Asking>);

impl Blocks {
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn ask(&mut self, blocker: usize, blocked: usize, blocks: bool) {
        self.0.push(Asking { blocker, blocked, blocks, answered: None, heard: None });
    }

    /// Notes the answers among these.
    pub(super) fn hear(&mut self, told: &[(Asked, Value)]) {
        let count = self.0.len();
        for (asked, answer) in told {
            if let Asked::Block { number } = asked
                && answer["action"] == "ack"
            {
                self.0[*number].answered.get_or_insert(count);
                self.0[*number].heard.get_or_insert_with(Instant::now);
            }
        }
    }

    fn of(&self, blocker: usize, blocked: usize) -> impl Iterator<Item = (usize, &Asking)> {
        let is_it = move |asking: &Asking| (asking.blocker, asking.blocked) == (blocker, blocked);
        self.0.iter().enumerate().filter(move |(_, asking)| is_it(asking))
    }

    /// Whether a block was acknowledged that was asked for behind the answer to each end of one.
    pub(super) fn is_known(&self, blocker: usize, blocked: usize) -> bool {
        let ends = || self.of(blocker, blocked).filter(|(_, asking)| !asking.blocks);
        self.of(blocker, blocked).any(|(number, asking)| {
            asking.blocks
                && asking.answered.is_some()
                && ends().all(|(_, end)| end.answered.is_some_and(|heard| heard <= number))
        })
    }

    /// Since when no answer has come; nothing without any.
    pub(super) fn are_known_for(&self) -> Option<Duration> {
        self.0.iter().filter_map(|asking| asking.heard).max().map(|heard| heard.elapsed())
    }

    /// Whether an end was asked for since so many had been.
    pub(super) fn has_ended_since(&self, count: usize, blocker: usize, blocked: usize) -> bool {
        self.of(blocker, blocked).any(|(number, asking)| number >= count && !asking.blocks)
    }
}
