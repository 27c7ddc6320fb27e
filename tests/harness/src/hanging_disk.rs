//! A disk that does not come to an end with what it is to flush: a library that stands before the C library. It needs a
//! C compiler, as the program does, and a program that loads its C library when it is started.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Builder, Role, eventually};

const SOURCE: &str = include_str!("hanging_disk.c");

/// It lasts as long as this does.
#[derive(Debug)]
pub struct HangingDisk(TempDir);

impl HangingDisk {
    /// It does not hang until it is told.
    pub fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let source = directory.path().join("hanging_disk.c");
        std::fs::write(&source, SOURCE).expect("write the library");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-shared", "-fPIC", "-O1", "-o"]);
        command.arg(library(directory.path())).arg(source);
        let compiled = command.output().expect("a C compiler");
        assert!(compiled.status.success(), "{compiled:?}");
        Self(directory)
    }

    /// Puts what a process keeps on it.
    pub fn under(&self, builder: Builder, role: Role) -> Builder {
        let variables: [(&str, OsString); 3] = [
            ("LD_PRELOAD", library(self.0.path()).into()),
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
        self.0.path().join("told")
    }

    fn waits(&self) -> PathBuf {
        self.0.path().join("waits")
    }
}

fn library(directory: &Path) -> PathBuf {
    directory.join("hanging_disk.so")
}
