//! Where keys come from, and those that it gave last.
//!
//! * [`remote`]: a URL that is asked again and again; [`fetch`]: how it is asked; [`cache`]: what is kept of its answers
//!   for the next start.
//! * [`files`]: files that are read again when they change.

mod cache;
mod fetch;
mod files;
mod remote;

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use netrox_audit::Audit;

pub use self::fetch::{check_authorities, check_key_url};
pub(super) use self::{cache::Cache, fetch::Fetcher, files::Reload, remote::Remote};
use super::{
    jwk::Origin,
    jwks,
    key::{self, ConfigError},
    key_set::KeySet,
};
use crate::{
    config::{JwtKey, KeyFile, KeySource},
    metrics::KeyMetrics,
    tasks::Tasks,
};

/// A source of keys. What it gave last is there until it gives something else.
#[derive(Debug)]
pub(super) struct Source {
    /// In logs and metrics.
    name: String,
    keys: RwLock<Option<Arc<KeySet>>>,
    /// How often they became others.
    changes: AtomicU64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Fixed,
    File(KeyFile),
    Remote(Remote),
}

impl Source {
    pub(super) fn new(
        config: &KeySource,
        remote: impl FnOnce(&str, bool) -> Result<Remote, ConfigError>,
    ) -> Result<Self, ConfigError> {
        Ok(match config {
            KeySource::Fixed(key) => Self {
                name: String::new(),
                keys: RwLock::new(Some(Arc::new(key_set(key)?.set))),
                changes: AtomicU64::new(0),
                kind: Kind::Fixed,
            },
            KeySource::File(file) => {
                let parsed = key_set(&file.key)?;
                let name = file.path.display().to_string();
                if !parsed.left_out.is_empty() {
                    tracing::warn!("keys of {name} are left out: {}", parsed.left_out);
                }
                let keys = RwLock::new(Some(Arc::new(parsed.set)));
                Self { name, keys, changes: AtomicU64::new(0), kind: Kind::File(file.clone()) }
            }
            KeySource::Url(url) => Self::remote(remote(url, false)?),
            KeySource::Discovery(issuer) => Self::remote(remote(issuer, true)?),
        })
    }

    fn remote(remote: Remote) -> Self {
        let name = remote.name();
        let (keys, changes) = (RwLock::new(None), AtomicU64::new(0));
        Self { name, keys, changes, kind: Kind::Remote(remote) }
    }

    /// Absent until there are any.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether they are others than before.
    fn put(&self, set: KeySet) -> bool {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = keys.as_ref().is_none_or(|keys| !keys.is_same_as(&set));
        if is_new {
            *keys = Some(Arc::new(set));
            self.changes.fetch_add(1, Ordering::Release);
        }
        is_new
    }

    fn file(&self) -> Option<&KeyFile> {
        match &self.kind {
            Kind::File(file) => Some(file),
            Kind::Fixed | Kind::Remote(_) => None,
        }
    }

    /// Whether it gave nothing usable the last time.
    pub(super) fn is_away(&self) -> bool {
        self.as_remote().is_some_and(Remote::is_away)
    }

    /// By which it is known in the cache.
    pub(super) fn url(&self) -> Option<String> {
        self.as_remote().map(Remote::url)
    }

    fn as_remote(&self) -> Option<&Remote> {
        match &self.kind {
            Kind::Remote(remote) => Some(remote),
            Kind::Fixed | Kind::File(_) => None,
        }
    }

    /// Has the keys asked for anew, since they lack one, and waits for the answer. False where that was done of late, or
    /// cannot be.
    pub(super) async fn refetched(&self) -> bool {
        match self.as_remote() {
            Some(remote) => remote.refetched().await,
            None => false,
        }
    }
}

/// Keeps the keys of all sources up to date, until the drain.
pub(super) fn keep(
    sources: &[Arc<Source>],
    fetcher: Option<&Fetcher>,
    cache: Option<Cache>,
    (metrics, audit): (&KeyMetrics, &Audit),
    tasks: &Tasks,
) -> Reload {
    let cache = cache.map(Arc::new);
    let remote = sources.iter().filter(|source| source.as_remote().is_some());
    for (source, fetcher) in remote.zip(fetcher.into_iter().cycle()) {
        let (source, fetcher) = (Arc::clone(source), fetcher.clone());
        let (cache, metrics, audit) = (cache.clone(), metrics.clone(), audit.clone());
        let draining = tasks.draining().clone();
        tasks.spawn(async move {
            let kept = remote::keep(&source, &fetcher, cache.as_ref(), (&metrics, &audit));
            draining.run_until_cancelled(kept).await;
        });
    }
    files::keep(sources, audit, tasks)
}

fn key_set(key: &JwtKey) -> Result<jwks::Parsed, ConfigError> {
    let single = |key| jwks::Parsed { set: KeySet::single(key), left_out: String::new() };
    match key {
        JwtKey::Secret(secret) => key::of_secret(secret).map(single),
        JwtKey::PublicKeyPem(pem) => key::of_pem(pem).map(single),
        JwtKey::KeySet(text) => {
            let parsed = jwks::parse(text, Origin::File);
            parsed.map_err(|error| ConfigError::new(error.to_string()))
        }
    }
}
