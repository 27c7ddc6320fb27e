//! What whoever runs the service does about one user, by way of a core.

use std::{path::PathBuf, time::SystemTime};

use clap::{Args, ValueEnum, builder::BoolishValueParser};

use super::{CoreEndpointsArgs, CoreTlsArgs, DataDirArgs, ServiceTokenArgs};

/// How a command reaches a core.
#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    #[command(flatten)]
    pub(crate) core: CoreEndpointsArgs,
    #[command(flatten)]
    pub(crate) core_tls: CoreTlsArgs,
    #[command(flatten)]
    pub(crate) service_token: ServiceTokenArgs,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

/// Who is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "User")]
pub(crate) struct WhoArgs {
    /// USER is what this issuer of access tokens calls the user; "" where no issuer is configured
    /// [default: USER is a UUID]
    #[arg(long, value_name = "ISSUER")]
    pub(crate) issuer: Option<String>,

    /// Print JSON, an object a line
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "User")]
pub(crate) struct UserArgs {
    /// What to do
    #[arg(value_name = "ACTION")]
    pub(crate) action: UserAction,

    /// The user: a UUID, or what --issuer calls them
    #[arg(value_name = "USER")]
    pub(crate) user: String,

    /// Of `export`: a directory that is made, or is empty
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) who: WhoArgs,

    /// Of `end`: this session alone, as `sessions` names it [default: all of the user]
    #[arg(long, value_name = "UUID")]
    pub(crate) session: Option<String>,

    /// Of `revoke`: tokens that were issued before then, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) issued_before: Option<SystemTime>,

    /// Of `revoke`: when the last of these tokens has expired, RFC 3339: nothing is kept of it then
    /// [default: it is kept for ever]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub(crate) expires_at: Option<SystemTime>,

    /// Of `delete`: yes, email, profile and external id are erased for good
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) yes: bool,

    /// Of `delete`: erase all that the user has sent, too, for both: text, names and files. It goes on in the background
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) erase_messages: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UserAction {
    /// What is kept of the user beside messages
    Show,
    /// The WebSockets that the user has open, on all edges
    Sessions,
    /// Closes them; the tokens stay good
    End,
    /// Takes the user's access tokens away, and closes what was opened by them
    Revoke,
    /// Deletes the user from the directory; conversations stay readable by the other one
    Delete,
    /// All of the user's data, as JSON lines and files
    Export,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "User")]
pub(crate) struct TapArgs {
    /// The user: a UUID, or what --issuer calls them
    #[arg(value_name = "USER")]
    pub(crate) user: String,

    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) who: WhoArgs,

    /// Show what is written as well: bodies, names of files, and what clients put beside. The audit log says so
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) bodies: bool,
}

fn instant(text: &str) -> Result<SystemTime, &'static str> {
    humantime::parse_rfc3339(text).map_err(|_| "not a time as 2026-01-31T09:30:00Z")
}
