//! How a file looks from outside.

use std::{io, os::unix::fs::MetadataExt as _, path::PathBuf};

/// What tells one content of a path from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamp {
    Of { device: u64, inode: u64, bytes: u64, modified: (i64, i64), changed: (i64, i64) },
    Unreadable(io::ErrorKind),
}

/// Blocks.
pub(crate) fn of(paths: &[PathBuf]) -> Vec<Stamp> {
    let of_one = |path: &PathBuf| match std::fs::metadata(path) {
        Ok(data) => Stamp::Of {
            device: data.dev(),
            inode: data.ino(),
            bytes: data.len(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        },
        Err(error) => Stamp::Unreadable(error.kind()),
    };
    paths.iter().map(of_one).collect()
}
