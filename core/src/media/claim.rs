//! The claim of the core that is alone with a database to its directory of files: a lock, which names the last file that
//! a message came to refer to.
//!
//! A copy of the database has the notes of uploads that were under way when it was made, and may be started on the same
//! files. The original has finished these uploads since, or not; the one writer that it is commits one after the other,
//! so that a copy which knows the last of them has all of them.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::spawn_blocking;

use crate::lock::{LockError, LockFile};

/// Beside the directory of all attachments.
const LOCK_FILE: &str = "attachments.lock";

#[derive(Debug)]
pub(crate) struct Claim {
    /// `None` once it is released.
    lock: Mutex<Option<LockFile>>,
    /// The greatest id of a message that was named: several become known at once.
    last: Mutex<i64>,
}

impl Claim {
    pub(crate) fn take(directory: &Path) -> Result<Self, LockError> {
        let lock = LockFile::take(directory.join(LOCK_FILE))?;
        Ok(Self { lock: Mutex::new(Some(lock)), last: Mutex::new(0) })
    }

    /// The file that was named last, by this core or by one before it; empty where there is none.
    pub(crate) fn last_file(&self) -> io::Result<String> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.as_ref().map_or(Ok(String::new()), LockFile::text)
    }

    /// Names the file of a message that is stored. Not synced: a power cut may bring an older one back.
    pub(crate) async fn name(self: &Arc<Self>, message_id: i64, path: String) {
        let this = Arc::clone(self);
        // It goes on where its caller does not wait.
        let named = spawn_blocking(move || {
            let mut last = this.last.lock().unwrap_or_else(PoisonError::into_inner);
            if message_id <= *last {
                return Ok(());
            }
            if let Some(lock) = &*this.lock.lock().unwrap_or_else(PoisonError::into_inner) {
                lock.set_text(&path)?;
            }
            *last = message_id;
            Ok(())
        });
        if let Err(error) = named.await.map_err(io::Error::other).flatten() {
            tracing::warn!(%error, path = LOCK_FILE, "cannot name the last attachment");
        }
    }

    pub(crate) fn release(&self) {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_names_the_last_file_whatever_order_they_become_known_in() {
        let directory = tempfile::tempdir().unwrap();
        let claim = Arc::new(Claim::take(directory.path()).unwrap());
        assert_eq!(claim.last_file().unwrap(), "");
        for (id, path) in [(7, "seven"), (9, "nine"), (8, "eight")] {
            claim.name(id, path.to_owned()).await;
        }
        assert_eq!(claim.last_file().unwrap(), "nine");
        assert!(Claim::take(directory.path()).is_err());
        claim.release();
        let next = Arc::new(Claim::take(directory.path()).unwrap());
        assert_eq!(next.last_file().unwrap(), "nine");
        // Of a database that went back.
        next.name(1, "one".to_owned()).await;
        assert_eq!(next.last_file().unwrap(), "one");
    }
}
