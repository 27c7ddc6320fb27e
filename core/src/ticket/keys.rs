//! What tickets are signed with: keys of the deployment, in its database. A core makes a new one when the newest is a day old, and
//! forgets those that have signed nothing for so long that nothing of it is good any more.
//!
//! A key counts for three days, also where no core makes another and so none is removed. One that is of a time to come counts for
//! nothing: a clock that was wrong made it, or somebody who wants it to count for long.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

use crate::{
    clock::{CLOCKS_APART, now_micros},
    committer::{AddTicketKey, Committer},
    error::Error,
    store::{Store, ticket::KeyRow},
};

const MICROS_A_DAY: i64 = 24 * 3_600_000_000;
/// Signs for a day, what it signed is good for an hour at most (`--link-ttl`), and clocks of cores may differ.
const GOOD_FOR: i64 = 3 * MICROS_A_DAY;
/// What is known of them is as old at most: so a key that somebody removes counts no longer.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// From then on one who asks reads them anew, and others need not wait for it.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// From the end of one read to the beginning of the next: whoever names keys that are not there has them read no more often.
const READ_INTERVAL: Duration = Duration::from_millis(100);
const KEY_BYTES: usize = 32;

/// A cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Keys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    committer: Committer,
    known: Mutex<Known>,
    /// Of those who read them, or make one.
    turn: Semaphore,
}

#[derive(Debug, Default)]
struct Known {
    /// The newest first.
    keys: Vec<KeyRow>,
    /// When they were read, if ever: the beginning of that.
    read_at: Option<Instant>,
    last: Option<LastRead>,
}

/// That read which was the last, whatever came of it.
#[derive(Debug)]
struct LastRead {
    began: Instant,
    ended: Instant,
    failed: Option<Error>,
}

/// When those were made that count now.
fn counting(now: i64) -> RangeInclusive<i64> {
    now.saturating_sub(GOOD_FOR)..=now.saturating_add(CLOCKS_APART)
}

impl Known {
    fn is_as_old_as(&self, age: Duration) -> bool {
        self.read_at.is_none_or(|at| at.elapsed() >= age)
    }

    fn counting(&self, now: i64) -> impl Iterator<Item = &KeyRow> {
        let counting = counting(now);
        self.keys.iter().filter(move |key| counting.contains(&key.created))
    }

    fn find(&self, id: i64, now: i64) -> Option<KeyRow> {
        self.counting(now).find(|key| key.id == id).cloned()
    }

    /// That which signs at an instant.
    fn current(&self, now: i64) -> Option<KeyRow> {
        let is_current = |key: &&KeyRow| key.created.saturating_add(MICROS_A_DAY) > now;
        self.counting(now).find(is_current).cloned()
    }

    /// What came of a read that began since an instant, if there was one.
    fn read_since(&self, asked: Instant) -> Option<Result<(), Error>> {
        let last = self.last.as_ref().filter(|last| last.began >= asked)?;
        Some(last.failed.clone().map_or(Ok(()), Err))
    }
}

impl Keys {
    pub(super) fn new(store: &Store, committer: &Committer) -> Self {
        Self(Arc::new(Shared {
            store: store.clone(),
            committer: committer.clone(),
            known: Mutex::default(),
            turn: Semaphore::new(1),
        }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That which signs now.
    pub(super) async fn current(&self) -> Result<KeyRow, Error> {
        let find = |known: &Known| known.current(now_micros());
        let (key, turn) = self.look(find).await?;
        if let Some(key) = key {
            return Ok(key);
        }
        let now = now_micros();
        let key = KeyRow {
            id: rand::random(),
            key: rand::random::<[u8; KEY_BYTES]>().to_vec(),
            created: now,
        };
        let forget_before = now.saturating_sub(GOOD_FOR);
        self.0.committer.submit(AddTicketKey { key, forget_before })?.answer().await?;
        self.read().await?;
        drop(turn);
        self.found(find).ok_or(Error::Internal)
    }

    /// One that may be any core's.
    pub(super) async fn find(&self, id: i64) -> Result<Option<KeyRow>, Error> {
        let (key, _) = self.look(|known| known.find(id, now_micros())).await?;
        Ok(key)
    }

    fn found(&self, find: impl Fn(&Known) -> Option<KeyRow>) -> Option<KeyRow> {
        let known = self.known();
        if known.is_as_old_as(KNOWN_FOR) { None } else { find(&known) }
    }

    /// What is known, or else what is read after this was asked. With nothing comes the turn to make one.
    async fn look(
        &self,
        find: impl Fn(&Known) -> Option<KeyRow>,
    ) -> Result<(Option<KeyRow>, Option<SemaphorePermit<'_>>), Error> {
        let asked = Instant::now();
        if self.found(&find).is_some() {
            self.refresh().await;
        }
        if let Some(key) = self.found(&find) {
            return Ok((Some(key), None));
        }
        // Never closed.
        let turn = self.0.turn.acquire().await.map_err(|_| Error::Internal)?;
        if let Some(key) = self.found(&find) {
            return Ok((Some(key), None));
        }
        // Those who wait for one read are answered by it.
        let read = self.known().read_since(asked);
        match read {
            Some(read) => read?,
            None => self.read_when_it_may_be().await?,
        }
        Ok((self.found(&find), Some(turn)))
    }

    /// Reads them anew before they are too old, where nobody does so yet.
    async fn refresh(&self) {
        let is_fresh = || !self.known().is_as_old_as(FRESH_FOR);
        if is_fresh() {
            return;
        }
        let Ok(_turn) = self.0.turn.try_acquire() else { return };
        if !is_fresh()
            && let Err(error) = self.read_when_it_may_be().await
        {
            tracing::debug!(%error, "the keys of tickets are not read anew, those that are known count");
        }
    }

    async fn read_when_it_may_be(&self) -> Result<(), Error> {
        let ended = self.known().last.as_ref().map(|last| last.ended);
        if let Some(ended) = ended {
            sleep_until(ended + READ_INTERVAL).await;
        }
        self.read().await
    }

    async fn read(&self) -> Result<(), Error> {
        let began = Instant::now();
        let keys = self.0.store.list_ticket_keys(counting(now_micros())).await.map_err(Error::from);
        let ended = Instant::now();
        let mut known = self.known();
        let (failed, read) = match keys {
            Ok(keys) => {
                (known.keys, known.read_at) = (keys, Some(began));
                (None, Ok(()))
            }
            Err(error) => (Some(error.clone()), Err(error)),
        };
        known.last = Some(LastRead { began, ended, failed });
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: i64, created: i64) -> KeyRow {
        KeyRow { id, key: vec![0; KEY_BYTES], created }
    }

    fn known(keys: Vec<KeyRow>) -> Known {
        Known { keys, read_at: Some(Instant::now()), last: None }
    }

    #[test]
    fn the_newest_signs_for_a_day_and_all_verify() {
        let known = known(vec![key(2, 1_000), key(1, 0)]);
        let current = |now| known.current(now).map(|key| key.id);
        assert_eq!(current(1_000), Some(2));
        // By a clock that is behind, too.
        assert_eq!(current(-1_000), Some(2));
        assert_eq!(current(MICROS_A_DAY + 999), Some(2));
        assert_eq!(current(MICROS_A_DAY + 1_000), None);
        assert_eq!(known.find(1, 1_000).map(|key| key.id), Some(1));
        assert!(known.find(3, 1_000).is_none());
        assert!(!known.is_as_old_as(KNOWN_FOR) && Known::default().is_as_old_as(KNOWN_FOR));
    }

    #[test]
    fn a_key_counts_for_three_days_and_one_of_a_time_to_come_for_nothing() {
        let known = known(vec![key(2, 10 * MICROS_A_DAY), key(1, 0)]);
        let find = |id, now| known.find(id, now).is_some();
        assert!(find(1, GOOD_FOR) && !find(1, GOOD_FOR + 1));
        let in_time = 10 * MICROS_A_DAY - CLOCKS_APART;
        assert!(find(2, in_time) && !find(2, in_time - 1));
        // Nor does it hide the one that signs.
        assert_eq!(known.current(0).map(|key| key.id), Some(1));
        assert!(known.current(in_time - 1).is_none());
        assert_eq!(known.current(in_time).map(|key| key.id), Some(2));
    }

    #[test]
    fn who_waits_for_a_read_is_answered_by_it_alone() {
        let began = Instant::now();
        let ended = began + READ_INTERVAL;
        let mut known = known(Vec::new());
        assert!(known.read_since(began).is_none());
        known.last = Some(LastRead { began, ended, failed: None });
        assert!(matches!(known.read_since(began), Some(Ok(()))));
        // It may have come since.
        assert!(known.read_since(began + Duration::from_nanos(1)).is_none());
        known.last = Some(LastRead { began, ended, failed: Some(Error::StoreUnavailable) });
        assert!(matches!(known.read_since(began), Some(Err(Error::StoreUnavailable))));
    }
}
