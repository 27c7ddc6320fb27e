//! The check that every message arrived exactly once and in order.

use std::{collections::BTreeSet, ops::AddAssign};

use serde::Serialize;

/// A figure that is worth nothing where messages went wrong.
pub(crate) trait Checked {
    /// How many messages were lost, came twice or out of order. None, where that would have been an error.
    fn wrong(&self) -> u64 {
        0
    }
}

/// What one sender's messages did on their way to one receiver.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: u32,
    /// Passed over so far.
    missing: BTreeSet<u32>,
    last_id: u64,
    verdict: Verdict,
}

/// What went wrong, in messages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) arrived: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// After a later one, or with an id not above that of the one before.
    pub(crate) out_of_order: u64,
}

impl Ledger {
    pub(crate) fn arrived(&mut self, number: u32, id: u64) {
        self.verdict.arrived += 1;
        if number < self.next {
            if self.missing.remove(&number) {
                self.verdict.out_of_order += 1;
            } else {
                self.verdict.duplicated += 1;
            }
            return;
        }
        self.missing.extend(self.next..number);
        self.next = number + 1;
        if id <= self.last_id {
            self.verdict.out_of_order += 1;
        }
        self.last_id = id;
    }

    /// The verdict on as many messages as were sent.
    pub(crate) fn close(&self, sent: u32) -> Verdict {
        let never_passed = u64::from(sent.saturating_sub(self.next));
        Verdict { lost: self.missing.len() as u64 + never_passed, ..self.verdict }
    }
}

impl Checked for Verdict {
    fn wrong(&self) -> u64 {
        self.lost + self.duplicated + self.out_of_order
    }
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.arrived += other.arrived;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(arrivals: &[(u32, u64)], sent: u32) -> Verdict {
        let mut ledger = Ledger::default();
        for (number, id) in arrivals {
            ledger.arrived(*number, *id);
        }
        ledger.close(sent)
    }

    fn clean(arrived: u64) -> Verdict {
        Verdict { arrived, ..Verdict::default() }
    }

    #[test]
    fn everything_once_and_in_order_is_clean() {
        let verdict = verdict(&[(0, 5), (1, 9), (2, 10)], 3);
        assert_eq!(verdict, clean(3));
        assert_eq!(verdict.wrong(), 0);
    }

    #[test]
    fn a_loss_is_seen_in_the_middle_and_at_the_end() {
        assert_eq!(verdict(&[(0, 1), (2, 3)], 3), Verdict { lost: 1, ..clean(2) });
        assert_eq!(verdict(&[(0, 1)], 3), Verdict { lost: 2, ..clean(1) });
        assert_eq!(verdict(&[], 2), Verdict { lost: 2, ..clean(0) });
    }

    #[test]
    fn a_duplicate_is_seen_at_once_and_later() {
        assert_eq!(verdict(&[(0, 1), (0, 1), (1, 2)], 2), Verdict { duplicated: 1, ..clean(3) });
        assert_eq!(verdict(&[(0, 1), (1, 2), (0, 1)], 2), Verdict { duplicated: 1, ..clean(3) });
    }

    #[test]
    fn what_comes_after_a_later_one_is_out_of_order_and_not_lost() {
        let verdict = verdict(&[(0, 1), (2, 3), (1, 2)], 3);
        assert_eq!(verdict, Verdict { out_of_order: 1, ..clean(3) });
        assert_eq!(verdict.wrong(), 1);
    }

    #[test]
    fn ids_must_grow() {
        assert_eq!(verdict(&[(0, 7), (1, 7)], 2), Verdict { out_of_order: 1, ..clean(2) });
    }
}
