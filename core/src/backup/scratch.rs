//! A directory for what lies on this machine for a while: below the one that `TMPDIR` names.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::BackupError;
use crate::lock::{FileId, LockError, LockFile};

const PREFIX: &str = "netrox-chat-backup-";
const LOCK_FILE: &str = "lock";

/// Removed when it is dropped. What a process that was killed left of one is removed by the next.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: PathBuf,
    _lock: LockFile,
}

/// Another process that looks for what was left may take one away between its file and its lock.
const ATTEMPTS: usize = 5;

impl Scratch {
    pub(crate) fn new() -> Result<Self, BackupError> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        for _ in 1..ATTEMPTS {
            if let Some(scratch) = Self::made_in(&parent)? {
                return Ok(scratch);
            }
        }
        let error = io::ErrorKind::ResourceBusy.into();
        Err(BackupError::File { path: parent, error })
    }

    fn made_in(parent: &Path) -> Result<Option<Self>, BackupError> {
        let directory = parent.join(format!("{PREFIX}{}", Uuid::new_v4()));
        let file = directory.join(LOCK_FILE);
        // It may have what people wrote.
        let made = DirBuilder::new().mode(0o700).create(&directory).map_err(LockError::from);
        let locked = made.and_then(|()| {
            let lock = LockFile::take(file.clone())?;
            let is_there = FileId::of(&file)? == Some(lock.id()?);
            Ok(is_there.then_some(lock))
        });
        match locked {
            Ok(lock) => Ok(lock.map(|lock| Self { directory, _lock: lock })),
            Err(LockError::Held) => Ok(None),
            Err(LockError::File(error))
                if error.kind() == io::ErrorKind::NotFound && parent.is_dir() =>
            {
                Ok(None)
            }
            Err(LockError::File(error)) => Err(BackupError::File { path: directory, error }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// As far as they are this user's.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        let lock = entry.path().join(LOCK_FILE);
        // One without a lock is being made.
        if is_ours
            && lock.is_file()
            && let Ok(_held) = LockFile::take(lock)
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_what_was_left_goes() {
        let used = Scratch::new().unwrap();
        let left = std::env::temp_dir().join(format!("{PREFIX}{}", Uuid::new_v4()));
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK_FILE), "").unwrap();
        let next = Scratch::new().unwrap();
        assert!(used.path().is_dir() && next.path().is_dir() && !left.exists());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists() && used.path().is_dir());
    }
}
