//! A whole chat as JSON lines and files, and the way back.

use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use netrox_core::MediaLocation;

use super::{AuditArgs, DataDirArgs, DatabaseArgs, OriginalArgs, storage::parse_media_url};

/// Where a chat is kept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,

    /// Uploaded files, as the server has it: file://PATH or s3://BUCKET[/PREFIX]
    /// [default: file://<data-dir>/media]
    #[arg(long, value_name = "URL", value_parser = parse_media_url)]
    pub(crate) media_url: Option<MediaLocation>,

    #[command(flatten)]
    pub(crate) audit: AuditArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Export")]
pub(crate) struct ExportArgs {
    /// A directory that is made, or is empty
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    #[command(flatten)]
    pub(crate) chat: ChatArgs,

    /// The whole chat; the data of one user is exported by `user export`
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Import")]
pub(crate) struct ImportArgs {
    /// What is imported
    #[arg(value_name = "FORMAT")]
    pub(crate) format: ImportFormat,

    /// Of jsonl: the directory of an export, or a file of lines, whose files lie beside it
    #[arg(value_name = "DIR|FILE")]
    pub(crate) path: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) original: OriginalArgs,

    #[command(flatten)]
    pub(crate) chat: ChatArgs,

    /// Only say what would be stored, and each line that would be refused; nothing is stored
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// JSON lines, as docs/JSON-LINES.md has them
    Jsonl,
    /// The database and the files of the original server: what is new or changed there, as often as it is
    /// run
    Django,
}
