//! What is logged, and how.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogArgs {
    /// What is logged to stderr: a level, or levels by target (info,netrox_edge=debug)
    ///
    /// Levels: off, error, warn, info, debug, trace. Libraries are never logged below warn, since
    /// their debug lines can hold tokens and messages.
    #[arg(long, value_name = "FILTER", default_value = "info")]
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
pub(crate) struct LogFilter(EnvFilter);

impl LogFilter {
    pub(crate) fn into_filter(self) -> EnvFilter {
        self.0
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("must not be empty: use off for no logs".to_owned());
        }
        let filter = EnvFilter::builder().parse(text);
        filter.map(Self).map_err(|_| "not a filter: write a level, or target=level,…".to_owned())
    }
}
