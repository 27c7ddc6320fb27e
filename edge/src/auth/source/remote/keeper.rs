//! Who fetches the keys of a URL: when, and what becomes of the source, of the cache and of what is told.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use netrox_audit::{Audit, Name};
use tokio::{
    select,
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

use super::{
    super::{
        Source,
        cache::{Cache, Kept},
        fetch::{Fetched, Fetcher},
    },
    LONGEST_WINDOW, NoKeys, Remote,
};
use crate::{
    auth::{
        jwk::Origin,
        jwks::{self, Parsed},
        now,
    },
    backoff::Backoff,
    metrics::{Fetch, KeyMetrics},
    notice::Notice,
};

/// How long the first fetch may take until kept keys are used.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
/// How long a fetch is put off for the cache, whose disk may hang.
const CACHE_PATIENCE: Duration = Duration::from_secs(2);
/// Without any keys, from the first attempt on.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// A set, and when it was fetched in Unix seconds.
type KeptSet = (Parsed, i64);

/// Fetches for as long as it is polled.
pub(in crate::auth::source) async fn keep(
    source: &Source,
    fetcher: &Fetcher,
    cache: Option<&Arc<Cache>>,
    (metrics, audit): (&KeyMetrics, &Audit),
) {
    let Some(remote) = source.as_remote() else { return };
    metrics.begin(&source.name);
    let mut keeper = Keeper {
        source,
        remote,
        cache,
        metrics,
        audit,
        backoff: Backoff::new(FIRST_DELAY, remote.window()),
        left_out: String::new(),
        failure: Notice::default(),
        has_failed: false,
        reading: cache.map(|cache| {
            let (cache, url) = (Arc::clone(cache), remote.url());
            spawn_blocking(move || read(&cache, &url))
        }),
        writing: None,
    };
    let mut is_first = true;
    loop {
        remote.fetches.send_modify(|fetches| fetches.begun += 1);
        let begun_at = now();
        let fetched = match std::mem::take(&mut is_first) {
            true => keeper.first(fetcher).await,
            false => remote.fetch(fetcher).await,
        };
        let fetched = match fetched {
            Ok((_, parsed)) if !source.takes(&parsed.set) => Err(NoKeys::OtherAlgorithms),
            fetched => fetched,
        };
        let is_away = fetched.is_err();
        let (delay, kept) = match fetched {
            Ok((fetched, parsed)) => keeper.take(fetched, parsed, begun_at),
            Err(error) => (keeper.go_without(&error).await, None),
        };
        remote.fetches.send_modify(|fetches| {
            fetches.ended = fetches.begun;
            fetches.is_away = is_away;
        });
        if let Some(kept) = kept {
            keeper.write_cache(kept);
        }
        select! {
            () = sleep(delay) => {}
            () = remote.wanted.notified() => {}
        }
    }
}

struct Keeper<'a> {
    source: &'a Source,
    remote: &'a Remote,
    cache: Option<&'a Arc<Cache>>,
    metrics: &'a KeyMetrics,
    audit: &'a Audit,
    backoff: Backoff,
    /// What was told last.
    left_out: String,
    failure: Notice,
    has_failed: bool,
    /// The cache, until it is needed no more.
    reading: Option<JoinHandle<Option<KeptSet>>>,
    /// The cache.
    writing: Option<JoinHandle<()>>,
}

/// What an earlier process kept. Blocks.
fn read(cache: &Cache, url: &str) -> Option<KeptSet> {
    let path = || cache.path().display();
    let kept = match cache.get(url) {
        Ok(kept) => kept?,
        Err(error) => {
            tracing::error!(path = %path(), %error, "the keys that were kept are not read");
            return None;
        }
    };
    match jwks::parse(kept.text.as_bytes(), Origin::Network) {
        Ok(parsed) => Some((parsed, kept.fetched_at)),
        Err(error) => {
            tracing::error!(path = %path(), %error, "the keys that were kept are not usable");
            None
        }
    }
}

impl Keeper<'_> {
    /// If it takes long, what was kept counts meanwhile.
    async fn first(&mut self, fetcher: &Fetcher) -> Result<(Fetched, Parsed), NoKeys> {
        let remote = self.remote;
        let mut fetch = pin!(remote.fetch(fetcher));
        if let Ok(fetched) = timeout(FIRST_PATIENCE, &mut fetch).await {
            return fetched;
        }
        select! {
            fetched = &mut fetch => return fetched,
            () = self.read_cache() => {}
        }
        fetch.await
    }

    /// What is to be kept of it, and when to ask again.
    fn take(
        &mut self,
        fetched: Fetched,
        parsed: Parsed,
        begun_at: i64,
    ) -> (Duration, Option<Kept>) {
        let fetched_at = now();
        self.put(parsed, fetched_at, "");
        self.remote.good_since.store(begun_at, Ordering::Release);
        self.remote.set_failure(None);
        self.reading = None;
        if std::mem::take(&mut self.has_failed) {
            let source = &self.source.name;
            tracing::info!(source, "keys of access tokens come from {source} again");
        }
        self.failure = Notice::default();
        self.backoff.reset();
        self.metrics.fetched(&self.source.name, Fetch::Ok);
        let text = String::from_utf8(fetched.text).ok();
        (self.remote.delay(fetched.max_age), text.map(|text| Kept { fetched_at, text }))
    }

    /// Nobody waits for it: a disk may hang. While it does the cache stays as it is.
    fn write_cache(&mut self, kept: Kept) {
        let Some(cache) = self.cache else { return };
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let (cache, url) = (Arc::clone(cache), self.remote.url());
        self.writing = Some(spawn_blocking(move || {
            if let Err(error) = cache.put(&url, kept) {
                tracing::error!(path = %cache.path().display(), %error, "the keys are not kept");
            }
        }));
    }

    /// `whence` is told with new keys.
    fn put(&mut self, parsed: Parsed, fetched_at: i64, whence: &str) {
        let (source, count) = (&self.source.name, parsed.set.len());
        if self.source.put(parsed.set) {
            tracing::info!(source, keys = count, "new keys of access tokens, of {source}{whence}");
            self.audit.reloaded(Name::KeysReloaded, Ok(source.clone()));
        }
        if parsed.left_out != self.left_out {
            if !parsed.left_out.is_empty() {
                let reason = &parsed.left_out;
                tracing::warn!(source, reason, "keys of {source} are left out");
            }
            self.left_out = parsed.left_out;
        }
        self.metrics.has_keys(source, fetched_at);
    }

    async fn go_without(&mut self, error: &NoKeys) -> Duration {
        self.has_failed = true;
        self.remote.set_failure(Some(error.to_string()));
        let result = match error {
            NoKeys::Fetch(_) | NoKeys::Unread(_) => Fetch::Failed,
            NoKeys::NotASet(_) | NoKeys::OtherAlgorithms => Fetch::Unusable,
        };
        self.metrics.fetched(&self.source.name, result);
        self.read_cache().await;
        let source = &self.source.name;
        let has_keys = self.source.keys().is_some();
        if let Some(untold) = self.failure.happened() {
            if has_keys {
                tracing::warn!(
                    untold,
                    source,
                    %error,
                    "no keys of access tokens from {source}, the last stay"
                );
            } else {
                tracing::error!(
                    untold,
                    source,
                    %error,
                    "no keys of access tokens from {source}, none are known"
                );
            }
        }
        if has_keys { self.remote.delay(Some(LONGEST_WINDOW)) } else { self.backoff.next_delay() }
    }

    /// Takes what was kept, once. May be dropped, and called again.
    async fn read_cache(&mut self) {
        let Some(reading) = &mut self.reading else { return };
        let Ok(read) = timeout(CACHE_PATIENCE, reading).await else { return };
        self.reading = None;
        let Ok(Some((parsed, fetched_at))) = read else { return };
        if self.source.takes(&parsed.set) {
            self.put(parsed, fetched_at, ", as they were kept");
        }
    }
}
