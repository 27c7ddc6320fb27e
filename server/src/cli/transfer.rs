//! A whole chat as JSON lines and files, and the way back.

use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use netrox_core::MediaLocation;

use super::{AuditArgs, DataDirArgs, DatabaseArgs, OriginalArgs, storage::parse_media_url};
use crate::secret::Secret;

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
#[command(allow_missing_positional = true)]
pub(crate) struct ExportArgs {
    /// What is exported: nothing for JSON lines (--all)
    #[arg(value_name = "FORMAT")]
    pub(crate) format: Option<ExportFormat>,

    /// A directory that is made, or is empty
    #[arg(value_name = "DIR", required = true)]
    pub(crate) directory: PathBuf,

    /// The whole chat; the data of one user is exported by `user export`
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) all: bool,

    /// Of django: the original's database, which is only read: postgres://…, sqlite://PATH, or a file that
    /// `manage.py dumpdata` wrote (.json, .jsonl)
    ///
    /// A URL with a password is better given by environment or file: a command line is seen by other
    /// users of the machine.
    #[arg(long, value_name = "URL|FILE")]
    pub(crate) original: Option<Secret>,

    /// File that holds the URL of --original
    #[arg(long, value_name = "FILE")]
    pub(crate) original_file: Option<PathBuf>,

    /// Of django: what its tables, columns and models are called, as JSON
    /// [default: as its documented API suggests]
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) chat: ChatArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// What the original server lacks, as a fixture for `manage.py loaddata`, and files
    Django,
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
