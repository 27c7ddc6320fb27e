//! Who is online, and who is told (PROTOCOL-2 sections 3, 4 and 6).
//!
//! Edges report their sockets to a core, by a stream each: what it reported holds as long as the stream. Cores tell each other, over
//! the bus or by the database, and what they told holds for a lease. Nothing of it is stored but when a user was last seen, to the
//! minute, once they have left; and who hides.
//!
//! * [`people`]: who is online, and from when on others are told; [`roll`]: the same with where it is known from.
//! * [`report`]: an edge's reports; [`cores`] and [`word`]: other cores'.
//! * [`seen`]: when users were last seen; [`sharing`]: the way of cores to each other by the database.
//! * [`watches`]: who watches whom; [`watch`]: the stream of one who does.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use netrox_proto::{ids::UserId, time::timestamp, v1};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

mod cores;
mod people;
mod report;
mod roll;
mod seen;
mod sharing;
mod watch;
mod watches;
mod word;

use self::{people::Shown, roll::MICROS_A_MINUTE};
pub(crate) use self::{roll::Roll, watch::WatchStream};
use crate::{
    clock::now_micros, committer::Committer, delivery::Delivery, error::Error, store::Store,
};

/// Peers of one who watches or asks.
pub(crate) const MAX_PEERS: usize = 100;
/// How often a core says that it is there.
const BEAT: Duration = Duration::from_secs(5);
/// What happens within it is told at once.
const GATHER: Duration = Duration::from_millis(50);
/// How often it is looked who is not heard any more.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// From the start of a core until nobody looks offline to it who is not: by then the edges have reported that know it, and other cores
/// have told. Until then nobody is answered.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// The same where another core has no bus either, and was alone: it looks for others every [`BEAT`], and then writes.
const SETTLED_AT_LAST: Duration = Duration::from_millis(7_500);
/// How long a write may take when this core ends.
const LAST_TIME: Duration = Duration::from_secs(1);

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
    /// When this core began to serve.
    pub(crate) begun: Instant,
}

impl Presence {
    /// Waits until this core has heard who is online. For all peers alike: how long it takes tells nobody how one is.
    async fn settled(&self, peers: &[UserId]) {
        if !peers.is_empty() {
            sleep_until(self.begun + SETTLED_AFTER).await;
            let mut awaits_another = self.roll.awaits_another.subscribe();
            let written = awaits_another.wait_for(|awaits| !awaits);
            // It may have ended.
            let _ = timeout_at(self.begun + SETTLED_AT_LAST, written).await;
        }
    }

    /// What a user is shown of peers, in their order.
    pub(crate) async fn look(
        &self,
        user: UserId,
        peers: &[UserId],
    ) -> Result<Vec<v1::Presence>, Error> {
        self.settled(peers).await;
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
}
