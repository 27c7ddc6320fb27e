//! What tickets are signed with: keys of the deployment, in its database. A core makes a new one when the newest is a day old, and
//! forgets those that have signed nothing for so long that nothing of it is good any more.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use crate::{
    clock::now_micros,
    committer::{AddTicketKey, Committer},
    error::Error,
    store::{Store, ticket::KeyRow},
};

const MICROS_A_DAY: i64 = 24 * 3_600_000_000;
/// Signs for a day, what it signed is good for a day at most (`--link-ttl`), and clocks of cores may differ by as much.
const FORGOTTEN_AFTER: i64 = 3 * MICROS_A_DAY;
/// What is known of them is as old at most: so a key that somebody removes counts no longer.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Who names a key that is not there has them read no more often.
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
    read_at: Option<Instant>,
}

impl Known {
    fn is_as_old_as(&self, age: Duration) -> bool {
        self.read_at.is_none_or(|at| at.elapsed() >= age)
    }

    fn find(&self, id: i64) -> Option<KeyRow> {
        self.keys.iter().find(|key| key.id == id).cloned()
    }

    /// That which signs at an instant.
    fn current(&self, now: i64) -> Option<KeyRow> {
        let is_current = |key: &&KeyRow| key.created.saturating_add(MICROS_A_DAY) > now;
        self.keys.first().filter(is_current).cloned()
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
        let found = || {
            let known = self.known();
            if known.is_as_old_as(KNOWN_FOR) { None } else { known.current(now_micros()) }
        };
        if let Some(key) = found() {
            return Ok(key);
        }
        let Shared { committer, turn, .. } = &*self.0;
        // Never closed.
        let _turn = turn.acquire().await.map_err(|_| Error::Internal)?;
        if let Some(key) = found() {
            return Ok(key);
        }
        self.read().await?;
        if let Some(key) = found() {
            return Ok(key);
        }
        let now = now_micros();
        let key = KeyRow {
            id: rand::random(),
            key: rand::random::<[u8; KEY_BYTES]>().to_vec(),
            created: now,
        };
        let forget_before = now.saturating_sub(FORGOTTEN_AFTER);
        committer.submit(AddTicketKey { key, forget_before })?.answer().await?;
        self.read().await?;
        found().ok_or(Error::Internal)
    }

    /// One that may be any core's.
    pub(super) async fn find(&self, id: i64) -> Result<Option<KeyRow>, Error> {
        let found = || {
            let known = self.known();
            if known.is_as_old_as(KNOWN_FOR) { None } else { known.find(id) }
        };
        if let Some(key) = found() {
            return Ok(Some(key));
        }
        let _turn = self.0.turn.acquire().await.map_err(|_| Error::Internal)?;
        if let Some(key) = found() {
            return Ok(Some(key));
        }
        if self.known().is_as_old_as(READ_INTERVAL) {
            self.read().await?;
        }
        Ok(found())
    }

    async fn read(&self) -> Result<(), Error> {
        let began = Instant::now();
        let keys = self.0.store.list_ticket_keys().await?;
        *self.known() = Known { keys, read_at: Some(began) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: i64, created: i64) -> KeyRow {
        KeyRow { id, key: vec![0; KEY_BYTES], created }
    }

    #[test]
    fn the_newest_signs_for_a_day_and_all_verify() {
        let keys = vec![key(2, 1_000), key(1, 0)];
        let known = Known { keys, read_at: Some(Instant::now()) };
        let current = |now| known.current(now).map(|key| key.id);
        assert_eq!(current(1_000), Some(2));
        // By a clock that is behind, too.
        assert_eq!(current(-1_000), Some(2));
        assert_eq!(current(MICROS_A_DAY + 999), Some(2));
        assert_eq!(current(MICROS_A_DAY + 1_000), None);
        assert_eq!(known.find(1).map(|key| key.id), Some(1));
        assert!(known.find(3).is_none());
        assert!(!known.is_as_old_as(KNOWN_FOR) && Known::default().is_as_old_as(KNOWN_FOR));
    }
}
