//! Keys of a URL: fetched anew at an interval, and at once where a token names one that is not there.
//!
//! While the URL does not answer, or with nothing usable, the last good keys stay. Whoever waits for a fetch shares it
//! with all others who do. Fetches that tokens ask for are one per [`Remote::window`], whoever sends them: anybody can
//! make up the name of a key. One at the interval does not count, so that a rotation right after it is not missed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use netrox_audit::{Audit, Name};
use reqwest::Url;
use tokio::{
    select,
    sync::{Notify, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout},
};

use super::{
    super::{
        jwk::Origin,
        jwks::{self, NotASet, Parsed},
        key::ConfigError,
        now,
    },
    Source,
    cache::{Cache, Kept},
    fetch::{FetchError, Fetched, Fetcher, key_url},
};
use crate::{
    backoff::Backoff,
    metrics::{Fetch, KeyMetrics},
    notice::Notice,
};

/// How long a request waits for a key that it names. Shorter than requests may wait for all else.
const PATIENCE: Duration = Duration::from_secs(4);
const LONGEST_WINDOW: Duration = Duration::from_secs(30);
/// Of an interval in its window.
const WINDOWS: u32 = 30;
/// Without any keys, from the first attempt on.
const FIRST_DELAY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(in crate::auth) struct Remote {
    place: Place,
    /// What is asked for, in the cache.
    url: Url,
    interval: Duration,
    fetches: watch::Sender<Fetches>,
    wanted: Notify,
    last_wanted: Mutex<Option<Wanted>>,
    /// The last fetch brought nothing, or takes longer than anybody waits.
    is_away: AtomicBool,
}

/// A fetch that a token asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    at: Instant,
    /// Its number, or that of an earlier one which began after it was asked for.
    number: u64,
}

#[derive(Debug)]
enum Place {
    Url,
    /// Its name, to the letter.
    Issuer(String),
}

/// How many fetches there were.
#[derive(Debug, Clone, Copy, Default)]
struct Fetches {
    begun: u64,
    ended: u64,
}

/// Why the keys stay as they are.
#[derive(Debug, thiserror::Error)]
enum NoKeys {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    NotASet(#[from] NotASet),
}

impl Remote {
    pub(in crate::auth) fn new(
        text: &str,
        is_issuer: bool,
        interval: Duration,
    ) -> Result<Self, ConfigError> {
        let url = key_url(text).map_err(ConfigError::new)?;
        if is_issuer && url.query().is_some() {
            return Err(ConfigError::new("an issuer must not have a query"));
        }
        Ok(Self {
            place: if is_issuer { Place::Issuer(text.to_owned()) } else { Place::Url },
            url,
            interval,
            fetches: watch::Sender::new(Fetches::default()),
            wanted: Notify::new(),
            last_wanted: Mutex::new(None),
            is_away: AtomicBool::new(false),
        })
    }

    /// Without its query, which may be for the issuer alone.
    pub(super) fn name(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.to_string()
    }

    /// The whole of it.
    pub(super) fn url(&self) -> String {
        self.url.to_string()
    }

    pub(in crate::auth) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    fn window(&self) -> Duration {
        LONGEST_WINDOW.min(self.interval / WINDOWS)
    }

    /// Fetches now, whoever asked when.
    pub(super) fn fetch_now(&self) {
        self.wanted.notify_one();
    }

    pub(super) async fn refetched(&self) -> bool {
        let Some(number) = self.want() else { return false };
        let mut fetches = self.fetches.subscribe();
        let ended = timeout(PATIENCE, fetches.wait_for(|fetches| fetches.ended >= number)).await;
        if ended.is_err() {
            self.is_away.store(true, Ordering::Relaxed);
        }
        matches!(ended, Ok(Ok(_)))
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// The number of the fetch to wait for; nothing where there was one of late.
    fn want(&self) -> Option<u64> {
        let mut last = self.last_wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let Fetches { begun, ended } = *self.fetches.borrow();
        let at = Instant::now();
        match *last {
            Some(last) if ended < last.number => Some(last.number),
            Some(last) if at - last.at < self.window() => None,
            Some(_) | None => {
                // One that has begun may have been answered before the key was there.
                let number = begun + 1;
                *last = Some(Wanted { at, number });
                self.wanted.notify_one();
                Some(number)
            }
        }
    }

    async fn fetch(&self, fetcher: &Fetcher) -> Result<(Fetched, Parsed), NoKeys> {
        let fetched = match &self.place {
            Place::Url => fetcher.get(&self.url).await?,
            Place::Issuer(issuer) => fetcher.get(&fetcher.discover(issuer).await?).await?,
        };
        let parsed = jwks::parse(&fetched.text, Origin::Network)?;
        Ok((fetched, parsed))
    }

    /// From one fetch to the next. No two edges keep step.
    fn delay(&self, max_age: Option<Duration>) -> Duration {
        let delay = max_age.map_or(self.interval, |age| age.clamp(self.window(), self.interval));
        delay.mul_f64(rand::random_range(0.9..=1.0))
    }
}

/// Fetches for as long as it is polled.
pub(super) async fn keep(
    source: &Source,
    fetcher: &Fetcher,
    cache: Option<&Arc<Cache>>,
    (metrics, audit): (&KeyMetrics, &Audit),
) {
    let Some(remote) = source.as_remote() else { return };
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
        is_cache_read: false,
        writing: None,
    };
    loop {
        remote.fetches.send_modify(|fetches| fetches.begun += 1);
        let fetched = remote.fetch(fetcher).await;
        let (delay, kept) = match fetched {
            Ok((fetched, parsed)) => keeper.take(fetched, parsed),
            Err(error) => (keeper.go_without(&error).await, None),
        };
        remote.fetches.send_modify(|fetches| fetches.ended = fetches.begun);
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
    is_cache_read: bool,
    /// The cache.
    writing: Option<JoinHandle<()>>,
}

impl Keeper<'_> {
    /// What is to be kept of it, and when to ask again.
    fn take(&mut self, fetched: Fetched, parsed: Parsed) -> (Duration, Option<Kept>) {
        let fetched_at = now();
        self.put(parsed, fetched_at, "");
        self.remote.is_away.store(false, Ordering::Relaxed);
        if std::mem::take(&mut self.has_failed) {
            tracing::info!("keys of access tokens come from {} again", self.source.name);
        }
        self.failure = Notice::default();
        self.backoff.reset();
        self.metrics.fetched(Fetch::Ok);
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
                tracing::error!("the keys are not kept in {}: {error}", cache.path().display());
            }
        }));
    }

    /// `whence` is told with new keys.
    fn put(&mut self, parsed: Parsed, fetched_at: i64, whence: &str) {
        let (source, count) = (&self.source.name, parsed.set.len());
        if self.source.put(parsed.set) {
            tracing::info!(keys = count, "new keys of access tokens, of {source}{whence}");
            self.audit.reloaded(Name::KeysReloaded, Ok(source.clone()));
        }
        if parsed.left_out != self.left_out {
            if !parsed.left_out.is_empty() {
                tracing::warn!("keys of {source} are left out: {}", parsed.left_out);
            }
            self.left_out = parsed.left_out;
        }
        self.metrics.has_keys(source, fetched_at);
    }

    async fn go_without(&mut self, error: &NoKeys) -> Duration {
        self.has_failed = true;
        self.remote.is_away.store(true, Ordering::Relaxed);
        self.metrics.fetched(match error {
            NoKeys::Fetch(_) => Fetch::Failed,
            NoKeys::NotASet(_) => Fetch::Unusable,
        });
        if self.source.keys().is_none() && !std::mem::replace(&mut self.is_cache_read, true) {
            self.read_cache().await;
        }
        let source = &self.source.name;
        let has_keys = self.source.keys().is_some();
        if self.failure.is_due() {
            if has_keys {
                tracing::warn!("no keys of access tokens from {source}, the last stay: {error}");
            } else {
                tracing::error!("no keys of access tokens from {source}, none are known: {error}");
            }
        }
        if has_keys { self.remote.delay(Some(LONGEST_WINDOW)) } else { self.backoff.next_delay() }
    }

    async fn read_cache(&mut self) {
        let Some(cache) = self.cache else { return };
        let path = cache.path().to_owned();
        let (cache, url) = (Arc::clone(cache), self.remote.url());
        let kept = spawn_blocking(move || cache.get(&url)).await;
        let kept = match kept.unwrap_or_else(|panic| Err(panic.into())) {
            Ok(Some(kept)) => kept,
            Ok(None) => return,
            Err(error) => {
                tracing::error!("the keys in {} are not read: {error}", path.display());
                return;
            }
        };
        match jwks::parse(kept.text.as_bytes(), Origin::Network) {
            Ok(parsed) => self.put(parsed, kept.fetched_at, ", as they were kept"),
            Err(error) => {
                tracing::error!("the keys in {} are not usable: {error}", path.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn remote() -> Remote {
        let interval = Duration::from_secs(900);
        Remote::new("https://issuer.example/keys", false, interval).expect("a URL")
    }

    fn begin(remote: &Remote) {
        remote.fetches.send_modify(|fetches| fetches.begun += 1);
    }

    fn end(remote: &Remote) {
        remote.fetches.send_modify(|fetches| fetches.ended = fetches.begun);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_ask_once_per_window_and_share_what_they_asked_for() {
        let remote = remote();
        begin(&remote);
        end(&remote);
        assert_eq!(remote.want(), Some(2));
        assert_eq!(remote.want(), Some(2), "about to be fetched");
        begin(&remote);
        assert_eq!(remote.want(), Some(2), "under way");
        end(&remote);
        assert_eq!(remote.want(), None, "there was one of late");
        advance(Duration::from_secs(29)).await;
        assert_eq!(remote.want(), None);
        // One at the interval is nobody's.
        begin(&remote);
        end(&remote);
        advance(Duration::from_secs(1)).await;
        assert_eq!(remote.want(), Some(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_has_begun_is_not_believed_to_know_a_new_key() {
        let remote = remote();
        begin(&remote);
        assert_eq!(remote.want(), Some(2));
        end(&remote);
        assert_eq!(remote.want(), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let remote = remote();
        let begun = Instant::now();
        assert!(!remote.refetched().await);
        assert_eq!(begun.elapsed(), PATIENCE);
        assert!(remote.is_away());
    }

    #[test]
    fn an_issuer_may_ask_for_more_fetches_and_not_for_fewer() {
        let remote = remote();
        for (max_age, least, most) in
            [(None, 810, 900), (Some(5), 27, 30), (Some(60), 54, 60), (Some(9_999), 810, 900)]
        {
            let delay = remote.delay(max_age.map(Duration::from_secs)).as_secs_f64();
            assert!(delay >= f64::from(least) && delay <= f64::from(most), "{max_age:?} {delay}");
        }
    }
}
