//! A whole chat as JSON lines and files (`docs/JSON-LINES.md`), and the way back: into either engine.
//!
//! * [`mod@export`]: of one instant, beside servers.
//! * [`mod@import`]: while no server runs.
//! * [`django`]: out of the original server, of which there may be several passes.
//! * [`way_back`]: to the original server.
//! * [`files`]: the files of messages. [`manifest`]: what an export says of itself, as an import takes it.

use std::{io, path::PathBuf};

use crate::{
    config::{Database, MediaLocation},
    lifecycle::OpenError,
    lines::{LineKind, MANIFEST_FILE},
    media::StoreError,
    original::OriginalError,
    store,
};

mod django;
mod export;
mod files;
mod import;
mod manifest;
mod way_back;

pub use self::{
    django::{Followed, MappedIds, OriginalSettings, follow},
    export::{Exported, export},
    import::{BadLine, Imported, import},
    way_back::{CountedIds, LeftOut, WayBack, export_django},
};

/// What is exported or imported, besides the database.
#[derive(Debug)]
pub struct TransferSettings {
    pub database: Database,
    pub media: MediaLocation,
    /// Of an export a directory that is made, or is empty. Of an import one that has an export, or a file of lines.
    pub path: PathBuf,
}

/// Why there is no export, or why an import goes no further.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Open(OpenError),
    #[error("database {0}: a core, or another import, uses it: stop all cores on it first")]
    InUse(Database),
    #[error("media {location}: {error}")]
    Media { location: MediaLocation, error: StoreError },
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
    /// What is given as DIR is not what it has to be.
    #[error("{}: {reason}", .path.display())]
    Path { path: PathBuf, reason: String },
    #[error(
        "{} has {read} lines of type {}, and its {MANIFEST_FILE} counts {said}: it is not whole, or not as it was exported",
        .path.display(), .kind.name()
    )]
    NotWhole { path: PathBuf, kind: LineKind, said: u64, read: u64 },
    /// Nothing of its batch was stored.
    #[error("line {0}")]
    Refused(BadLine),
    #[error("the original: {0}")]
    Original(#[from] OriginalError),
    /// Users are called otherwise than it was said.
    #[error("{0}")]
    UserIds(&'static str),
    #[error("reading the database: {}", store::error::Words(.0))]
    Read(sqlx::Error),
    #[error("writing the database: {}", store::error::Words(.0))]
    Write(sqlx::Error),
}

impl TransferError {
    /// Whether no setting is wrong, but the database not sound.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Open(error) => error.is_damage(),
            Self::Read(error) | Self::Write(error) => store::error::is_damage(error),
            Self::InUse(_)
            | Self::Media { .. }
            | Self::File { .. }
            | Self::Path { .. }
            | Self::NotWhole { .. }
            | Self::Original(_)
            | Self::UserIds(_)
            | Self::Refused(_) => false,
        }
    }

    fn unopened(database: &Database, error: store::OpenError) -> Self {
        Self::Open(OpenError::Database { database: database.clone(), error })
    }

    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { path, error }
    }
}

/// Work with files, apart from the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}
