//! How much a user, an address and all together may do on this edge (PROTOCOL section 5).
//!
//! * [`places`]: what may be under way so many at a time, and the wait for it; [`pace`]: who is far too slow to keep it.
//! * [`rates`]: what may be done so often.
//! * [`addresses`]: the same of addresses, of which there may be any number.
//! * [`downloads`]: the places of a download.

mod addresses;
mod downloads;
mod pace;
mod places;
mod rates;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use netrox_metrics::By;
use netrox_proto::ids::UserId;
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, sleep, sleep_until};

pub(crate) use self::{
    addresses::AddressRates,
    downloads::{Download, Downloads, NoDownload},
    pace::Pace,
    places::{Full, Place, Places},
    rates::{Rates, TooMuch},
};
use crate::{
    config::Config,
    metrics::{Limit, Metrics},
};

/// How long a place, or a turn in a rate, is waited for (PROTOCOL section 5).
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Of a mark of what was seen or delivered, while later ones take its place.
const LONGEST_RECEIPT_WAIT: Duration = Duration::from_secs(30);
/// How many of a user wait for a place at most.
const MAX_WAITING: usize = 64;
/// What commands of all sockets hold in memory while they wait for the rate.
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;
/// Handshakes of a user at once, and in a minute, by how many connections they may have.
const HANDSHAKE_BURST: u64 = 8;
const HANDSHAKES_A_MINUTE: u64 = 4;
/// How often one who catches up looks whether fewer wait than may.
const LINE_LOOK_INTERVAL: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Limiter {
    /// Absent for no limit.
    sends: Option<Rates<UserId>>,
    /// Absent for no limit.
    receipts: Option<Rates<UserId>>,
    /// Absent for no limit.
    searches: Option<Rates<UserId>>,
    /// Of each peer. Absent for no limit.
    typing: Option<Rates<(UserId, UserId)>>,
    held_bytes: Arc<AtomicUsize>,
    /// For want of such memory.
    refused: Counter,
    handshakes: Rates<UserId>,
    uploads: Places<UserId>,
    upload_bytes_a_day: Option<Rates<UserId>>,
    upload_bytes_a_second: Option<Rates<UserId>>,
    history_reads: Places<UserId>,
    pub(crate) downloads: Downloads,
    hits: By<Limit, Counter>,
}

impl Limiter {
    pub(crate) fn new(config: &Config, metrics: &Metrics) -> Self {
        let limits = &config.limits;
        let second = Duration::from_secs(1);
        let a_second = |rate: u32, burst: u32| {
            (rate > 0).then(|| Rates::new(rate.into(), second, burst.into()))
        };
        let connections = limits.max_connections_per_user as u64;
        let bytes =
            |amount: Option<u64>, period| amount.map(|amount| Rates::new(amount, period, amount));
        let held_bytes = Arc::<AtomicUsize>::default();
        let held = Arc::downgrade(&held_bytes);
        let refused = metrics.queues.add_refusing("rate_bytes", MAX_HELD_BYTES, move || {
            Some(held.upgrade()?.load(Ordering::Relaxed))
        });
        let hits = metrics.refusals.limits();
        Self {
            sends: a_second(limits.send_rate, limits.send_burst),
            receipts: a_second(limits.receipt_rate, limits.receipt_burst),
            searches: a_second(limits.search_rate, limits.search_rate),
            typing: (limits.typing_rate > 0)
                .then(|| Rates::new(limits.typing_rate.into(), second, 1)),
            held_bytes,
            refused,
            handshakes: Rates::new(
                connections * HANDSHAKES_A_MINUTE,
                MINUTE,
                connections * HANDSHAKE_BURST,
            ),
            uploads: Places::new(limits.max_uploads_per_user, MAX_WAITING),
            upload_bytes_a_day: bytes(limits.upload_bytes_per_day, DAY),
            upload_bytes_a_second: bytes(limits.upload_bytes_rate, second),
            history_reads: Places::new(limits.max_history_reads_per_user, MAX_WAITING),
            downloads: Downloads::new(config, hits.clone()),
            hits,
        }
    }

    /// Counts what meets a limit.
    fn hit<T, E>(&self, limit: Limit, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            self.hits.count(limit);
        }
        result
    }

    /// When a send of the user is due that could have been taken at `since`; a refusal where more than a burst of them
    /// waits.
    pub(crate) fn send(&self, user: UserId, since: Instant) -> Result<Option<Instant>, TooMuch> {
        let Some(sends) = &self.sends else { return Ok(None) };
        let due = self.hit(Limit::Sends, sends.spend(user, 1, since, sends.burst()))?;
        Ok((due > Instant::now()).then_some(due))
    }

    /// Waits until a send of the user is due that comes by REST.
    pub(crate) async fn send_in_turn(&self, user: UserId) -> Result<(), TooMuch> {
        let Some(sends) = &self.sends else { return Ok(()) };
        let longest = sends.burst().min(PATIENCE);
        let due = self.hit(Limit::Sends, sends.spend(user, 1, Instant::now(), longest))?;
        sleep_until(due).await;
        Ok(())
    }

    /// When a mark of what was seen or delivered is due, if it has to wait. None is refused: one that would have to wait for longer
    /// than anybody should is due by then, whatever the rate.
    pub(crate) fn receipt(&self, user: UserId) -> Option<Instant> {
        let (now, wait) = (Instant::now(), LONGEST_RECEIPT_WAIT);
        let due = self.receipts.as_ref()?.spend(user, 1, now, wait).unwrap_or(now + wait);
        (due > now).then_some(due)
    }

    /// Counts a search of the user; a refusal where there were too many of late.
    pub(crate) fn search(&self, user: UserId) -> Result<(), TooMuch> {
        let Some(searches) = &self.searches else { return Ok(()) };
        let spent = searches.spend(user, 1, Instant::now(), Duration::ZERO);
        self.hit(Limit::Searches, spent).map(drop)
    }

    /// When a user may tell a peer again that they type, or no longer do, if that has to wait.
    pub(crate) fn typing(&self, user: UserId, peer: UserId) -> Option<Instant> {
        let now = Instant::now();
        // One at a time is told of each peer: none waits for longer than that.
        let due = self.typing.as_ref()?.spend((user, peer), 1, now, PATIENCE).unwrap_or(now);
        (due > now).then_some(due)
    }

    /// Room for a command that waits for the rate, free again when it is dropped.
    pub(crate) fn hold(&self, bytes: usize) -> Option<HeldMemory> {
        let held = HeldMemory { all: Arc::clone(&self.held_bytes), bytes };
        let before = self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = before + bytes <= MAX_HELD_BYTES;
        if !has_room {
            self.refused.inc();
        }
        has_room.then_some(held)
    }

    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Whether the user has had enough handshakes for a while.
    pub(crate) fn has_too_many_handshakes(&self, user: UserId) -> Option<TooMuch> {
        let wait = self.handshakes.wait(user);
        if wait.is_zero() {
            return None;
        }
        self.hits.count(Limit::Handshakes);
        Some(TooMuch { wait })
    }

    /// Counts one that comes later, unless the user has had enough.
    pub(crate) fn take_handshake(&self, user: UserId) -> Result<(), TooMuch> {
        if let Some(too_much) = self.has_too_many_handshakes(user) {
            return Err(too_much);
        }
        self.count_handshake(user);
        Ok(())
    }

    /// Counts a handshake that succeeds.
    pub(crate) fn count_handshake(&self, user: UserId) {
        // Those that were under way together may be a few too many.
        let _ = self.handshakes.spend(user, 1, Instant::now(), MINUTE);
    }

    /// A place among the user's uploads, free again when it is dropped; waits for one.
    pub(crate) async fn upload(&self, user: UserId) -> Result<Place<UserId>, Full> {
        let place = self.uploads.take(user, None, Instant::now() + PATIENCE).await;
        self.hit(Limit::Uploads, place)
    }

    /// Counts bytes that the user uploads against what they may in a day.
    pub(crate) fn upload_bytes(&self, user: UserId, bytes: u64) -> Result<(), TooMuch> {
        let Some(rates) = &self.upload_bytes_a_day else { return Ok(()) };
        let spent = rates.spend(user, bytes, Instant::now(), Duration::ZERO);
        self.hit(Limit::UploadBytes, spent).map(drop)
    }

    /// Waits until more of what the user uploads may be read, after so many bytes.
    pub(crate) async fn pace_upload(&self, user: UserId, bytes: usize) {
        let Some(rates) = &self.upload_bytes_a_second else { return };
        // Whatever it takes: only that much was read.
        if let Ok(due) = rates.spend(user, bytes as u64, Instant::now(), Duration::MAX) {
            sleep_until(due).await;
        }
    }

    /// A place among the user's reads of histories and lists, free again when it is dropped; waits for one.
    pub(crate) async fn history_read(
        &self,
        user: UserId,
        pace: &Arc<Pace>,
    ) -> Result<Place<UserId>, Full> {
        let place = self.history_reads.take(user, Some(pace), Instant::now() + PATIENCE).await;
        self.hit(Limit::HistoryReads, place)
    }

    /// The same for one who catches up on a socket, as long as that takes.
    pub(crate) async fn catch_up_read(&self, user: UserId) -> Place<UserId> {
        loop {
            let until = Instant::now() + DAY;
            match self.history_reads.take(user, None, until).await {
                Ok(place) => return place,
                // There are too many who wait.
                Err(Full) => sleep(LINE_LOOK_INTERVAL).await,
            }
        }
    }

    /// Drops what is kept of users who have done nothing for a while. To be called regularly.
    pub(crate) fn forget_idle(&self) {
        let bytes = [&self.upload_bytes_a_day, &self.upload_bytes_a_second];
        let all = bytes.into_iter().chain([&self.sends, &self.receipts, &self.searches]).flatten();
        all.chain([&self.handshakes]).for_each(Rates::forget_idle);
        self.typing.iter().for_each(Rates::forget_idle);
    }
}

/// Memory of a command that waits for the rate.
#[derive(Debug)]
pub(crate) struct HeldMemory {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl HeldMemory {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What others than chat may take of the files that this process may have open: the rest is kept back.
pub(crate) fn share_of_files(config: &Config, wanted: usize) -> usize {
    let share = config.open_files.map_or(usize::MAX, |files| {
        usize::try_from(files / u64::from(BULK_SHARE)).unwrap_or(usize::MAX)
    });
    wanted.min(share.max(1))
}

/// A quarter is for downloads, and one for connections that have shown no token.
const BULK_SHARE: u32 = 4;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{config, stub_core};

    const ALICE: UserId = UserId(Uuid::from_u128(1));

    fn limiter(change: impl FnOnce(&mut config::Limits)) -> Limiter {
        let mut limits = config::Limits::default();
        change(&mut limits);
        Limiter::new(&stub_core::config(limits), &Metrics::default())
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_sends_as_a_burst_wait_for_the_rate() {
        let limiter = limiter(|config| (config.send_rate, config.send_burst) = (10, 3));
        let now = Instant::now();
        let sent: Vec<_> = (0..8).map(|_| limiter.send(ALICE, now)).collect();
        assert_eq!(sent[..3], [Ok(None), Ok(None), Ok(None)]);
        for (number, due) in [(3, 100), (4, 200), (5, 300)] {
            assert_eq!(sent[number], Ok(Some(now + Duration::from_millis(due))));
        }
        assert!(sent[6].is_err() && sent[7].is_err());
        // Who comes by REST has the same rate.
        assert!(limiter.send_in_turn(ALICE).await.is_err());
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(limiter.send_in_turn(ALICE).await.is_ok());
        assert_eq!(now.elapsed(), Duration::from_millis(400));
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_searches_as_the_rate_may_come_at_once() {
        let limiter = limiter(|_| ());
        let searched = (0..9).filter(|_| limiter.search(ALICE).is_ok()).count();
        assert_eq!(searched, 5);
        let wait = Duration::from_millis(200);
        assert_eq!(limiter.search(ALICE), Err(TooMuch { wait }));
        tokio::time::advance(wait).await;
        assert_eq!(limiter.search(ALICE), Ok(()));
    }

    #[tokio::test]
    async fn rate_zero_is_no_limit() {
        let limiter = limiter(|config| (config.send_rate, config.search_rate) = (0, 0));
        assert!((0..10_000).all(|_| limiter.search(ALICE).is_ok()));
        assert!((0..10_000).all(|_| limiter.send(ALICE, Instant::now()) == Ok(None)));
        assert!(limiter.send_in_turn(ALICE).await.is_ok());
        limiter.forget_idle();
    }

    #[tokio::test(start_paused = true)]
    async fn marks_wait_for_their_rate_and_none_without_end() {
        let limiter = limiter(|config| (config.receipt_rate, config.receipt_burst) = (10, 3));
        let now = Instant::now();
        let due: Vec<_> = (0..1_000).map(|_| limiter.receipt(ALICE)).collect();
        assert_eq!(due[..3], [None; 3]);
        assert_eq!(due[3], Some(now + Duration::from_millis(100)));
        assert_eq!(due[302], Some(now + LONGEST_RECEIPT_WAIT));
        assert_eq!(due[999], Some(now + LONGEST_RECEIPT_WAIT));
    }

    #[tokio::test(start_paused = true)]
    async fn who_catches_up_waits_for_a_place_as_long_as_it_takes() {
        let limiter = limiter(|config| config.max_history_reads_per_user = 1);
        let pace = Arc::new(Pace::new(tokio_util::sync::CancellationToken::new()));
        let place = limiter.history_read(ALICE, &pace).await.ok();
        assert!(place.is_some());
        let start = Instant::now();
        let free = async {
            sleep_until(start + PATIENCE * 100).await;
            drop(place);
        };
        let (_place, ()) = tokio::join!(limiter.catch_up_read(ALICE), free);
        assert_eq!(start.elapsed(), PATIENCE * 100);
    }

    #[test]
    fn what_waits_in_memory_is_bounded() {
        let limiter = limiter(|_| ());
        let half = limiter.hold(MAX_HELD_BYTES / 2).expect("room");
        let other = limiter.hold(MAX_HELD_BYTES / 2).expect("room");
        assert!(limiter.hold(1).is_none());
        drop(half);
        assert!(limiter.hold(1).is_some());
        drop(other);
        assert_eq!(limiter.held_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn chat_keeps_most_of_the_open_files() {
        let with =
            |open_files| Config { open_files, ..stub_core::config(config::Limits::default()) };
        assert_eq!(share_of_files(&with(None), 1_000), 1_000);
        assert_eq!(share_of_files(&with(Some(65_536)), 1_000), 1_000);
        assert_eq!(share_of_files(&with(Some(1_024)), 1_000), 256);
        assert_eq!(share_of_files(&with(Some(1)), 1_000), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_are_counted_by_the_day_and_read_at_their_rate() {
        let limiter = limiter(|config| {
            (config.upload_bytes_per_day, config.upload_bytes_rate) = (Some(1_000), Some(100));
        });
        assert!(limiter.upload_bytes(ALICE, 600).is_ok());
        assert_eq!(limiter.upload_bytes(ALICE, 600), Err(TooMuch { wait: DAY / 5 }));
        let start = Instant::now();
        for _ in 0..5 {
            limiter.pace_upload(ALICE, 100).await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }
}
