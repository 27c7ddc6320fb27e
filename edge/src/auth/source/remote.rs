//! Keys of a URL: fetched anew at an interval, and at once where a token names one that is not there.
//!
//! While the URL does not answer, or with nothing usable, the last good keys stay. Whoever waits for a fetch shares it
//! with all others who do. Fetches that tokens ask for are one per [`Remote::window`], whoever sends them: anybody can
//! make up the name of a key. One at the interval does not count, so that a rotation right after it is not missed. A
//! token that may be newer than the last good fetch, and may not ask for another one, is not said to be bad.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use netrox_audit::{Audit, Name};
use reqwest::Url;
use tokio::{
    select,
    sync::{Notify, watch},
    task::{JoinError, JoinHandle, spawn_blocking},
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
    fetch::{FetchError, Fetched, Fetcher, TIMEOUT, key_url},
};
use crate::{
    backoff::Backoff,
    metrics::{Fetch, KeyMetrics},
    notice::Notice,
};

/// How long a request waits for a key that it names. Shorter than requests may wait for all else.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long the first fetch may take until kept keys are used.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
/// How long a fetch is put off for the cache, whose disk may hang.
const CACHE_PATIENCE: Duration = Duration::from_secs(2);
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
    /// When the last good fetch began, in Unix seconds.
    good_since: AtomicI64,
    /// Why the last fetch brought nothing.
    failure: Mutex<Option<String>>,
}

/// What a token may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum Asked {
    /// The end of the fetch with this number.
    Fetch(u64),
    /// There was one of late.
    TooSoon,
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
    /// The last one brought nothing, or takes longer than anybody waits.
    is_away: bool,
    /// There will be no more.
    is_over: bool,
}

/// Why the keys stay as they are.
#[derive(Debug, thiserror::Error)]
enum NoKeys {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    NotASet(#[from] NotASet),
    #[error("its keys are for none of the algorithms that are taken")]
    OtherAlgorithms,
    #[error("it could not be read: {0}")]
    Unread(#[from] JoinError),
}

/// A set, and when it was fetched in Unix seconds.
type KeptSet = (Parsed, i64);

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
            good_since: AtomicI64::new(i64::MIN),
            failure: Mutex::new(None),
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

    /// Why the last fetch brought nothing.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_failure(&self, failure: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
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

    /// Returns when a fetch has ended, or takes too long, or will not be.
    pub(super) async fn ended(&self, number: u64) {
        let mut fetches = self.fetches.subscribe();
        let ended = fetches.wait_for(|fetches| fetches.ended >= number || fetches.is_over);
        if timeout(PATIENCE, ended).await.is_err() {
            self.fetches.send_if_modified(|fetches| {
                // It may have ended just now.
                let is_late = fetches.ended < number;
                fetches.is_away |= is_late;
                is_late
            });
        }
    }

    /// Returns when the first fetch has ended, however it did.
    pub(super) async fn first_ended(&self) {
        let mut fetches = self.fetches.subscribe();
        let _ = fetches.wait_for(|fetches| fetches.ended > 0 || fetches.is_over).await;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.fetches.borrow().ended > 0
    }

    pub(super) fn is_away(&self) -> bool {
        self.fetches.borrow().is_away
    }

    /// When the last good fetch began, in Unix seconds.
    pub(super) fn good_since(&self) -> i64 {
        self.good_since.load(Ordering::Acquire)
    }

    /// Nobody fetches any more: nobody is to wait for it, and nobody can tell what is not known here.
    pub(super) fn end(&self) {
        self.fetches.send_modify(|fetches| {
            fetches.is_over = true;
            fetches.is_away = true;
        });
    }

    /// Asks for newer keys.
    pub(super) fn ask(&self) -> Asked {
        let mut last = self.last_wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let Fetches { begun, ended, .. } = *self.fetches.borrow();
        let at = Instant::now();
        match *last {
            Some(last) if ended < last.number => Asked::Fetch(last.number),
            Some(last) if at - last.at < self.window() => Asked::TooSoon,
            Some(_) | None => {
                // One that has begun may have been answered before the key was there.
                let number = begun + 1;
                *last = Some(Wanted { at, number });
                self.wanted.notify_one();
                Asked::Fetch(number)
            }
        }
    }

    async fn fetch(&self, fetcher: &Fetcher) -> Result<(Fetched, Parsed), NoKeys> {
        let fetch = async {
            match &self.place {
                Place::Url => fetcher.get(&self.url).await,
                Place::Issuer(issuer) => fetcher.get(&fetcher.discover(issuer).await?).await,
            }
        };
        let fetched = timeout(TIMEOUT, fetch).await.unwrap_or(Err(FetchError::TooLong))?;
        // A large set takes a while.
        let parsing = spawn_blocking(move || {
            let parsed = jwks::parse(&fetched.text, Origin::Network);
            parsed.map(|parsed| (fetched, parsed))
        });
        Ok(parsing.await??)
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
    let path = cache.path().display();
    let kept = match cache.get(url) {
        Ok(kept) => kept?,
        Err(error) => {
            tracing::error!("the keys in {path} are not read: {error}");
            return None;
        }
    };
    match jwks::parse(kept.text.as_bytes(), Origin::Network) {
        Ok(parsed) => Some((parsed, kept.fetched_at)),
        Err(error) => {
            tracing::error!("the keys in {path} are not usable: {error}");
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
        self.remote.set_failure(Some(error.to_string()));
        self.metrics.fetched(match error {
            NoKeys::Fetch(_) | NoKeys::Unread(_) => Fetch::Failed,
            NoKeys::NotASet(_) | NoKeys::OtherAlgorithms => Fetch::Unusable,
        });
        self.read_cache().await;
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
        assert_eq!(remote.ask(), Asked::Fetch(2));
        assert_eq!(remote.ask(), Asked::Fetch(2), "about to be fetched");
        begin(&remote);
        assert_eq!(remote.ask(), Asked::Fetch(2), "under way");
        end(&remote);
        assert_eq!(remote.ask(), Asked::TooSoon, "there was one of late");
        advance(Duration::from_secs(29)).await;
        assert_eq!(remote.ask(), Asked::TooSoon);
        // One at the interval is nobody's.
        begin(&remote);
        end(&remote);
        advance(Duration::from_secs(1)).await;
        assert_eq!(remote.ask(), Asked::Fetch(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_has_begun_is_not_believed_to_know_a_new_key() {
        let remote = remote();
        begin(&remote);
        assert_eq!(remote.ask(), Asked::Fetch(2));
        end(&remote);
        assert_eq!(remote.ask(), Asked::Fetch(2));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let remote = remote();
        let begun = Instant::now();
        remote.ended(1).await;
        assert_eq!(begun.elapsed(), PATIENCE);
        assert!(remote.is_away());
        // Who is late is not believed about a fetch that has ended.
        remote.fetches.send_modify(|fetches| *fetches = Fetches::default());
        let ended = remote.ended(2);
        begin(&remote);
        end(&remote);
        ended.await;
        assert!(remote.is_away());
        begin(&remote);
        end(&remote);
        remote.fetches.send_modify(|fetches| fetches.is_away = false);
        remote.ended(2).await;
        assert!(!remote.is_away());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_fetch_that_will_not_be() {
        let remote = remote();
        let begun = Instant::now();
        remote.end();
        remote.ended(1).await;
        remote.first_ended().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
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
