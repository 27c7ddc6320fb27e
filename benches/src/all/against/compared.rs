//! A figure of two builds over several turns, and what is to be thought of it.

use serde::Serialize;

use super::figure::{Better, Figure};

/// How much worse than the other a build may be.
pub(super) const TOLERANCE: f64 = 0.03;

/// How this build does against the other, by the median of its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// Worse by more than [`TOLERANCE`].
    Beyond,
    Within,
    /// Better by more than [`TOLERANCE`].
    Better,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Compared {
    pub(super) what: &'static str,
    pub(super) better: Better,
    pub(super) unit: &'static str,
    /// What this build and the other did in each turn.
    pub(super) this: Vec<f64>,
    pub(super) other: Vec<f64>,
    /// This build by the other, of each turn.
    pub(super) ratios: Vec<f64>,
    /// Of the ratios, as all that follows.
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) greatest: f64,
    /// Turns in which this build was worse, by however little. Of two equal builds it is about half.
    pub(super) worse_turns: usize,
    pub(super) verdict: Verdict,
}

impl Compared {
    /// Of one or more turns of one figure: this build, and the other.
    pub(super) fn new(turns: &[(Figure, Figure)]) -> Self {
        let Figure { what, better, unit, .. } = turns[0].0;
        let ratios: Vec<f64> =
            turns.iter().map(|(this, other)| ratio(this.value, other.value)).collect();
        let median = median(&ratios);
        let verdict = if better.is_worse(median, TOLERANCE) {
            Verdict::Beyond
        } else if better.is_better(median, TOLERANCE) {
            Verdict::Better
        } else {
            Verdict::Within
        };
        Self {
            what,
            better,
            unit,
            this: turns.iter().map(|(this, _)| this.value).collect(),
            other: turns.iter().map(|(_, other)| other.value).collect(),
            median,
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            greatest: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            worse_turns: ratios.iter().filter(|ratio| better.is_worse(**ratio, 0.0)).count(),
            ratios,
            verdict,
        }
    }

    pub(super) fn is_beyond(&self) -> bool {
        self.verdict == Verdict::Beyond
    }
}

/// 1 of two that are equal, of two that are nothing too.
fn ratio(this: f64, other: f64) -> f64 {
    if this == other { 1.0 } else { this / other }
}

/// Of an even number the middle between the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(figure: fn(f64) -> Figure, turns: &[(f64, f64)]) -> Compared {
        let turns: Vec<_> =
            turns.iter().map(|(this, other)| (figure(*this), figure(*other))).collect();
        Compared::new(&turns)
    }

    fn rate(value: f64) -> Figure {
        Figure::more("rate", value, "/s")
    }

    fn latency(value: f64) -> Figure {
        Figure::less("latency", value, " ms")
    }

    #[test]
    fn the_median_is_the_one_in_the_middle_or_between_two() {
        assert_eq!(median(&[7.0]), 7.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn a_turn_is_held_against_its_own_other_half() {
        // The machine halves its pace between the turns: no ratio shows it.
        let compared = of(rate, &[(100.0, 80.0), (50.0, 50.0), (49.0, 50.0)]);
        assert_eq!(compared.ratios, [1.25, 1.0, 0.98]);
        assert_eq!((compared.median, compared.least, compared.greatest), (1.0, 0.98, 1.25));
        assert_eq!(compared.worse_turns, 1);
        assert_eq!(compared.verdict, Verdict::Within);
    }

    #[test]
    fn three_percent_are_within_and_more_is_beyond() {
        assert_eq!(of(rate, &[(97.0, 100.0)]).verdict, Verdict::Within);
        assert_eq!(of(rate, &[(96.9, 100.0)]).verdict, Verdict::Beyond);
        assert_eq!(of(rate, &[(103.1, 100.0)]).verdict, Verdict::Better);
        assert_eq!(of(latency, &[(103.0, 100.0)]).verdict, Verdict::Within);
        assert_eq!(of(latency, &[(103.1, 100.0)]).verdict, Verdict::Beyond);
        assert_eq!(of(latency, &[(96.9, 100.0)]).verdict, Verdict::Better);
    }

    #[test]
    fn one_turn_that_went_badly_decides_nothing() {
        let compared = of(rate, &[(100.0, 100.0), (50.0, 100.0), (99.0, 100.0)]);
        assert_eq!(compared.verdict, Verdict::Within);
        assert_eq!(compared.least, 0.5);
        assert_eq!(compared.worse_turns, 2);
    }

    #[test]
    fn nothing_by_nothing_is_equal_and_something_by_nothing_is_worse() {
        assert_eq!(of(latency, &[(0.0, 0.0)]).ratios, [1.0]);
        assert_eq!(of(latency, &[(0.0, 0.0)]).worse_turns, 0);
        assert!(of(latency, &[(1.0, 0.0)]).is_beyond());
        assert_eq!(of(latency, &[(0.0, 1.0)]).verdict, Verdict::Better);
    }
}
