//! How much of a connection was written: it is counted where it is written, and waited for where it is read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// How much of a connection's answers was written, for bodies that give no more than can be.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// What is written is bulk: a file or a list.
    is_bulk: AtomicBool,
    /// The system is to take little of it before the peer does.
    keeps_little: AtomicBool,
    bytes: AtomicU64,
    more: Notify,
}

impl Written {
    pub(crate) fn begin_bulk(&self) {
        self.is_bulk.store(true, Ordering::Relaxed);
        self.keep_little();
    }

    /// From the next write on, so that a write that has to wait tells of a peer that does not read.
    pub(crate) fn keep_little(&self) {
        self.keeps_little.store(true, Ordering::Relaxed);
    }

    pub(crate) fn keeps_little(&self) -> bool {
        self.keeps_little.load(Ordering::Relaxed)
    }

    /// Bytes since the start of the connection.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Returns when so many bytes were written since the start of the connection. For one at a time.
    pub(crate) async fn reaches(&self, bytes: u64) {
        while self.bytes() < bytes {
            self.more.notified().await;
        }
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        if self.is_bulk.load(Ordering::Relaxed) {
            self.bytes.fetch_add(bytes as u64, Ordering::AcqRel);
            self.more.notify_one();
        }
    }
}
