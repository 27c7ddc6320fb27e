//! What came of it all, and whether that is what was promised.

use std::{collections::BTreeMap, time::Duration};

use super::probe::Slowest;

/// What is promised: from the return of what was broken until everybody gets messages through to everybody, or from its end
/// where something else takes over.
const LONGEST_RECOVERY: Duration = Duration::from_secs(5);
/// What is promised: from a request to its refusal.
const LONGEST_REFUSAL: Duration = Duration::from_secs(2);
/// A run of this length, or a longer one, has to amount to something.
const LONG_RUN: Duration = Duration::from_secs(10 * 60);
const LEAST_FAULTS: usize = 200;
const LEAST_STORED: usize = 200_000;

#[derive(Debug, Default)]
pub(super) struct Record {
    /// By the name of the fault. Two at once count for both.
    recoveries: BTreeMap<String, Vec<Duration>>,
    slowest_refusal: Slowest,
    pub(super) stored: usize,
    pub(super) delivered: usize,
    pub(super) lists_refused: usize,
    /// Of sends, as all that wait for longer than `--store-wait`.
    pub(super) refused_in_long_pause: usize,
    pub(super) unknown: usize,
    pub(super) violations: Vec<String>,
}

impl Record {
    pub(super) fn faults(&self) -> usize {
        self.recoveries.values().map(Vec::len).sum()
    }

    /// Notes how long service was not back after the faults of one strike were over.
    pub(super) fn recovered(&mut self, faults: Vec<String>, took: Duration) {
        if took > LONGEST_RECOVERY {
            let faults = faults.join(" and ");
            self.violations.push(format!("{took:.2?} to recover from {faults}"));
        }
        for fault in faults {
            self.recoveries.entry(fault).or_default().push(took);
        }
    }

    /// Notes the longest that somebody waited to be refused.
    pub(super) fn refused_after(&mut self, slowest: Slowest) {
        let Slowest(took, what) = slowest;
        if took > LONGEST_REFUSAL {
            self.violations.push(format!("{took:.2?} to refuse {what}"));
        }
        self.slowest_refusal = self.slowest_refusal.max(slowest);
    }

    /// Whether a run was long enough to prove something, and did.
    pub(super) fn judge(&mut self, length: Duration) {
        for (what, count, least) in [
            ("faults", self.faults(), LEAST_FAULTS),
            ("messages stored", self.stored, LEAST_STORED),
        ] {
            if length >= LONG_RUN && count < least {
                self.violations.push(format!("{count} {what} instead of {least}"));
            }
        }
    }

    pub(super) fn print(&mut self, elapsed: Duration) {
        eprintln!("\n{:<28} {:>6} {:>13} {:>13}", "fault", "times", "recovery p50", "max");
        for (name, times) in &mut self.recoveries {
            times.sort_unstable();
            let (middle, last) = (times[times.len() / 2], times[times.len() - 1]);
            eprintln!("{name:<28} {:>6} {middle:>13.2?} {last:>13.2?}", times.len());
        }
        eprintln!(
            "\n{} faults in {elapsed:.0?}\n{} messages stored, {} delivered",
            self.faults(),
            self.stored,
            self.delivered,
        );
        let Slowest(took, what) = self.slowest_refusal;
        eprintln!("{} lists refused, the slowest, {what}, after {took:.2?}", self.lists_refused);
        eprintln!(
            "{} sends refused in the long pause, {} of unknown outcome",
            self.refused_in_long_pause, self.unknown
        );
        eprintln!("{} violations", self.violations.len());
        for violation in &self.violations {
            eprintln!("  {violation}");
        }
    }
}
