//! Where backups go: opened, locked, and asked whose backups it has.

use std::{io, path::PathBuf};

use super::super::{
    BackupError,
    manifest::{Found, Manifest},
    place::Place,
};
use crate::{
    config::MediaLocation,
    lifecycle::{self, OpenError},
    lock::{LockError, LockFile},
    media::StoreError,
};

/// Beside the directories of a place that is a directory.
const LOCK_FILE: &str = "lock";

/// No other backup may be written to it meanwhile: a directory is locked.
pub(super) async fn open(
    location: &MediaLocation,
) -> Result<(Place, Option<LockFile>), BackupError> {
    let mut lock = None;
    if let MediaLocation::Directory(path) = location {
        let unusable = |path: PathBuf, error: io::Error| {
            use io::ErrorKind::{QuotaExceeded, StorageFull};
            if matches!(error.kind(), StorageFull | QuotaExceeded) {
                return BackupError::File { path, error };
            }
            let error = StoreError::new(error.to_string());
            BackupError::Place { location: location.clone(), error }
        };
        lifecycle::create_dir(path).map_err(|error| {
            let OpenError::File { path, error } = error else { return BackupError::Source(error) };
            unusable(path, error)
        })?;
        let file = path.join(LOCK_FILE);
        lock = Some(LockFile::take(file.clone()).map_err(|error| match error {
            LockError::Held => BackupError::Busy(location.clone()),
            LockError::File(error) => unusable(file, error),
        })?);
    }
    let place = Place::to_write(location).await;
    let place = place.map_err(|error| BackupError::Place { location: location.clone(), error })?;
    Ok((place, lock))
}

/// The newest backup that is whole.
pub(super) async fn newest(
    target: &Place,
    whole: &[String],
) -> Result<Option<Manifest>, BackupError> {
    for name in whole.iter().rev() {
        if let Found::Whole(manifest) = Manifest::find(target, name).await? {
            return Ok(Some(*manifest));
        }
    }
    Ok(None)
}

/// Two chats in a place would remove each other's backups and files.
pub(super) fn refuse_other(
    newest: &Manifest,
    ours: Option<String>,
    location: &MediaLocation,
) -> Result<(), BackupError> {
    match &newest.identity {
        Some(theirs) if ours.as_ref() != Some(theirs) => Err(BackupError::OtherDatabase {
            location: location.clone(),
            backup: newest.name.clone(),
            theirs: theirs.clone(),
            ours,
        }),
        Some(_) | None => Ok(()),
    }
}
