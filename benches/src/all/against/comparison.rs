//! What two builds did by turns: a table for people, JSON for programs.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    compared::{Compared, Verdict, median},
    figure::Better,
    scenario::Scenario,
    turns::{Failed, Which},
};
use crate::{
    report::machine,
    table::{aligned, short},
};

#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    machine: BTreeMap<&'static str, String>,
    this: PathBuf,
    other: PathBuf,
    pub(super) measured: Vec<Measured>,
    pub(super) unmeasured: Vec<Unmeasured>,
}

/// The figures of a scenario that was measured on both.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    #[serde(flatten)]
    pub(super) scenario: &'static Scenario,
    pub(super) figures: Vec<Compared>,
}

#[derive(Debug, Serialize)]
pub(super) struct Unmeasured {
    #[serde(flatten)]
    scenario: &'static Scenario,
    /// On neither where it is none.
    on: Option<Which>,
    why: String,
}

impl Unmeasured {
    /// On neither.
    pub(super) fn lacking(scenario: &'static Scenario, why: &str) -> Self {
        Self { scenario, on: None, why: why.to_owned() }
    }

    pub(super) fn failed(scenario: &'static Scenario, Failed { which, why }: Failed) -> Self {
        Self { scenario, on: Some(which), why }
    }
}

impl Comparison {
    pub(super) fn new(this: &Path, other: &Path) -> Self {
        Self {
            machine: machine(),
            this: this.to_owned(),
            other: other.to_owned(),
            measured: Vec::new(),
            unmeasured: Vec::new(),
        }
    }

    pub(super) fn is_beyond(&self) -> bool {
        self.measured.iter().any(|measured| measured.figures.iter().any(Compared::is_beyond))
    }

    /// Whether something was compared, nothing is beyond, and this build could be measured. What the other cannot
    /// do is no fault of this.
    pub(crate) fn holds(&self) -> bool {
        let broken = self.unmeasured.iter().any(|one| one.on == Some(Which::This));
        !self.measured.is_empty() && !self.is_beyond() && !broken
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "this build:  {}", self.this.display())?;
        writeln!(f, "the other:   {}\n", self.other.display())?;
        let mut rows = vec![HEAD.map(str::to_owned)];
        for Measured { scenario, figures } in &self.measured {
            rows.extend(figures.iter().map(|figure| row(scenario, figure)));
        }
        f.write_str(&aligned(&rows))?;
        for Unmeasured { scenario, on, why } in &self.unmeasured {
            let Scenario { number, what, .. } = scenario;
            write!(f, "\nnot measured: {number}, {what}")?;
            on.map_or(Ok(()), |which| write!(f, ", on {which}"))?;
            writeln!(f, ": {why}")?;
        }
        Ok(())
    }
}

const HEAD: [&str; 10] = [
    "",
    "figure",
    "better",
    "this",
    "other",
    "this / other, each turn",
    "median",
    "spread",
    "worse in",
    "",
];

fn row(scenario: &Scenario, figure: &Compared) -> [String; HEAD.len()] {
    let better = match figure.better {
        Better::More => "more",
        Better::Less => "less",
    };
    let verdict = match figure.verdict {
        Verdict::Beyond => "BEYOND",
        Verdict::Within => "within",
        Verdict::Better => "better",
    };
    let value = |values| format!("{}{}", short(median(values)), figure.unit);
    let ratios: Vec<_> = figure.ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
    [
        scenario.number.to_owned(),
        format!("{}: {}", scenario.what, figure.what),
        better.to_owned(),
        value(&figure.this),
        value(&figure.other),
        ratios.join(" "),
        format!("{:.3}", figure.median),
        format!("{:.3} to {:.3}", figure.least, figure.greatest),
        format!("{} of {}", figure.worse_turns, figure.ratios.len()),
        verdict.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::figure::Figure, super::scenario::ALL, *};

    fn with_rate(rate: f64) -> Comparison {
        let mut comparison = Comparison::new(Path::new("this"), Path::new("other"));
        let turn = (Figure::more("messages", rate, "/s"), Figure::more("messages", 100.0, "/s"));
        let figures = vec![Compared::new(&[turn])];
        comparison.measured.push(Measured { scenario: &ALL[0], figures });
        comparison
    }

    fn failed(which: Which) -> Unmeasured {
        Unmeasured::failed(&ALL[1], Failed { which, why: "no such flag".to_owned() })
    }

    #[test]
    fn it_holds_where_something_was_measured_and_nothing_is_beyond() {
        assert!(with_rate(99.0).holds());
        assert!(!with_rate(90.0).holds());
        assert!(!Comparison::new(Path::new("this"), Path::new("other")).holds());
    }

    #[test]
    fn what_the_other_build_cannot_do_is_said_and_no_fault_of_this() {
        let mut comparison = with_rate(100.0);
        comparison.unmeasured.push(failed(Which::Other));
        assert!(comparison.holds());
        let said = "not measured: S2, 50 pairs, split, on the other build: no such flag";
        assert!(comparison.to_string().contains(said), "{comparison}");
        comparison.unmeasured.push(failed(Which::This));
        assert!(!comparison.holds());
    }

    #[test]
    fn a_figure_that_is_beyond_is_marked() {
        let marked = |rate| with_rate(rate).to_string().contains("BEYOND");
        assert!(marked(96.0) && !marked(97.0));
    }
}
