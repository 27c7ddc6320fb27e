//! Where keys come from, and those that it gave last.
//!
//! * [`remote`]: a URL that is asked again and again; [`fetch`]: how it is asked; [`cache`]: what is kept of its answers
//!   for the next start.
//! * [`files`]: files that are read again when they change.

mod cache;
mod fetch;
mod files;
mod remote;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jsonwebtoken::Algorithm;
use netrox_audit::Audit;
use tokio::sync::watch;

pub use self::fetch::{check_authorities, check_key_url};
pub(super) use self::{
    cache::Cache,
    fetch::Fetcher,
    files::Reload,
    remote::{Asked, Looked, Remote},
};
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
    changes: watch::Sender<u64>,
    /// Those that its issuer takes.
    algorithms: OnceLock<Vec<Algorithm>>,
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
            KeySource::Fixed(key) => {
                Self::with(String::new(), Some(key_set(key)?.set), Kind::Fixed)
            }
            KeySource::File(file) => {
                let parsed = key_set(&file.key)?;
                let name = file.path.display().to_string();
                if !parsed.left_out.is_empty() {
                    let reason = &parsed.left_out;
                    tracing::warn!(source = name, reason, "keys of {name} are left out");
                }
                Self::with(name, Some(parsed.set), Kind::File(file.clone()))
            }
            KeySource::Url(url) => Self::remote(remote(url, false)?),
            KeySource::Discovery(issuer) => Self::remote(remote(issuer, true)?),
        })
    }

    fn remote(remote: Remote) -> Self {
        Self::with(remote.name(), None, Kind::Remote(remote))
    }

    fn with(name: String, keys: Option<KeySet>, kind: Kind) -> Self {
        let keys = RwLock::new(keys.map(Arc::new));
        Self { name, keys, changes: watch::Sender::new(0), algorithms: OnceLock::new(), kind }
    }

    /// From now on a set for none of these is not usable.
    pub(super) fn only_for(&self, algorithms: &[Algorithm]) {
        self.algorithms.get_or_init(|| algorithms.to_vec());
    }

    /// Whether some token can be signed with a key of it.
    fn takes(&self, set: &KeySet) -> bool {
        let taken = self.algorithms.get();
        taken.is_none_or(|taken| set.algorithms().any(|algorithm| taken.contains(&algorithm)))
    }

    /// Absent until there are any.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn changes(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Tells of each change from now on.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether they are others than before.
    fn put(&self, set: KeySet) -> bool {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = keys.as_ref().is_none_or(|keys| !keys.is_same_as(&set));
        if is_new {
            *keys = Some(Arc::new(set));
        }
        drop(keys);
        if is_new {
            self.changes.send_modify(|changes| *changes += 1);
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

    /// Asks for newer keys; nothing if there can be none.
    pub(super) fn ask(&self) -> Option<Asked> {
        self.as_remote().map(Remote::ask)
    }

    /// Returns when what was asked for has come, or is not waited for any more.
    pub(super) async fn answered(&self, asked: Option<Asked>) {
        if let (Some(remote), Some(Asked::Fetch(number))) = (self.as_remote(), asked) {
            remote.ended(number).await;
        }
    }

    /// Whether keys of that time, in Unix seconds, are there if they ever were.
    pub(super) fn knows_keys_of(&self, time: i64) -> bool {
        self.as_remote().is_none_or(|remote| remote.good_since() >= time)
    }

    /// Whether it has given keys, or was asked for them in vain.
    pub(super) fn is_settled(&self) -> bool {
        self.as_remote().is_none_or(Remote::has_ended) || self.keys().is_some()
    }

    /// Returns when it was asked for the first time, and has answered or not.
    pub(super) async fn first_ended(&self) {
        if let Some(remote) = self.as_remote() {
            remote.first_ended().await;
        }
    }

    /// Its name and what it gives now, if it is one that is asked.
    pub(super) async fn look(&self, fetcher: &Fetcher) -> Option<(&str, Result<Looked, String>)> {
        let remote = self.as_remote()?;
        Some((&self.name, remote.look(self, fetcher).await))
    }

    /// Why it gave nothing the last time, with its name.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.as_remote()?.failure()?;
        Some(format!("{}: {failure}", self.name))
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
            if let Some(remote) = source.as_remote() {
                remote.end();
            }
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
