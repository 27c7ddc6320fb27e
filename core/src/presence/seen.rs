//! When users were last seen, as it is stored: to the minute, once they have left.

use std::{collections::HashMap, time::Duration};

use netrox_proto::ids::UserId;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{LAST_TIME, Presence, roll::MICROS_A_MINUTE};
use crate::{clock::now_micros, committer::NoteSeen, error::Error};

/// How often it is stored when users were last seen, and how many at once.
const STORE_INTERVAL: Duration = Duration::from_secs(5);
const STORED_AT_ONCE: usize = 1_000;
/// Within it a user's last minute is stored once.
const MINUTE: Duration = Duration::from_secs(60);

impl Presence {
    /// Stores when users were last seen who have left, until `stop`.
    pub(crate) async fn store_seen(self, stop: CancellationToken) {
        let mut stored = Stored::default();
        let storing = async {
            loop {
                self.roll.unstored.notified().await;
                sleep(STORE_INTERVAL).await;
                loop {
                    let seen = self.roll.take_unstored(STORED_AT_ONCE);
                    let is_last = seen.len() < STORED_AT_ONCE;
                    if let Err(error) = self.store_some(&mut stored, seen).await {
                        tracing::debug!(%error, "it cannot be stored when users were last seen");
                        self.roll.unstored.notify_one();
                        break;
                    }
                    if is_last {
                        break;
                    }
                }
            }
        };
        stop.run_until_cancelled(storing).await;
        // A failed write would keep its log from being saved.
        if self.store.is_damaged() {
            return;
        }
        // What is left, and all who are online with this core or were a moment ago: if they come back, it is to another.
        let mut last = self.roll.take_unstored(usize::MAX);
        last.extend(self.roll.last_seen());
        let ending = async {
            for some in last.chunks(STORED_AT_ONCE) {
                if self.note(some.to_vec()).await.is_err() {
                    return;
                }
            }
        };
        // A core that ends waits for nothing.
        let _ = timeout(LAST_TIME, ending).await;
    }

    async fn store_some(&self, stored: &mut Stored, seen: Vec<(UserId, i64)>) -> Result<(), Error> {
        let new = stored.those_not_in(&seen);
        if new.is_empty() {
            return Ok(());
        }
        match self.note(new.clone()).await {
            Ok(()) => {
                stored.add(new);
                Ok(())
            }
            Err(error) => {
                self.roll.give_back(new);
                Err(error)
            }
        }
    }

    async fn note(&self, seen: Vec<(UserId, i64)>) -> Result<(), Error> {
        self.committer.submit(NoteSeen(seen))?.answer().await
    }
}

/// The minutes that were stored last, of users who were seen a moment ago.
#[derive(Debug, Default)]
struct Stored {
    minutes: HashMap<UserId, i64>,
    tidied: Option<Instant>,
}

impl Stored {
    fn those_not_in(&self, seen: &[(UserId, i64)]) -> Vec<(UserId, i64)> {
        let is_new = |(user, minute): &&(UserId, i64)| self.minutes.get(user) != Some(minute);
        seen.iter().filter(is_new).copied().collect()
    }

    fn add(&mut self, seen: Vec<(UserId, i64)>) {
        let now = Instant::now();
        if self.tidied.is_none_or(|tidied| now - tidied >= MINUTE) {
            self.tidied = Some(now);
            let minute = now_micros() / MICROS_A_MINUTE;
            self.minutes.retain(|_, stored| *stored >= minute);
        }
        self.minutes.extend(seen);
    }
}
