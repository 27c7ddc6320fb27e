//! The last good sets in a file, for a start while their issuer is away.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// Of several sets. What is longer was not written here.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

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
    /// What is in the file, or comes into it; absent until it is looked at.
    document: Mutex<Option<Document>>,
}

impl Cache {
    pub(in crate::auth) fn new(path: PathBuf, urls: Vec<String>) -> Self {
        Self { path, urls, document: Mutex::new(None) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was kept of a URL by an earlier process; nothing where there is no file.
    pub(super) fn get(&self, url: &str) -> io::Result<Option<Kept>> {
        Ok(self.read()?.sets.remove(url))
    }

    fn read(&self) -> io::Result<Document> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Document::default()),
            file => file?,
        };
        // Who writes it says whose tokens are good.
        if file.metadata()?.permissions().mode() & 0o022 != 0 {
            let reason = "other users of this machine can write it: chmod 600";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// As a whole or not at all, also where the machine fails.
    pub(super) fn put(&self, url: &str, kept: Kept) -> io::Result<()> {
        let mut document = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        // What is kept of an issuer that is away stays.
        let document = document.get_or_insert_with(|| self.read().unwrap_or_default());
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
        file.persist(&self.path)?;
        fs::File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
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
}
