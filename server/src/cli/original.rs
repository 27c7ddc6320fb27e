//! `netrox-chat import django`: the original server, of which everything is taken.

use std::path::PathBuf;

use clap::{Args, builder::BoolishValueParser};
use netrox_core::MediaLocation;
use uuid::Uuid;

use super::{
    jwt::{DEFAULT_NAMESPACE, UserIdKind, parse_namespace},
    storage::parse_media_url,
    value::not_empty,
};
use crate::secret::Secret;

#[derive(Debug, Args)]
#[command(next_help_heading = "Original server")]
pub(crate) struct OriginalArgs {
    /// Of django: its database, which is only read: postgres://…, sqlite://PATH, or a file that
    /// `manage.py dumpdata` wrote (.json, .jsonl)
    ///
    /// A URL with a password is better given by environment or file: a command line is seen by other
    /// users of the machine.
    #[arg(long, value_name = "URL|FILE")]
    pub(crate) from: Option<Secret>,

    /// File that holds the URL of --from
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,

    /// Of django: its files (MEDIA_ROOT): a directory, file://PATH or s3://BUCKET[/PREFIX]
    #[arg(long, value_name = "DIR|URL", value_parser = parse_media)]
    pub(crate) media: Option<MediaLocation>,

    /// Of django: what its tables, columns and models are called, as JSON
    /// [default: as its documented API suggests]
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,

    /// Of django: compare every message, and every file by its length, and not just ranges of messages
    /// that are not the same on both sides
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) full: bool,

    /// Of django: take messages as they are there also where they changed later here, for as long as nobody
    /// uses what is taken
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) original_wins: bool,

    /// Of django: what users' ids are, as servers will have it: UUIDs, which are kept, or any, for whole
    /// numbers, of which UUIDs are made
    #[arg(long, value_name = "KIND", value_enum, default_value = "uuid")]
    pub(crate) jwt_user_ids: UserIdKind,

    /// Namespace of the UUIDs that --jwt-user-ids any makes
    #[arg(long, value_name = "UUID", default_value = DEFAULT_NAMESPACE, value_parser = parse_namespace)]
    pub(crate) jwt_user_id_namespace: Uuid,

    /// Issuer ("iss") of its tokens, of which --jwt-user-ids any makes UUIDs, too [default: none]
    #[arg(long, value_name = "ISSUER", value_parser = not_empty)]
    pub(crate) jwt_issuer: Option<String>,
}

/// A directory may be given as it is called everywhere else.
fn parse_media(text: &str) -> Result<MediaLocation, String> {
    if text.contains("://") {
        return parse_media_url(text);
    }
    not_empty(text).map(|path| MediaLocation::Directory(path.into()))
}
