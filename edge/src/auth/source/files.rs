//! Files of keys, which are read again when they change. What is not usable changes nothing.

use std::{io, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use netrox_audit::{Audit, Name};
use tokio::{
    select,
    sync::Notify,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{Source, key_set};
use crate::{
    config::{JwtKey, KeyFile, KeyFileError},
    notice::Notice,
    tasks::Tasks,
};

const INTERVAL: Duration = Duration::from_secs(2);

/// Has all files read, and all URLs asked, now.
#[derive(Debug)]
pub(in crate::auth) struct Reload {
    files: Arc<Notify>,
    sources: Vec<Arc<Source>>,
}

impl Reload {
    pub(in crate::auth) fn now(&self) {
        self.files.notify_one();
        for remote in self.sources.iter().filter_map(|source| source.as_remote()) {
            remote.fetch_now();
        }
    }
}

/// What tells one content of a path from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    Of { device: u64, inode: u64, bytes: u64, modified: (i64, i64), changed: (i64, i64) },
    Unreadable(io::ErrorKind),
}

impl Stamp {
    /// Blocks.
    fn of(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(data) => Self::Of {
                device: data.dev(),
                inode: data.ino(),
                bytes: data.len(),
                modified: (data.mtime(), data.mtime_nsec()),
                changed: (data.ctime(), data.ctime_nsec()),
            },
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

/// Looks at the files of all sources until the drain.
pub(super) fn keep(sources: &[Arc<Source>], audit: &Audit, tasks: &Tasks) -> Reload {
    let reload = Reload { files: Arc::new(Notify::new()), sources: sources.to_vec() };
    let watched = sources.iter().filter_map(|source| {
        let file = source.file()?;
        // It may have changed since it was read.
        let (source, key) = (Arc::clone(source), file.key.clone());
        let unread = Notice::default();
        Some(Watched { source, audit: audit.clone(), key, stamp: None, unread })
    });
    let mut watched: Vec<_> = watched.collect();
    if watched.is_empty() {
        return reload;
    }
    let (wanted, draining) = (Arc::clone(&reload.files), tasks.draining().clone());
    let watch = async move {
        let mut interval = interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_told = select! {
                () = wanted.notified() => true,
                _ = interval.tick() => false,
            };
            for file in &mut watched {
                file.look(is_told).await;
            }
        }
    };
    // A read may hang with its disk.
    tasks.spawn(async move {
        draining.run_until_cancelled(watch).await;
    });
    reload
}

struct Watched {
    source: Arc<Source>,
    audit: Audit,
    /// What is used.
    key: JwtKey,
    /// Of the content that was read last, whether it could be used or not.
    stamp: Option<Stamp>,
    /// Of reads that failed.
    unread: Notice,
}

impl Watched {
    /// Reads it if it has changed, and if told in any case.
    async fn look(&mut self, is_told: bool) {
        let Some(file) = self.source.file() else { return };
        let (KeyFile { path, read, .. }, before) = (file.clone(), self.stamp);
        let looked = spawn_blocking(move || {
            let stamp = Stamp::of(&path);
            let is_changed = is_told || before != Some(stamp);
            (stamp, is_changed.then(|| read()))
        });
        let Ok((stamp, read)) = looked.await else { return };
        let name = &self.source.name;
        // The same content may be read at the next look.
        if let Some(Err(KeyFileError::Unread(reason))) = &read {
            self.stamp = None;
            if self.unread.is_due() {
                self.refused(reason);
            }
            return;
        }
        self.stamp = Some(stamp);
        let parsed = match read {
            None => return,
            Some(Ok(key)) if key == self.key => return,
            Some(Ok(key)) => key_set(&key).map(|parsed| (key, parsed)),
            Some(Err(reason)) => return self.refused(&reason.to_string()),
        };
        match parsed {
            Ok((_, parsed)) if !self.source.takes(&parsed.set) => {
                self.refused("its keys are for none of the algorithms that are taken");
            }
            Ok((key, parsed)) => {
                self.unread = Notice::default();
                if !parsed.left_out.is_empty() {
                    tracing::warn!("keys of {name} are left out: {}", parsed.left_out);
                }
                let count = parsed.set.len();
                self.source.put(parsed.set);
                self.key = key;
                tracing::info!(keys = count, "new keys of access tokens, of {name}");
                self.audit.reloaded(Name::KeysReloaded, Ok(name.clone()));
            }
            Err(error) => self.refused(error.reason()),
        }
    }

    fn refused(&self, reason: &str) {
        let name = &self.source.name;
        tracing::error!("{name} has changed and is not usable, its last keys stay: {reason}");
        self.audit.reloaded(Name::KeysReloaded, Err(format!("{name}: {reason}")));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicU64, Ordering},
    };

    use super::*;
    use crate::config::KeySource;

    /// One that is read to the end of `outcomes`, and a count of the reads.
    fn watched(
        path: &Path,
        outcomes: Vec<Result<JwtKey, KeyFileError>>,
    ) -> (Watched, Arc<AtomicU64>) {
        let (count, outcomes) = (Arc::new(AtomicU64::new(0)), std::sync::Mutex::new(outcomes));
        let reads = Arc::clone(&count);
        let read = Arc::new(move || {
            reads.fetch_add(1, Ordering::Relaxed);
            outcomes.lock().expect("no panic").remove(0)
        });
        let key = JwtKey::Secret(b"one".to_vec());
        let file = KeyFile { path: path.to_owned(), key: key.clone(), read };
        let source = Source::new(&KeySource::File(file), |_, _| unreachable!());
        let source = Arc::new(source.expect("a usable key"));
        let (audit, unread) = (Audit::default(), Notice::default());
        (Watched { source, audit, key, stamp: None, unread }, count)
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_read_again_and_what_was_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        fs::write(&path, "").expect("written");
        let unread = || Err(KeyFileError::Unread("too many open files".to_owned()));
        let unusable = Err(KeyFileError::Unusable("it is no key".to_owned()));
        let two = JwtKey::Secret(b"two".to_vec());
        let outcomes = vec![unread(), unread(), Ok(two.clone()), unusable];
        let (mut watched, reads) = watched(&path, outcomes);
        for read in [1, 2, 3, 3, 3] {
            watched.look(false).await;
            assert_eq!(reads.load(Ordering::Relaxed), read);
        }
        assert!(watched.key == two);
        assert_eq!(watched.source.changes(), 1);
        // What is not usable is not tried again until it changes.
        fs::write(&path, "changed").expect("written");
        for _ in 0..2 {
            watched.look(false).await;
            assert_eq!(reads.load(Ordering::Relaxed), 4);
        }
        assert_eq!(watched.source.changes(), 1);
    }

    #[tokio::test]
    async fn keys_for_other_algorithms_are_not_taken() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        fs::write(&path, "").expect("written");
        let other = JwtKey::PublicKeyPem(include_bytes!("../keys/p256.pub.pem").to_vec());
        let (mut watched, reads) = watched(&path, vec![Ok(other)]);
        watched.source.only_for(&super::super::key::OF_SECRETS);
        watched.look(false).await;
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        assert_eq!(watched.source.changes(), 0);
        assert!(watched.key == JwtKey::Secret(b"one".to_vec()));
    }
}
