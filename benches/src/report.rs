//! What a run showed: a table for people, JSON for programs.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;
use serde_json::Value;

use crate::{
    Result,
    table::{aligned, short},
};

/// One figure and what it is to reach.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) number: &'static str,
    pub(crate) what: String,
    pub(crate) target: String,
    pub(crate) measured: String,
    /// Above 1 the figure is better than its target.
    pub(crate) ratio: f64,
    pub(crate) pass: bool,
}

/// All that a run measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: BTreeMap<&'static str, String>,
    pub(crate) lines: Vec<Line>,
    /// Everything measured, by name.
    pub(crate) details: BTreeMap<String, Value>,
    /// Messages lost, duplicated or out of order, anywhere.
    pub(crate) wrong: u64,
}

impl Line {
    /// A figure that must not be below its target.
    pub(crate) fn at_least(
        number: &'static str,
        what: impl Into<String>,
        target: f64,
        measured: f64,
        unit: &str,
    ) -> Self {
        Self::new(number, what, (">=", target, measured), measured / target, unit)
    }

    /// A figure that must not be above its target.
    pub(crate) fn at_most(
        number: &'static str,
        what: impl Into<String>,
        target: f64,
        measured: f64,
        unit: &str,
    ) -> Self {
        Self::new(number, what, ("<=", target, measured), target / measured, unit)
    }

    fn new(
        number: &'static str,
        what: impl Into<String>,
        (relation, target, measured): (&str, f64, f64),
        ratio: f64,
        unit: &str,
    ) -> Self {
        Self {
            number,
            what: what.into(),
            target: format!("{relation} {}{unit}", short(target)),
            measured: format!("{}{unit}", short(measured)),
            ratio,
            pass: ratio >= 1.0,
        }
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { machine: machine(), ..Self::default() }
    }

    pub(crate) fn detail(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        self.details.insert(name.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    /// The table, as Markdown.
    pub(crate) fn table(&self) -> String {
        let head = ["", "figure", "target", "measured", "ratio", ""].map(str::to_owned);
        let mut rows = vec![head];
        for line in &self.lines {
            let Line { number, what, target, measured, ratio, pass } = line;
            let verdict = if *pass { "pass" } else { "MISS" };
            let ratio = format!("{ratio:.2}");
            rows.push([
                (*number).to_owned(),
                what.clone(),
                target.clone(),
                measured.clone(),
                ratio,
                verdict.to_owned(),
            ]);
        }
        aligned(&rows)
    }
}

/// What the figures were measured on.
pub(crate) fn machine() -> BTreeMap<&'static str, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or_default().trim_start_matches([' ', '\t', ':']);
    BTreeMap::from([
        ("cores", cores.to_string()),
        ("processor", model.to_owned()),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
    ])
}

/// Writes what was measured to a file, as JSON.
pub(crate) fn write(report: &impl Serialize, path: &Path) -> Result<()> {
    Ok(std::fs::write(path, serde_json::to_string_pretty(report)? + "\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_better_than_its_target_from_a_ratio_of_one() {
        let line = Line::at_least("S1", "rate", 15_000.0, 15_000.0, "/s");
        assert!(line.pass && line.target == ">= 15,000/s" && line.measured == "15,000/s");
        assert!(!Line::at_least("S1", "rate", 100.0, 99.0, "").pass);
        assert!(Line::at_most("S6", "memory", 10.0, 8.0, " KiB").pass);
        assert!(!Line::at_most("S6", "memory", 10.0, 10.01, " KiB").pass);
    }

    #[test]
    fn the_columns_of_the_table_are_aligned() {
        let mut report = Report::default();
        report.lines.push(Line::at_least("S1", "a", 1.0, 2.0, ""));
        report.lines.push(Line::at_most("S10", "a longer one", 1_000_000.0, 2.5, " ms"));
        let table = report.table();
        let lengths: Vec<_> = table.lines().map(str::len).collect();
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{table}");
    }
}
