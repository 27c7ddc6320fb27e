//! How what was found is printed.

use std::io::{self, Write};

use netrox_diagnosis::{Finding, Remark, Report};
use serde_json::{Value, json};

use crate::{failure::Failure, secret::Warnings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A line each.
    Text,
    /// One line.
    Json,
}

impl Form {
    pub(crate) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// Without a role where none was understood.
pub(super) fn tell(
    form: Form,
    role: Option<&str>,
    report: &Report,
    warnings: Warnings,
) -> Result<(), Failure> {
    let told = match form {
        Form::Json => writeln!(io::stdout(), "{}", as_json(role, report, warnings)),
        Form::Text => {
            for line in beside(report, warnings) {
                let _ = writeln!(io::stderr(), "{line}");
            }
            let mut stdout = io::stdout().lock();
            report.findings.iter().try_for_each(|found| writeln!(stdout, "{}", line(found)))
        }
    };
    told.map_err(|source| Failure::System { what: "writing to stdout", source })
}

fn line(Finding { subject, cause, remedy }: &Finding) -> String {
    format!("{}: {cause}. To do: {remedy}", subject.word())
}

/// What is no finding.
fn beside(report: &Report, warnings: Warnings) -> Vec<String> {
    let remark = |what: &str, Remark { subject, text }: &Remark| {
        format!("{what}: {}: {text}", subject.word())
    };
    let mut lines: Vec<_> = report.facts.iter().map(|fact| remark("looked at", fact)).collect();
    lines.extend(report.unchecked.iter().map(|unchecked| remark("not looked at", unchecked)));
    lines.extend(warnings.into_iter().map(|warning| format!("warning: {warning}")));
    if report.findings.is_empty() {
        lines.push("nothing is wrong".to_owned());
    }
    lines
}

fn as_json(role: Option<&str>, report: &Report, warnings: Warnings) -> Value {
    let findings = report.findings.iter().map(|Finding { subject, cause, remedy }| {
        json!({"subject": subject.word(), "cause": cause, "remedy": remedy})
    });
    let remarks = |remarks: &[Remark]| -> Vec<Value> {
        let remarks = remarks.iter();
        remarks
            .map(|Remark { subject, text }| json!({"subject": subject.word(), "text": text}))
            .collect()
    };
    json!({
        "role": role,
        "findings": findings.collect::<Vec<_>>(),
        "unchecked": remarks(&report.unchecked),
        "facts": remarks(&report.facts),
        "warnings": warnings.into_iter().collect::<Vec<_>>(),
    })
}
