//! From one machine to the cluster.

use std::path::PathBuf;

use clap::Args;

use super::{storage::PostgresArgs, value::path_of_url};
use crate::secret::Secret;

#[derive(Debug, Args)]
#[command(next_help_heading = "Migration")]
pub(crate) struct MigrateArgs {
    /// Database to copy: sqlite://PATH; no server may run on it
    #[arg(long, value_name = "URL", value_parser = parse_source)]
    pub(crate) from: PathBuf,

    /// Database to copy into: postgres://…; empty, or what an earlier run left
    ///
    /// A URL with a password is better given by environment or file: a command line is seen by other
    /// users of the machine.
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<Secret>,

    /// File that holds the URL of --to
    #[arg(long, value_name = "FILE")]
    pub(crate) to_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) postgres: PostgresArgs,
}

fn parse_source(url: &str) -> Result<PathBuf, String> {
    path_of_url(url, "sqlite")
}
