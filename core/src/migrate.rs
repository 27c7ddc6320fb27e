//! From one machine to the cluster: all of a SQLite database into an empty PostgreSQL database.

use std::path::{Path, PathBuf};

use crate::{
    config::PostgresDatabase,
    lifecycle::{OpenError, check_existing, lock_database},
    store::{
        self,
        copy::{self, Copied, CopyError},
    },
};

/// Why it failed; what was copied stays, and the next attempt goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("{}: no such file", .0.display())]
    Missing(PathBuf),
    #[error("{}: an empty file, and no database", .0.display())]
    Empty(PathBuf),
    #[error(transparent)]
    Locked(#[from] OpenError),
    #[error("{}: {error}", .path.display())]
    Source { path: PathBuf, error: CopyError },
    #[error("{target}: {error}")]
    Target { target: PostgresDatabase, error: CopyError },
}

impl MigrateError {
    /// Whether it is no setting that is wrong, but the source that is not sound.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Locked(error) => error.is_damage(),
            Self::Source { error: CopyError::Source(error), .. } => error.is_damage(),
            Self::Source { error: CopyError::Read(error), .. } => store::error::is_damage(error),
            Self::Missing(_)
            | Self::Empty(_)
            | Self::Source {
                error:
                    CopyError::Target(_)
                    | CopyError::Busy
                    | CopyError::InUse
                    | CopyError::NotEmpty
                    | CopyError::SourceChanged(_)
                    | CopyError::Differs { .. }
                    | CopyError::Write(_),
                ..
            }
            | Self::Target { .. } => false,
        }
    }
}

/// Copies users, conversations, messages with their ids and places in feeds, and compares both sides. The
/// bytes of attachments are not touched. `progress` is told the rows of a table that were copied so far.
///
/// No core may use the source, which is locked, or the target, which is refused then. May be repeated: one that was cut off goes
/// on, one that was finished changes nothing, and fails where the source has changed since.
pub async fn migrate(
    source: &Path,
    target: &PostgresDatabase,
    progress: impl FnMut(&'static str, u64),
) -> Result<Copied, MigrateError> {
    match source.metadata() {
        Err(_) => return Err(MigrateError::Missing(source.to_owned())),
        Ok(metadata) if metadata.len() == 0 => return Err(MigrateError::Empty(source.to_owned())),
        Ok(_) => {}
    }
    check_existing(source)?;
    let _lock = lock_database(source)?;
    copy::copy(source, target, progress).await.map_err(|error| match error {
        CopyError::Source(_) | CopyError::Read(_) => {
            MigrateError::Source { path: source.to_owned(), error }
        }
        CopyError::Target(_)
        | CopyError::Busy
        | CopyError::InUse
        | CopyError::NotEmpty
        | CopyError::SourceChanged(_)
        | CopyError::Differs { .. }
        | CopyError::Write(_) => MigrateError::Target { target: target.clone(), error },
    })
}
