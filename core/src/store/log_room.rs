//! Room beside SQLite's log. What it holds has to be written back to the database before its file is used anew: a disk that the
//! log has filled would stay full.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// What one more transaction may add to the log: the text of a batch, and the pages that it changes.
const TRANSACTION_BYTES: u64 = 16 * 1024 * 1024;
/// More than any disk takes between two looks.
const PLENTY: u64 = 4 * 1024 * 1024 * 1024;

/// How much is free beyond what the log takes to be written back, in bytes, when that was last looked at.
#[derive(Debug, Default)]
pub(super) struct LogRoom(AtomicU64);

impl LogRoom {
    pub(super) fn look(&self, log: &Path) -> io::Result<()> {
        let log_bytes = match log.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let disk = rustix::fs::statvfs(log.parent().unwrap_or(log))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        self.0.store(free.saturating_sub(log_bytes), Ordering::Relaxed);
        Ok(())
    }

    /// Whether there is so much that none need look again before the next second.
    pub(super) fn is_plenty(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= PLENTY
    }

    pub(super) fn takes_a_transaction(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= TRANSACTION_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_holds_is_not_free() {
        let directory = tempfile::tempdir().expect("a directory");
        let (log, room) = (directory.path().join("log"), LogRoom::default());
        assert!(!room.takes_a_transaction());
        room.look(&log).expect("a disk");
        let empty = room.0.load(Ordering::Relaxed);
        // As long as it says, and nothing on the disk.
        let file = std::fs::File::create(&log).expect("a file");
        file.set_len(empty / 2).expect("a length");
        room.look(&log).expect("a disk");
        assert!(room.0.load(Ordering::Relaxed) <= empty / 2 + empty / 4);
        file.set_len(u64::from(u32::MAX) << 10).expect("a length");
        room.look(&log).expect("a disk");
        assert!(!room.takes_a_transaction());
    }
}
