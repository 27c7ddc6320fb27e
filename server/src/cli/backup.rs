//! Copies of one machine's data, and the way back.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, builder::BoolishValueParser};
use netrox_core::MediaLocation;

use super::{
    DataDirArgs, DatabaseArgs,
    storage::{DEFAULT_DATA_DIR, parse_media_url},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Backup")]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,

    /// Uploaded files, as the server has it: file://PATH or s3://BUCKET[/PREFIX]
    /// [default: file://<data-dir>/media]
    ///
    /// Those in a bucket are not copied.
    #[arg(long, value_name = "URL", value_parser = parse_media_url)]
    pub(crate) media_url: Option<MediaLocation>,

    /// Where backups are kept: a directory, or s3://BUCKET[/PREFIX]
    ///
    /// A directory is created where it is missing. One backup at a time; of a bucket, that is yours to
    /// see to. Region, endpoint and credentials are those of the usual variables of AWS.
    #[arg(long, value_name = "DIR|URL", value_parser = parse_place)]
    pub(crate) to: MediaLocation,

    /// Whole backups that stay, the new one included; older ones are removed [default: all]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) keep: Option<NonZeroUsize>,

    /// Read all that the backup has, and check the copy of the database, before it counts as whole
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) verify: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Restore")]
pub(crate) struct RestoreArgs {
    /// Where backups are kept: a directory, or s3://BUCKET[/PREFIX]
    #[arg(long, value_name = "DIR|URL", value_parser = parse_place)]
    pub(crate) from: MediaLocation,

    /// Name of the backup [default: the newest whole one]
    #[arg(long, value_name = "NAME")]
    pub(crate) backup: Option<String>,

    /// Data directory to restore into; one without a database
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    pub(crate) data_dir: PathBuf,

    /// Only read all of the backup and say whether it is sound; nothing is restored
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) dry_run: bool,
}

fn parse_place(text: &str) -> Result<MediaLocation, String> {
    match text.split_once("://") {
        None if text.is_empty() => Err("must be a directory, or s3://BUCKET[/PREFIX]".to_owned()),
        None => Ok(MediaLocation::Directory(text.into())),
        Some(_) => parse_media_url(text),
    }
}
