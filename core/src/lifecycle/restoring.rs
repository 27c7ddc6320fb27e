//! A data directory that a backup is restored into.

use std::path::{Path, PathBuf};

use netrox_proto::attachment_path;

use super::{
    data_dir::{LOCK_FILE, create_dir, lock_database, take_lock, with_suffix},
    presence::{DATABASE_WAS_MADE, has_file},
};
use crate::{
    backup::BackupError,
    lock::{self, LockFile},
};

/// What the lock of the database says until all is there. A server takes it for the mark of a database, which it misses, and
/// so makes no other.
const RESTORING: &str = "a backup is being restored beside this file";
const DATABASE: &str = "chat.db";

/// Locked until the restore ends.
#[derive(Debug)]
pub(crate) struct RestoreTarget {
    database: PathBuf,
    database_lock: LockFile,
    _lock: LockFile,
}

impl RestoreTarget {
    /// Of a directory without a database, or what is left of one. It is made where it is missing.
    pub(crate) fn claim(data_dir: &Path) -> Result<Self, BackupError> {
        let database = data_dir.join(DATABASE);
        let mark = with_suffix(&database, ".lock");
        let unusable = |path: &Path, error| BackupError::File { path: path.to_owned(), error };
        let look = || {
            if lock::text_at(&mark).map_err(|error| unusable(&mark, error))? == RESTORING
                && !database.exists()
            {
                return Err(BackupError::Interrupted(data_dir.to_owned()));
            }
            for left in [database.clone(), with_suffix(&database, "-wal")] {
                if left.symlink_metadata().is_ok() {
                    return Err(BackupError::Occupied(left));
                }
            }
            if !lock::text_at(&mark).map_err(|error| unusable(&mark, error))?.is_empty() {
                return Err(BackupError::Occupied(mark.clone()));
            }
            let files = data_dir.join("media").join(attachment_path::PREFIX);
            if has_file(&files).map_err(|error| unusable(&files, error))? {
                return Err(BackupError::Occupied(files));
            }
            Ok(())
        };
        look()?;
        create_dir(data_dir).map_err(BackupError::Source)?;
        let lock = take_lock(data_dir, data_dir.join(LOCK_FILE)).map_err(BackupError::Source)?;
        let database_lock = lock_database(&database).map_err(BackupError::Source)?;
        // Another may have been faster.
        look()?;
        let marked = database_lock.set_text(RESTORING).and_then(|()| database_lock.sync());
        marked.map_err(|error| unusable(&mark, error))?;
        Ok(Self { database, database_lock, _lock: lock })
    }

    /// Where the database belongs.
    pub(crate) fn database(&self) -> &Path {
        &self.database
    }

    /// When all is there.
    pub(crate) fn finish(self) -> Result<(), BackupError> {
        let lock = &self.database_lock;
        lock.set_text(DATABASE_WAS_MADE)
            .and_then(|()| lock.sync())
            .map_err(|error| BackupError::File { path: lock.path().to_owned(), error })
    }
}
