//! Which history of the database counts.

use clap::{Args, ValueEnum};

use super::{DataDirArgs, DatabaseArgs};

#[derive(Debug, Args)]
pub(crate) struct EpochArgs {
    /// What to do
    #[arg(value_name = "ACTION")]
    pub(crate) action: EpochAction,

    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EpochAction {
    /// Begins a new history: sockets are closed with 1001, positions from before are refused. For a machine snapshot that
    /// was put back with its memory. Servers may run meanwhile
    Renew,
}
