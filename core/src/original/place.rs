//! Where the original is, and why it cannot be read.

use std::{fmt, io, path::PathBuf, str::FromStr};

use crate::{
    config::{PostgresUrl, UrlError},
    store::error::Words,
};

/// Where the original is.
#[derive(Debug, Clone)]
pub enum OriginalPlace {
    Postgres(PostgresUrl),
    Sqlite(PathBuf),
    /// What `manage.py dumpdata` wrote.
    Dump(PathBuf),
}

impl FromStr for OriginalPlace {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        const WRONG: UrlError = UrlError::new(
            "must be postgres://…, sqlite://PATH, or a file that dumpdata wrote (.json, .jsonl)",
        );
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return text.parse().map(Self::Postgres);
        }
        if let Some(path) = text.strip_prefix("sqlite://") {
            let is_path = !path.is_empty() && !path.contains(['?', '#']);
            return if is_path { Ok(Self::Sqlite(path.into())) } else { Err(WRONG) };
        }
        let is_file =
            !text.contains("://") && (text.ends_with(".json") || text.ends_with(".jsonl"));
        if is_file { Ok(Self::Dump(text.into())) } else { Err(WRONG) }
    }
}

impl fmt::Display for OriginalPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(url) => url.fmt(f),
            Self::Sqlite(path) | Self::Dump(path) => path.display().fmt(f),
        }
    }
}

/// Why the original cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OriginalError {
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
    /// It is not as the mapping has it.
    #[error("{0}")]
    Tables(String),
    /// No fixture, or not all of it.
    #[error("{}: {reason}", .path.display())]
    Dump { path: PathBuf, reason: String },
    #[error("{}", Words(.0))]
    Read(#[from] sqlx::Error),
}
