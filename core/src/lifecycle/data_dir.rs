//! The data directory and what keeps a second process away from it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{OpenError, presence};
use crate::{
    config::{Config, Database},
    lock::{LockError, LockFile},
};

pub(super) const LOCK_FILE: &str = "lock";

/// One process per data directory, and per database file wherever it lies: its writer keeps in memory
/// what other writers would have it read anew for each batch.
pub(super) fn lock(config: &Config) -> Result<Vec<Arc<LockFile>>, OpenError> {
    create_dir(&config.data_dir)?;
    let mut locks = vec![Arc::new(take_lock(&config.data_dir, config.data_dir.join(LOCK_FILE))?)];
    if let Database::Sqlite(path) = &config.database {
        locks.push(Arc::new(lock_database(path)?));
    }
    Ok(locks)
}

pub(crate) fn lock_database(path: &Path) -> Result<LockFile, OpenError> {
    take_lock(path, with_suffix(&real_path(path)?, ".lock"))
}

/// Has the locks say that there is a database: a start that does not find it will not make another.
pub(super) fn mark_made(config: &Config, locks: &[Arc<LockFile>]) {
    let Database::Sqlite(path) = &config.database else { return };
    let Ok(path) = real_path(path) else { return };
    let name = path.to_string_lossy();
    for (lock, text) in locks.iter().zip([&*name, presence::DATABASE_WAS_MADE]) {
        if lock.text().is_ok_and(|there| there == text) {
            continue;
        }
        // A full disk is no reason not to start.
        if let Err(error) = lock.set_text(text).and_then(|()| lock.sync()) {
            tracing::warn!(path = %lock.path().display(), %error, "cannot mark that a database was made");
        }
    }
}

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

/// The path without links, of a file that may not exist yet.
pub(super) fn real_path(given: &Path) -> Result<PathBuf, OpenError> {
    let unusable = |error| OpenError::File { path: given.to_owned(), error };
    let mut path = given.to_owned();
    for _ in 0..MAX_LINKS {
        if let Ok(path) = path.canonicalize() {
            return Ok(path);
        }
        let name = path.file_name().ok_or_else(|| unusable(io::ErrorKind::InvalidInput.into()))?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let place = directory.canonicalize().map_err(unusable)?.join(name);
        // A link to what is not there: that is where it would be made.
        let Ok(target) = fs::read_link(&place) else { return Ok(place) };
        path = place.with_file_name(target);
    }
    Err(unusable(io::Error::other("too many symbolic links")))
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn take_lock(guarded: &Path, path: PathBuf) -> Result<LockFile, OpenError> {
    LockFile::take(path.clone()).map_err(|error| match error {
        LockError::Held => OpenError::Locked(guarded.to_owned()),
        LockError::File(error) => OpenError::File { path, error },
    })
}

/// With the directories above it, whose entries survive a power cut.
pub(crate) fn create_dir(path: &Path) -> Result<(), OpenError> {
    let created = || {
        let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
        fs::create_dir_all(path)?;
        for parent in missing.iter().filter_map(|path| path.parent()) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            match File::open(parent) {
                // One that cannot be read cannot be synced.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                opened => opened?.sync_all()?,
            }
        }
        Ok(())
    };
    created().map_err(|error| OpenError::File { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_to_what_is_not_there_yet_leads_to_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir(root.join("volume")).unwrap();
        symlink("volume/chat.db", root.join("first")).unwrap();
        symlink(root.join("first"), root.join("second")).unwrap();
        for name in ["first", "second", "volume/chat.db"] {
            assert_eq!(real_path(&root.join(name)).unwrap(), root.join("volume/chat.db"), "{name}");
        }
        symlink("circle", root.join("circle")).unwrap();
        assert!(real_path(&root.join("circle")).is_err());
    }
}
