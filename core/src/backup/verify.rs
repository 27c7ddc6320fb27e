//! Whether a backup is sound: its database opens and is intact, and all that it names is there.

use std::{collections::HashSet, path::Path};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    BackupError, Damage,
    copying::{self, FILES_AT_ONCE},
    manifest::{self, BackedUpFile, Manifest},
    place::Place,
};
use crate::{
    lifecycle::OpenError,
    media,
    store::snapshot::{self, Reader},
};

/// Looks into a copy of the database, which has the length and the hash of the manifest.
pub(super) async fn database(path: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let damaged = |damage: String| BackupError::Damaged {
        backup: manifest.name.clone(),
        damage: Damage::one(format!("its database: {damage}")),
    };
    let mut reader = Reader::open(path).await.map_err(|error| damaged(error.to_string()))?;
    if let Some(damage) = reader.find_damage().await.map_err(BackupError::Snapshot)? {
        return Err(damaged(damage));
    }
    let facts = reader.facts().await.map_err(BackupError::Snapshot)?;
    if facts.schema != manifest.schema
        || facts.identity != manifest.identity
        || facts.epoch != manifest.epoch
        || facts.newest_message != manifest.newest_message
    {
        return Err(damaged("it is not the one of which its manifest tells".to_owned()));
    }
    if !snapshot::is_known_schema(facts.schema) {
        let (backup, schema) = (manifest.name.clone(), facts.schema);
        return Err(BackupError::NewerSchema { backup, schema });
    }
    if manifest.files_are_in.is_none() {
        let files = manifest.files.iter().map(|file| file.path.as_str());
        let absent = manifest.missing.iter().chain(&manifest.deleted).map(String::as_str);
        let known: HashSet<_> = files.chain(absent).collect();
        let mut last = String::new();
        while let Some(page) = reader.files_after(&mut last).await.map_err(BackupError::Snapshot)? {
            if let Some(file) = page.iter().find(|file| !known.contains(file.path.as_str())) {
                return Err(damaged(format!("it names {:?}, its manifest does not", file.path)));
            }
        }
    }
    reader.close().await.map_err(BackupError::Snapshot)
}

/// A file that is not as it was.
#[derive(Debug)]
pub(super) struct Rotten<'a> {
    pub(super) file: &'a BackedUpFile,
    why: &'static str,
}

impl std::fmt::Display for Rotten<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.file.path, self.why)
    }
}

/// Reads all files, and tells those that are not as they were.
pub(super) async fn files<'a>(
    place: &Place,
    files: &'a [BackedUpFile],
) -> Result<Vec<Rotten<'a>>, BackupError> {
    let checked = stream::iter(files).map(|file| async move {
        let why = match copying::content(place, &manifest::file_path(&file.path)).await {
            Ok(content) if content == file.content => return Ok(None),
            Ok(_) => "is not what it was",
            Err(media::Error::NotFound) => "is missing",
            Err(media::Error::Truncated) => "is cut short",
            Err(error @ media::Error::Unavailable(_)) => return Err(BackupError::read(error)),
        };
        Ok(Some(Rotten { file, why }))
    });
    let checked = checked.buffer_unordered(FILES_AT_ONCE);
    checked.try_filter_map(|damage| async move { Ok(damage) }).try_collect().await
}

/// Of a database that this program cannot open.
pub(super) fn unopened(path: &Path, error: crate::store::OpenError) -> OpenError {
    OpenError::Database { database: crate::config::Database::Sqlite(path.to_owned()), error }
}
