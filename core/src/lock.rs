//! Files that keep a second process away. What is written into them is for the next start.

use std::{
    fs::{File, Metadata, TryLockError},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

/// More than any path; what is longer was not written here.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// Which file a path leads to. No other has the same, as long as anybody has it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// It stays the same when the machine starts again.
    pub(crate) fn inode(self) -> u64 {
        self.inode
    }

    /// `None` where the path leads to nothing.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        match path.metadata() {
            Ok(metadata) => Ok(Some(metadata.into())),
            Err(error) if is_nothing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<Metadata> for FileId {
    fn from(metadata: Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another process uses it")]
    Held,
    #[error("{0}")]
    File(#[from] io::Error),
}

/// Locked until it is released or dropped, or until the process ends however it does.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    file: File,
}

impl LockFile {
    /// Creates the file where it is missing.
    pub(crate) fn take(path: PathBuf) -> Result<Self, LockError> {
        let mut options = File::options();
        let file = options.create(true).truncate(false).read(true).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The path at which it was locked.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that is locked, whatever its path leads to now.
    pub(crate) fn id(&self) -> io::Result<FileId> {
        Ok(self.file.metadata()?.into())
    }

    /// Its first line, without white space around it.
    pub(crate) fn text(&self) -> io::Result<String> {
        let mut bytes = vec![0; MAX_TEXT_BYTES];
        let length = self.file.read_at(&mut bytes, 0)?;
        Ok(first_line(&bytes[..length]))
    }

    /// Replaces the text, which is one line. Never leaves less than the old or the new one behind.
    pub(crate) fn set_text(&self, text: &str) -> io::Result<()> {
        let line = format!("{text}\n");
        self.file.write_all_at(line.as_bytes(), 0)?;
        self.file.set_len(line.len() as u64)
    }

    /// Makes the text durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    pub(crate) fn release(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

/// The text of a lock that somebody may hold; empty where there is no such file.
pub(crate) fn text_at(path: &Path) -> io::Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(first_line(&bytes[..bytes.len().min(MAX_TEXT_BYTES)])),
        Err(error) if is_nothing(&error) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_outlives_its_lock_and_can_become_shorter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        assert_eq!(text_at(&path).unwrap(), "");
        let lock = LockFile::take(path.clone()).unwrap();
        assert_eq!(lock.text().unwrap(), "");
        for text in ["a long text", "short", ""] {
            lock.set_text(text).unwrap();
            assert_eq!((lock.text().unwrap(), text_at(&path).unwrap()), (text.into(), text.into()));
        }
        assert!(matches!(LockFile::take(path.clone()), Err(LockError::Held)));
        lock.set_text("kept").unwrap();
        drop(lock);
        assert_eq!(LockFile::take(path).unwrap().text().unwrap(), "kept");
    }

    #[test]
    fn a_file_in_the_place_of_another_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(FileId::of(&path).unwrap(), None);
        std::fs::write(&path, "a").unwrap();
        let open = File::open(&path).unwrap();
        let first = FileId::of(&path).unwrap();
        assert!(first.is_some());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a").unwrap();
        assert_ne!(FileId::of(&path).unwrap(), first);
        drop(open);
    }
}
