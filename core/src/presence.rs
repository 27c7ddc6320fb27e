//! Who is online, and who is told (PROTOCOL-2 sections 3, 4 and 6).
//!
//! Edges report their sockets to a core, by a stream each: what it reported holds as long as the stream. Cores tell each other, over
//! the bus or by the database, and what they told holds for a lease. Nothing of it is stored but when a user was last seen, to the
//! minute, once they have left; and who hides.
//!
//! * [`people`]: who is online, and from when on others are told; [`roll`]: the same with where it is known from.
//! * [`report`]: an edge's reports; [`cores`] and [`word`]: other cores'.
//! * [`watches`]: who watches whom; [`watch`]: the stream of one who does.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use netrox_proto::{ids::UserId, time::timestamp, v1};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

mod cores;
mod people;
mod report;
mod roll;
mod watch;
mod watches;
mod word;

use self::{people::Shown, roll::MICROS_A_MINUTE};
pub(crate) use self::{roll::Roll, watch::WatchStream};
use crate::{
    clock::now_micros,
    committer::{Committer, KeepRoll, NoteSeen},
    delivery::Delivery,
    error::Error,
    store::Store,
};

/// Peers of one who watches or asks.
pub(crate) const MAX_PEERS: usize = 100;
/// How often a core says that it is there.
const BEAT: Duration = Duration::from_secs(5);
/// What happens within it is told at once.
const GATHER: Duration = Duration::from_millis(50);
/// How often it is looked who is not heard any more.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is stored when users were last seen, and how many at once.
const STORE_INTERVAL: Duration = Duration::from_secs(5);
const STORED_AT_ONCE: usize = 1_000;
/// How long a write may take when this core ends.
const LAST_TIME: Duration = Duration::from_secs(1);
/// Within it a user's last minute is stored once.
const MINUTE: Duration = Duration::from_secs(60);

/// Who looks at peers takes turns, so that thousands who come back at once do not take all the database has.
#[derive(Debug)]
pub(crate) struct Looks {
    /// Of those who watch.
    watching: Semaphore,
    /// Of those who ask once, which do not wait behind them.
    asked: Semaphore,
}

impl Default for Looks {
    fn default() -> Self {
        Self { watching: Semaphore::new(1), asked: Semaphore::new(1) }
    }
}

/// A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Presence {
    pub(crate) roll: Arc<Roll>,
    /// With connections of its own, which chat does not need.
    pub(crate) store: Store,
    pub(crate) looks: Arc<Looks>,
    pub(crate) delivery: Delivery,
    pub(crate) committer: Committer,
}

impl Presence {
    /// What a user is shown of peers, in their order.
    pub(crate) async fn look(
        &self,
        user: UserId,
        peers: &[UserId],
    ) -> Result<Vec<v1::Presence>, Error> {
        // It is never closed.
        let _turn = self.looks.asked.acquire().await;
        let visible = self.delivery.visible(&self.store, peers, user).await?;
        self.look_at(user, peers, &visible).await
    }

    /// The same, where it is known which of them may be shown.
    async fn look_at(
        &self,
        user: UserId,
        peers: &[UserId],
        visible: &HashSet<UserId>,
    ) -> Result<Vec<v1::Presence>, Error> {
        let shown = self.roll.shown(peers.iter().copied());
        let is_stored =
            |(peer, shown): &&(UserId, Shown)| *shown == Shown::Offline && visible.contains(peer);
        let asked: Vec<_> = shown.iter().filter(is_stored).map(|(peer, _)| *peer).collect();
        let stored =
            if asked.is_empty() { HashMap::new() } else { self.store.last_seen(&asked).await? };
        let presence = |(peer, shown): (UserId, Shown)| {
            let peer_id = peer.to_string();
            // A block that was told meanwhile counts.
            if !visible.contains(&peer) || self.delivery.is_shut(peer, user) {
                return v1::Presence { peer_id, online: false, last_seen: None };
            }
            let (online, minute) = match shown {
                Shown::Online => (true, Some(now_micros() / MICROS_A_MINUTE)),
                Shown::Left(minute) => (false, Some(minute)),
                Shown::Offline => (false, stored.get(&peer).copied()),
            };
            let last_seen = minute.map(|minute| timestamp(minute.saturating_mul(MICROS_A_MINUTE)));
            v1::Presence { peer_id, online, last_seen }
        };
        Ok(shown.into_iter().map(presence).collect())
    }

    /// Whether a user hides.
    pub(crate) async fn visibility(&self, user: UserId) -> Result<v1::Visibility, Error> {
        let row = self.store.find_user(user).await?.ok_or(Error::UserUnknown)?;
        if row.deleted {
            return Err(Error::UserDeleted);
        }
        let hides = self.store.is_hidden(row.key).await?;
        Ok(if hides { v1::Visibility::Nobody } else { v1::Visibility::Peers })
    }

    /// Tells those who watch what is due, until `stop`; then ends them.
    pub(crate) async fn settle(self, stop: CancellationToken) {
        let settling = async {
            loop {
                let due = self.roll.settle();
                let look = Instant::now() + LOOK_INTERVAL;
                let next = due.map_or(look, |due| due.min(look));
                sleep_until(next).await;
            }
        };
        stop.run_until_cancelled(settling).await;
        self.roll.watches.close();
    }

    /// Tells other cores, over the bus, until `stop`.
    pub(crate) async fn tell(self, stop: CancellationToken) {
        let telling = async {
            let mut beat = Instant::now();
            loop {
                let beats = Instant::now() >= beat;
                if beats {
                    beat = Instant::now() + BEAT;
                }
                for word in self.roll.words(beats) {
                    self.delivery.tell_word(word);
                }
                tokio::select! {
                    () = self.roll.changed.notified() => sleep(GATHER).await,
                    () = sleep_until(beat) => {}
                }
            }
        };
        stop.run_until_cancelled(telling).await;
        self.delivery.tell_word(self.roll.last_word());
    }

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

    /// Reads changed profiles of users who are watched, until `stop`.
    pub(crate) async fn read_profiles(self, stop: CancellationToken) {
        let reading = async {
            loop {
                let users = self.roll.take_profiles(MAX_PEERS);
                if users.is_empty() {
                    self.roll.unread.notified().await;
                    continue;
                }
                match self.store.find_users(&users).await {
                    Ok(rows) => {
                        for row in rows.into_iter().filter(|row| !row.deleted) {
                            self.roll.tell_profile(row.id(), &Arc::new(row.into()));
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "changed profiles cannot be read");
                        self.roll.give_back_profiles(users);
                        sleep(watch::RETRY).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(reading).await;
    }

    /// Shares who is online by the database where there is no bus, or some core has none, until `stop`.
    pub(crate) async fn share_by_database(self, stop: CancellationToken) {
        let sharing = async {
            let mut kept = Kept::default();
            loop {
                if let Err(error) = self.share(&mut kept).await {
                    tracing::debug!(%error, "who is online cannot be shared by the database");
                }
                sleep(BEAT).await;
            }
        };
        stop.run_until_cancelled(sharing).await;
    }

    async fn share(&self, kept: &mut Kept) -> Result<(), Error> {
        let rolls = self.store.list_rolls().await?;
        let others: Vec<_> =
            rolls.into_iter().filter(|roll| roll.core() != self.roll.id()).collect();
        kept.versions.retain(|core, _| others.iter().any(|roll| roll.core() == *core));
        for roll in &others {
            let core = roll.core();
            if self.roll.is_heard(core) {
                kept.versions.remove(&core);
            } else if kept.versions.get(&core) == Some(&roll.version) {
                self.roll.read(core, None);
            } else if let Some(users) = self.store.read_roll(core).await? {
                self.roll.read(core, Some(&users));
                kept.versions.insert(core, roll.version);
            }
        }
        if self.delivery.has_bus() && others.is_empty() {
            return Ok(());
        }
        // One that is alone says no more than that it is there.
        let mut here = if others.is_empty() { Vec::new() } else { self.roll.here() };
        here.sort_unstable();
        let users: Bytes = word::ids(here).into();
        let is_new = kept.written.as_ref() != Some(&users);
        let roll = KeepRoll { core: self.roll.id(), users: is_new.then(|| users.to_vec()) };
        self.committer.submit(roll)?.answer().await?;
        kept.written = Some(users);
        Ok(())
    }
}

/// What is known of what cores have written down.
#[derive(Debug, Default)]
struct Kept {
    versions: HashMap<uuid::Uuid, i64>,
    written: Option<Bytes>,
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
