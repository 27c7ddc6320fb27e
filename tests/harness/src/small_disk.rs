//! A disk of a few megabytes: a tmpfs in a mount namespace of its own.

use std::{
    ffi::OsString,
    fs::{File, remove_file},
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

const BALLAST: &str = "ballast";

/// A small disk that only processes started by its launcher can see, though the test reaches it too.
/// It lasts as long as this does.
#[derive(Debug)]
pub struct SmallDisk {
    /// Where it is mounted in the namespace; empty outside.
    directory: TempDir,
    /// Holds the namespace.
    keeper: Child,
}

impl SmallDisk {
    pub fn mount(bytes: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Whoever is not root becomes it in a user namespace.
        let mut command = Command::new("unshare");
        if !is_root() {
            command.arg("--map-root-user");
        }
        let mut keeper = command
            .args(["--mount", "sh", "-c"])
            .arg("mount -t tmpfs -o size=$1 tmpfs \"$2\" && echo mounted && exec cat")
            .args(["sh", &bytes.to_string()])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare, of util-linux");
        let mut line = String::new();
        let stdout = keeper.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("read from unshare");
        assert_eq!(line, "mounted\n", "a mount namespace is needed for this test");
        Self { directory, keeper }
    }

    /// Its path as processes in the namespace see it.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The command line that starts another in the namespace. Whoever is not root is root in there.
    pub fn launcher(&self) -> Vec<OsString> {
        let mut words = vec!["nsenter".into(), "--mount".into()];
        if !is_root() {
            words.extend(["--user".into(), "--preserve-credentials".into()]);
        }
        words.extend(["--target".into(), self.keeper.id().to_string().into(), "--".into()]);
        words
    }

    fn outside_path(&self, path: impl AsRef<Path>) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        let inside = self.path().strip_prefix("/").expect("an absolute path");
        root.join(inside).join(path)
    }

    /// Makes a directory that belongs to a user and a group, and gives its path as processes in the namespace see it.
    pub(crate) fn directory_of(&self, name: &str, owner: Option<(u32, u32)>) -> PathBuf {
        let outside = self.outside_path(name);
        std::fs::create_dir(&outside).expect("make a directory");
        if let Some((user, group)) = owner {
            chown(&outside, Some(user), Some(group)).expect("give a directory away");
        }
        self.path().join(name)
    }

    /// Leaves no room for another byte.
    pub fn fill(&self) {
        let mut ballast = File::create(self.outside_path(BALLAST)).expect("create the ballast");
        for size in [1 << 20, 1 << 12, 1] {
            let bytes = vec![0; size];
            let full = loop {
                if let Err(error) = ballast.write_all(&bytes) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    pub fn free(&self) {
        remove_file(self.outside_path(BALLAST)).expect("remove the ballast");
    }

    /// What a file has by now; nothing where there is none.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.outside_path(path)).unwrap_or_default()
    }

    /// How many files are somewhere below a directory.
    pub fn files_below(&self, directory: &str) -> usize {
        let mut files = 0;
        let mut directories = vec![self.outside_path(directory)];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { directories.push(path) } else { files += 1 }
            }
        }
        files
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("a process").uid() == 0
}
