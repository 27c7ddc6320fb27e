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
    config::{JwtKey, KeyFile},
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
        Some(Watched { source, audit: audit.clone(), key, stamp: None })
    });
    let mut watched: Vec<_> = watched.collect();
    if watched.is_empty() {
        return reload;
    }
    let (wanted, draining) = (Arc::clone(&reload.files), tasks.draining().clone());
    tasks.spawn(async move {
        let mut interval = interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_told = select! {
                () = draining.cancelled() => return,
                () = wanted.notified() => true,
                _ = interval.tick() => false,
            };
            for file in &mut watched {
                file.look(is_told).await;
            }
        }
    });
    reload
}

struct Watched {
    source: Arc<Source>,
    audit: Audit,
    /// What is used.
    key: JwtKey,
    stamp: Option<Stamp>,
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
        self.stamp = Some(stamp);
        let name = &self.source.name;
        let parsed = match read {
            None => return,
            Some(Ok(key)) if key == self.key => return,
            Some(Ok(key)) => key_set(&key).map(|parsed| (key, parsed)),
            Some(Err(reason)) => return self.refused(&reason.to_string()),
        };
        match parsed {
            Ok((key, parsed)) => {
                if !parsed.left_out.is_empty() {
                    tracing::warn!("keys of {name} are left out: {}", parsed.left_out);
                }
                let count = parsed.set.len();
                self.source.put(parsed.set);
                self.key = key;
                tracing::info!(keys = count, "new keys of access tokens, of {name}");
                self.audit.reloaded(Name::KeysReloaded, Ok(name.clone()));
            }
            Err(error) => self.refused(&error.reason().to_string()),
        }
    }

    fn refused(&self, reason: &str) {
        let name = &self.source.name;
        tracing::error!("{name} has changed and is not usable, its last keys stay: {reason}");
        self.audit.reloaded(Name::KeysReloaded, Err(format!("{name}: {reason}")));
    }
}
