//! Two servers, held against each other.

use std::{path::PathBuf, time::Duration};

use clap::{Args, builder::BoolishValueParser};
use reqwest::Url;

use super::{
    JwtClaimArgs, JwtSecretArgs,
    value::{duration, number},
};
use crate::shadow::Rule;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct ShadowArgs {
    /// Server that is right: http:// or https://, as clients reach it
    #[arg(long, value_name = "URL", value_parser = base)]
    pub(crate) original: Url,

    /// Server that is held against it
    #[arg(long, value_name = "URL", value_parser = base)]
    pub(crate) candidate: Url,

    /// File of the users whose conversations are compared: a user's id a line, and a token behind it, or none
    ///
    /// White space is between the two. An empty line counts for nothing, and one that begins with #. If there is no token,
    /// one is made with --jwt-secret. Both servers are shown the same token.
    #[arg(long, value_name = "FILE")]
    pub(crate) users: PathBuf,

    /// Compare so many of the users, spread evenly over the file [default: all]
    #[arg(long, value_name = "N", value_parser = number::<u64>(1..=u64::MAX))]
    pub(crate) sample: Option<u64>,

    /// Requests per second that each of the two servers is sent, at most
    #[arg(long, value_name = "N", default_value = "20", value_parser = number::<u32>(1..=100_000))]
    pub(crate) rate: u32,

    /// Users whose conversations are read at a time, each by one request after the other
    #[arg(long, value_name = "N", default_value = "4", value_parser = number::<usize>(1..=256))]
    pub(crate) concurrency: usize,

    /// Time in which something must come of an answer; what does not come is asked for five times in all
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration(SHORTEST..=LONGEST))]
    pub(crate) timeout: Duration,

    /// A difference that is known: its path as the report has it, or PATH=KIND; it may be repeated
    ///
    /// `*` in a path is any one key, `**` at its end all that is below. KIND is missing, extra, order, type, value or
    /// malformed. What the public contract has another way on purpose is known already.
    #[arg(long, value_name = "PATH")]
    pub(crate) allow: Vec<Rule>,

    /// File of such paths, one a line; it may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) allow_file: Vec<PathBuf>,

    /// Differences that the report shows one by one; all are counted
    #[arg(long, value_name = "N", default_value = "20", value_parser = number::<usize>(0..=100_000))]
    pub(crate) show: usize,

    /// Show what was written as well: without it, texts are told by their hashes
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) texts: bool,

    /// Print the report as JSON
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) jwt_secret: JwtSecretArgs,
    #[command(flatten)]
    pub(crate) jwt_claims: JwtClaimArgs,
}

fn base(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must be an http:// or https:// URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("ends with its path".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_its_url() {
        for url in ["http://127.0.0.1:8080", "https://chat.example/", "http://[::1]:1/below"] {
            assert!(base(url).is_ok(), "{url}");
        }
        for wrong in
            ["", "chat.example", "ftp://x", "https://me:x@x", "https://x/?a", "https://x/#a"]
        {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }
}
