//! How many files may be open, one of which each connection takes.

use std::fs;

use netrox_diagnosis::{Report, Subject};

use crate::{open_files, secret::Warnings, settings::Settings};

const FLAG: &str = "max-connections";

/// Those of the server `ours` that runs. Without one, of this user, here: those of a unit or a container may be others. So it
/// is a finding where the number of connections was given; else a start only warns of it.
pub(super) fn look(
    settings: &Settings,
    ours: Option<u32>,
    report: &mut Report,
    warnings: &mut Warnings,
) {
    let Some(edge) = settings.parts.edge() else { return };
    let wanted = edge.config.limits.max_connections;
    let mut told = Warnings::default();
    let of_server = ours.and_then(|pid| Some((pid, limit_of(pid)?)));
    match of_server {
        Some((pid, limit)) if limit < wanted as u64 => told.add(format!(
            "the server that runs (process {pid}) may open {limit} files, fewer than --{FLAG} {wanted}"
        )),
        Some((pid, limit)) => {
            let text = format!("the server that runs (process {pid}) may open {limit} files");
            report.note(Subject::Descriptors, text);
        }
        None => {
            if let Some(limit) = open_files::raise_limit(Some(wanted), &mut told) {
                report.note(Subject::Descriptors, format!("{limit} files may be open here"));
            }
        }
    }
    let is_given = settings.sources.is_given(FLAG);
    for warning in told {
        if is_given {
            let remedy = "raise the hard limit (LimitNOFILE of the unit, ulimit -Hn), or lower --max-connections";
            report.find(Subject::Descriptors, warning, remedy);
        } else {
            warnings.add(warning);
        }
    }
}

/// A server has raised it as far as it may.
fn limit_of(pid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

fn parse(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        limit => limit.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_a_process_is_read_as_the_kernel_writes_it() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             127234               127234               processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(parse(limits), Some(1024));
        assert_eq!(
            parse("Max open files            unlimited            unlimited"),
            Some(u64::MAX)
        );
        assert_eq!(parse("Max processes             127234               127234"), None);
        assert!(limit_of(std::process::id()).is_none_or(|limit| limit > 0));
    }
}
