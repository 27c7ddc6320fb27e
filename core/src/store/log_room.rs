//! Room beside SQLite's log. What it holds has to be written back to the database before its file is used anew: a disk that the
//! log has filled would stay full.

use std::{
    io,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// What one more transaction may take: in the log the text of a batch and the pages that it changes, and what of that is new
/// once more in the database.
const TRANSACTION_BYTES: u64 = 32 * 1024 * 1024;
/// More than a disk takes between two looks.
const PLENTY: u64 = 1024 * 1024 * 1024;
/// Where a file system does not tell, it is full when it says so.
const UNKNOWN: u64 = u64::MAX;

/// How much is free beyond what the log takes to be written back, in bytes, when that was last looked at. Others may take it
/// meanwhile: what they fill, they have to make room on.
#[derive(Debug, Default)]
pub(super) struct LogRoom {
    bytes: AtomicU64,
    told: OnceLock<()>,
}

impl LogRoom {
    pub(super) fn look(&self, log: &Path) {
        let bytes = free_beside(log).unwrap_or_else(|error| {
            self.told.get_or_init(|| {
                tracing::warn!(%error, "the file system of the database does not tell how much room it has");
            });
            UNKNOWN
        });
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether there is so much that none need look again before the next second.
    pub(super) fn is_plenty(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= PLENTY
    }

    pub(super) fn takes_a_transaction(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= TRANSACTION_BYTES
    }
}

pub(super) fn free_beside(log: &Path) -> io::Result<u64> {
    let log_bytes = match log.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let disk = rustix::fs::statvfs(log.parent().unwrap_or(log))?;
    // In memory alone, for example.
    if disk.f_blocks == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok(free.saturating_sub(log_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_holds_is_not_free() {
        let directory = tempfile::tempdir().expect("a directory");
        let (log, room) = (directory.path().join("log"), LogRoom::default());
        assert!(!room.takes_a_transaction());
        let look = || {
            room.look(&log);
            room.bytes.load(Ordering::Relaxed)
        };
        let empty = look();
        // As long as it says, and nothing on the disk.
        let file = std::fs::File::create(&log).expect("a file");
        file.set_len(empty / 2).expect("a length");
        assert!(look() <= empty / 2 + empty / 4);
        file.set_len(empty + empty / 2).expect("a length");
        assert_eq!(look(), 0);
        assert!(!room.takes_a_transaction());
    }

    #[test]
    fn what_tells_nothing_is_not_full() {
        let room = LogRoom::default();
        // No such directory, and one of a file system without blocks.
        for log in ["/no-such-directory/log", "/proc/self/log"] {
            room.look(Path::new(log));
            assert!(room.is_plenty() && room.takes_a_transaction(), "{log}");
            room.bytes.store(0, Ordering::Relaxed);
        }
    }
}
