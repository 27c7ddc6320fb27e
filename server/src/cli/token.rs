//! Whose token, and for how long.

use std::time::Duration;

use clap::{Args, builder::BoolishValueParser};

use super::value::duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[derive(Debug, Args)]
#[command(next_help_heading = "Token")]
pub(crate) struct MintArgs {
    /// The user's id: a UUID, hyphenated; any text with --jwt-user-ids any
    #[arg(
        long,
        value_name = "UUID",
        required_unless_present = "check",
        allow_hyphen_values = true
    )]
    pub(crate) user_id: Option<String>,

    /// Explains the token on stdin instead: whether a server with these settings takes it, and why not
    ///
    /// Exit status 0 where it is good, 1 where it is refused. The token is not printed.
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) check: bool,

    /// The user's email, which goes into the directory when the token is first used
    #[arg(long, value_name = "EMAIL", value_parser = parse_email)]
    pub(crate) email: Option<String>,

    /// How long the token is good, in seconds (or 12h, 7days, …)
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = duration(SHORTEST..=LONGEST))]
    pub(crate) ttl: Duration,
}

/// The directory's limit.
fn parse_email(text: &str) -> Result<String, String> {
    if text.len() > 320 || text.contains('\0') {
        return Err("more than 320 bytes, or a NUL".to_owned());
    }
    Ok(text.to_owned())
}
