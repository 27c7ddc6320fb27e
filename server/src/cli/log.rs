//! What is logged, and how.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::variables::nearest;

/// Of what a filter does not name.
const DEFAULT_LEVEL: &str = "info";
const NO_FILTER: &str = "not a filter: write a level, or target=level,…";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogArgs {
    /// What is logged to stderr: a level, or levels by target (info,netrox_edge=debug)
    ///
    /// Levels: off, error, warn, info, debug, trace. What no level is given for stays at info. Libraries are
    /// never logged below warn, since their debug lines can hold tokens and messages; each kind of their lines
    /// is logged once a minute at most, unless the filter names the library (h2=warn).
    #[arg(long, value_name = "FILTER", default_value = DEFAULT_LEVEL)]
    pub(crate) log_filter: LogFilter,

    /// Form of a log line
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Directives that are known to parse.
#[derive(Debug, Clone)]
pub(crate) struct LogFilter {
    /// With the level of what is not named.
    text: String,
    filter: EnvFilter,
    /// The targets that are named.
    targets: Vec<String>,
}

impl LogFilter {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// With the targets that are named.
    pub(crate) fn into_parts(self) -> (EnvFilter, Vec<String>) {
        (self.filter, self.targets)
    }
}

/// Of this program, and of the libraries that log.
const TARGETS: [&str; 27] = [
    "netrox_audit",
    "netrox_chat",
    "netrox_core",
    "netrox_edge",
    "netrox_tls",
    "netrox_traces",
    "netrox_watch",
    "async_nats",
    "axum",
    "h2",
    "hyper",
    "hyper_util",
    "log",
    "object_store",
    "quinn",
    "reqwest",
    "rustls",
    "sqlx",
    "sqlx_core",
    "sqlx_postgres",
    "sqlx_sqlite",
    "tokio",
    "tokio_tungstenite",
    "tonic",
    "tower",
    "tower_http",
    "tungstenite",
];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("must not be empty: use off for no logs".to_owned());
        }
        // It is shown in the log. A filter by span would be asked at each line.
        if !text.trim().chars().all(|c| c == ' ' || c.is_ascii_graphic())
            || text.contains(['[', '{'])
        {
            return Err(NO_FILTER.to_owned());
        }
        let parts: Vec<_> = text.split(',').map(str::trim).collect();
        let mut has_level = false;
        let mut targets = Vec::new();
        for part in &parts {
            let part = *part;
            let (target, level) = part.split_once('=').unwrap_or((part, "trace"));
            // An empty one would be "error".
            if part.is_empty() || level.is_empty() || level.parse::<LevelFilter>().is_err() {
                return Err(NO_FILTER.to_owned());
            }
            if part == target && part.parse::<LevelFilter>().is_ok() {
                has_level = true;
            } else {
                check_target(target, part == target)?;
                targets.push(target.to_owned());
            }
        }
        // What is not named would be silent, the line of the start and all warnings included.
        let text = parts.join(",");
        let text = if has_level { text } else { format!("{DEFAULT_LEVEL},{text}") };
        match EnvFilter::builder().parse(&text) {
            Ok(filter) => Ok(Self { text, filter, targets }),
            Err(_) => Err(NO_FILTER.to_owned()),
        }
    }
}

/// Nothing is logged under a name that is misspelt. Libraries are many; a name that is like none of ours may be of one.
fn check_target(target: &str, is_alone: bool) -> Result<(), String> {
    let name = target.split("::").next().unwrap_or_default();
    if TARGETS.contains(&name) {
        return Ok(());
    }
    let levels = LEVELS.into_iter().filter(|_| is_alone);
    let names: Vec<_> = TARGETS.into_iter().chain(levels).map(str::to_owned).collect();
    match nearest(name, &names) {
        Some(meant) => Err(format!("{name:?} is no target; did you mean {meant}?")),
        None if is_alone => Err(format!(
            "{name:?} is neither a level nor a target: there are netrox_core, netrox_edge, \
             netrox_chat and libraries"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_all_and_of_targets_are_taken() {
        for (given, kept) in [
            ("info", "info"),
            ("OFF", "off"),
            ("warn,netrox_edge=debug", "netrox_edge=debug,warn"),
            ("netrox_core::bus=trace", "netrox_core::bus=trace,info"),
            ("netrox_core", "netrox_core=trace,info"),
            ("sqlx=error, off", "sqlx=error,off"),
            ("a_library=error", "a_library=error,info"),
        ] {
            let filter: LogFilter = given.parse().expect(given);
            assert_eq!(filter.into_parts().0.to_string(), kept, "{given}");
        }
    }

    #[test]
    fn the_targets_that_are_named_are_known() {
        for (given, named) in [
            ("info", &[][..]),
            ("warn,netrox_edge=debug", &["netrox_edge"]),
            ("h2=warn, sqlx::query=error,off", &["h2", "sqlx::query"]),
            ("hyper", &["hyper"]),
        ] {
            let filter: LogFilter = given.parse().expect(given);
            assert_eq!(filter.into_parts().1, named, "{given}");
        }
    }

    #[test]
    fn what_would_silence_all_is_refused() {
        for (wrong, named) in [
            ("inof", "did you mean info?"),
            ("nonsense=", "not a filter"),
            ("netrox_edg=debug", "did you mean netrox_edge?"),
            ("info,netrox-core=debug", "did you mean netrox_core?"),
            ("chat", "is neither a level nor a target"),
            ("netrox_core=loud", "not a filter"),
            ("info,", "not a filter"),
            ("a_library[request]=debug", "not a filter"),
            ("a_\u{1b}[31mlibrary=warn", "not a filter"),
            ("a\nb=warn", "not a filter"),
            (" ", "must not be empty"),
        ] {
            let refused = wrong.parse::<LogFilter>().expect_err(wrong);
            assert!(refused.contains(named), "{wrong}: {refused}");
        }
    }
}
