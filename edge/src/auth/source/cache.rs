//! The last good sets in a file, for a start while their issuer is away.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::{fs::OFlags, process::geteuid};
use serde::{Deserialize, Serialize};

/// Of several sets. What is longer was not written here.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why nothing is known of what was kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    /// Others may have written it.
    #[error("{0}")]
    Unsafe(&'static str),
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// The next time it may be read.
    #[error(transparent)]
    Unread(#[from] io::Error),
}

/// One set, as its URL gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// In Unix seconds.
    pub(super) fetched_at: i64,
    pub(super) text: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    /// By URL.
    sets: BTreeMap<String, Kept>,
}

/// All calls block.
#[derive(Debug)]
pub(in crate::auth) struct Cache {
    path: PathBuf,
    /// Others are not kept.
    urls: Vec<String>,
    is_read_only: bool,
    /// What is in the file, or comes into it; absent until it is looked at.
    document: Mutex<Option<Document>>,
}

impl Cache {
    pub(in crate::auth) fn new(path: PathBuf, urls: Vec<String>) -> Self {
        Self { path, urls, is_read_only: false, document: Mutex::new(None) }
    }

    /// For who is no edge, but looks at its file.
    pub(in crate::auth) fn only_read(&mut self) {
        self.is_read_only = true;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was kept of a URL by an earlier process; nothing if there is no file.
    pub(super) fn get(&self, url: &str) -> Result<Option<Kept>, CacheError> {
        Ok(self.read()?.sets.remove(url))
    }

    fn read(&self) -> Result<Document, CacheError> {
        // Else the opening of a FIFO waits for who writes into it.
        let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Document::default()),
            file => file?,
        };
        // Who writes it says whose tokens are good.
        check(&file)?;
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// As a whole or not at all, even if the machine fails.
    pub(super) fn put(&self, url: &str, kept: Kept) -> Result<(), CacheError> {
        if self.is_read_only {
            return Ok(());
        }
        let mut document = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        // What is kept of an issuer that is away stays.
        let document = match &mut *document {
            Some(document) => document,
            unread @ None => unread.insert(match self.read() {
                Ok(document) => document,
                Err(CacheError::Unsafe(_) | CacheError::Damaged(_)) => Document::default(),
                Err(error @ CacheError::Unread(_)) => return Err(error),
            }),
        };
        document.sets.retain(|url, _| self.urls.contains(url));
        document.sets.insert(url.to_owned(), kept);
        let text = serde_json::to_vec(document)?;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        // Nobody else may read or write it.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(io::Error::from)?;
        Ok(File::open(directory)?.sync_all()?)
    }
}

/// Whether nobody else can have written what was opened.
fn check(file: &File) -> Result<(), CacheError> {
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(CacheError::Unsafe("it is no regular file"));
    }
    if data.uid() != 0 && data.uid() != geteuid().as_raw() {
        return Err(CacheError::Unsafe(
            "it is another user's: chown it to the user of this process",
        ));
    }
    if data.mode() & 0o022 != 0 {
        return Err(CacheError::Unsafe("other users of this machine can write it: chmod 600"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, chown, symlink},
    };

    use super::*;

    fn kept(text: &str) -> Kept {
        Kept { fetched_at: 7, text: text.to_owned() }
    }

    fn cache_of(path: &Path, urls: &[&str]) -> Cache {
        Cache::new(path.to_owned(), urls.iter().map(|url| (*url).to_owned()).collect())
    }

    #[test]
    fn what_is_kept_of_an_issuer_that_is_away_stays_while_it_is_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        let first = cache_of(&path, &["one", "two"]);
        first.put("one", kept("1")).expect("written");
        first.put("two", kept("2")).expect("written");
        let next = cache_of(&path, &["two", "three"]);
        next.put("three", kept("3")).expect("written");
        let last = cache_of(&path, &[]);
        assert_eq!(last.get("one").expect("read"), None);
        assert_eq!(last.get("two").expect("read"), Some(kept("2")));
        assert_eq!(last.get("three").expect("read"), Some(kept("3")));
    }

    #[test]
    fn the_next_process_finds_the_last_set_of_each_url() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        let cache = cache_of(&path, &["one", "two"]);
        assert_eq!(cache.get("one").expect("no file is no error"), None);
        cache.put("one", kept("1")).expect("written");
        cache.put("two", kept("2")).expect("written");
        cache.put("one", kept("3")).expect("written");
        let next = cache_of(&path, &["one", "two"]);
        assert_eq!(next.get("one").expect("read"), Some(kept("3")));
        assert_eq!(next.get("two").expect("read"), Some(kept("2")));
        assert_eq!(next.get("three").expect("read"), None);
        let mode = fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn a_file_that_others_can_write_or_that_is_damaged_says_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        let cache = cache_of(&path, &["one"]);
        cache.put("one", kept("1")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).expect("chmod");
        assert!(cache.get("one").is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::write(&path, "{").expect("written");
        assert!(cache.get("one").is_err());
    }

    #[test]
    fn what_is_no_file_of_this_user_says_nothing_and_holds_nobody_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        let unsafe_for = |reason: &str| match cache_of(&path, &["one"]).get("one") {
            Err(CacheError::Unsafe(told)) => assert!(told.contains(reason), "{told}"),
            other => panic!("{other:?}"),
        };
        let fifo = rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        );
        fifo.expect("a FIFO");
        unsafe_for("no regular file");
        fs::remove_file(&path).expect("removed");
        symlink(directory.path(), &path).expect("a link");
        unsafe_for("no regular file");
        fs::remove_file(&path).expect("removed");
        cache_of(&path, &["one"]).put("one", kept("1")).expect("written");
        // Only root can give it away.
        if geteuid().is_root() {
            chown(&path, Some(1), None).expect("chown");
            unsafe_for("another user's");
        }
    }

    #[test]
    fn what_cannot_be_read_now_is_not_written_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        cache_of(&path, &["one"]).put("one", kept("1")).expect("written");
        let (hidden, away) = (directory.path().join("hidden.json"), directory.path().join("away"));
        // A link to itself cannot be opened, and is gone the next time.
        fs::rename(&path, &hidden).expect("renamed");
        symlink(&away, &away).expect("a link");
        symlink(&away, &path).expect("a link");
        let cache = cache_of(&path, &["one", "two"]);
        assert!(matches!(cache.put("two", kept("2")), Err(CacheError::Unread(_))));
        fs::remove_file(&path).expect("removed");
        fs::rename(&hidden, &path).expect("renamed");
        cache.put("two", kept("2")).expect("written");
        assert_eq!(cache_of(&path, &[]).get("one").expect("read"), Some(kept("1")));
    }

    #[test]
    fn who_only_reads_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        let mut cache = cache_of(&path, &["one"]);
        cache.only_read();
        cache.put("one", kept("1")).expect("no error");
        assert!(!path.exists());
    }
}
