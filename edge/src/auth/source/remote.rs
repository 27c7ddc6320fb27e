//! Keys of a URL: fetched anew at an interval, and at once where a token names one that is not there.
//!
//! While the URL does not answer, or with nothing usable, the last good keys stay. Whoever waits for a fetch shares it
//! with all others who do. Fetches that tokens ask for are one per [`Remote::window`], whoever sends them: anybody can
//! make up the name of a key. One at the interval does not count, so that a rotation right after it is not missed. A
//! token that may be newer than the last good fetch, and may not ask for another one, is not said to be bad.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use reqwest::Url;
use tokio::{
    sync::{Notify, watch},
    task::{JoinError, spawn_blocking},
    time::{Instant, timeout},
};

use super::{
    super::{
        jwk::Origin,
        jwks::{self, NotASet, Parsed},
        key::ConfigError,
    },
    Source,
    fetch::{FetchError, Fetched, Fetcher, TIMEOUT, key_url},
};

pub(super) use self::keeper::keep;

mod keeper;

/// How long a request waits for a key that it names. Shorter than requests may wait for all else.
const PATIENCE: Duration = Duration::from_secs(4);
const LONGEST_WINDOW: Duration = Duration::from_secs(30);
/// Of an interval in its window.
const WINDOWS: u32 = 30;

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

/// What a fetch brought, beside keys.
#[derive(Debug)]
pub(in crate::auth) struct Looked {
    /// Of whoever sent them.
    pub(in crate::auth) clock: Option<SystemTime>,
    /// Keys that are of no use here.
    pub(in crate::auth) left_out: String,
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

    /// Fetches once, for who only looks. Neither keys nor cache become others.
    pub(super) async fn look(&self, source: &Source, fetcher: &Fetcher) -> Result<Looked, String> {
        let (Fetched { clock, .. }, parsed) =
            self.fetch(fetcher).await.map_err(|error| error.to_string())?;
        if !source.takes(&parsed.set) {
            return Err(NoKeys::OtherAlgorithms.to_string());
        }
        Ok(Looked { clock, left_out: parsed.left_out })
    }

    /// From one fetch to the next. No two edges keep step.
    fn delay(&self, max_age: Option<Duration>) -> Duration {
        let delay = max_age.map_or(self.interval, |age| age.clamp(self.window(), self.interval));
        delay.mul_f64(rand::random_range(0.9..=1.0))
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
