//! A disk that does not come to an end with what it is to flush.

use std::{ffi::OsString, fs::File, path::PathBuf};

use tempfile::TempDir;

use crate::{Builder, Role, eventually, preload};

const SOURCE: &str = include_str!("hanging_disk.c");

/// It lasts as long as this does.
#[derive(Debug)]
pub struct HangingDisk {
    directory: TempDir,
    library: PathBuf,
}

impl HangingDisk {
    /// It does not hang until it is told.
    pub fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let library = preload::compile("hanging_disk", SOURCE, directory.path());
        Self { directory, library }
    }

    /// Puts what a process keeps on it.
    pub fn under(&self, builder: Builder, role: Role) -> Builder {
        let variables: [(&str, OsString); 3] = [
            (preload::VARIABLE, self.library.clone().into()),
            ("HANGING_DISK_TOLD", self.told().into()),
            ("HANGING_DISK_WAITS", self.waits().into()),
        ];
        variables
            .into_iter()
            .fold(builder, |builder, (name, value)| builder.variable(role, name, value))
    }

    /// From now on whoever flushes waits.
    pub fn hang(&self) {
        let _ = std::fs::remove_file(self.waits());
        File::create(self.told()).expect("tell the disk");
    }

    /// Waits until somebody waits.
    pub async fn hangs(&self) {
        let waits = self.waits();
        eventually("a flush", async || waits.exists().then_some(())).await;
    }

    pub fn go_on(&self) {
        std::fs::remove_file(self.told()).expect("tell the disk");
    }

    fn told(&self) -> PathBuf {
        self.directory.path().join("told")
    }

    fn waits(&self) -> PathBuf {
        self.directory.path().join("waits")
    }
}
