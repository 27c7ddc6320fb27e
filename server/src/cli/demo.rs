//! Something to look at.

use clap::{Args, builder::BoolishValueParser};

#[derive(Debug, Args)]
#[command(next_help_heading = "Demo")]
pub(crate) struct DemoArgs {
    /// Serve a web client at /demo/, with tokens of two example users [default: only where somebody tries it out]
    ///
    /// That is where --http-addr is a loopback address, both secrets are those of the data directory, and stderr is a
    /// terminal. Each start prints an address with a key of its own: without it nobody is given a token.
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub(crate) demo: Option<bool>,
}
