//! Services that may do less than all, by name.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use netrox_core::Scope;

use super::value::duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[derive(Debug, Args)]
#[command(next_help_heading = "gRPC")]
pub(crate) struct ServicesArgs {
    /// JSON file of named services: hashes of their tokens, and what each may do
    ///
    /// It is read again when it changes. `netrox-chat service-token` makes an entry. The service token stays and may do all.
    #[arg(long, value_name = "FILE")]
    pub(crate) service_tokens_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub(crate) struct ServiceTokenMintArgs {
    /// The service: letters a-z, digits, ".", "_" and "-"
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// What it may do: send, read, directory, admin, or edge; several, each with the flag or comma separated
    #[arg(long, value_name = "SCOPE,…", value_delimiter = ',', required = true, value_parser = scope)]
    pub(crate) scope: Vec<Scope>,

    /// How long the token is good, in seconds (or 90days, …); without it, until it is taken out of the file
    #[arg(long, value_name = "SECONDS", value_parser = duration(SHORTEST..=LONGEST))]
    pub(crate) expires_in: Option<Duration>,
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::of_name(text)
        .ok_or_else(|| format!("must be one of {}", Scope::ALL.map(Scope::name).join(", ")))
}
