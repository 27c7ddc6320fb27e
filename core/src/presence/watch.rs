//! The stream of one who watches: first how all peers are, in the order asked, then whatever changes.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    pin::Pin,
    time::Duration,
};

use futures_util::{Stream, stream};
use netrox_metrics::Held;
use netrox_proto::{ids::UserId, v1};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;

use super::{
    Presence,
    watches::{Marks, Watching},
};
use crate::error::Error;

/// Before what could not be read is looked at again.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// How often it is looked again, where other cores write, at those who may not be seen: an unblock is told to nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The same for the first time: a first message may come by the bus before this core listens to it for the user. What the first look
/// found is not kept for that long.
const LOOK_FIRST: Duration = Duration::from_secs(6);

pub(crate) type WatchStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchPresenceResponse, Status>> + Send>>;

struct Watcher {
    presence: Presence,
    user: UserId,
    peers: Vec<UserId>,
    watching: Watching,
    /// What was told of each peer; of those who are online no time.
    told: HashMap<UserId, v1::Presence>,
    /// Digests of the profiles that were told.
    profiles: HashMap<UserId, u64>,
    digests: RandomState,
    has_begun: bool,
    /// When it is looked again at those who may not be seen.
    look_again: Instant,
    _open: Held,
}

impl Presence {
    /// `peers` are few, and may be named several times.
    pub(crate) fn watch(&self, user: UserId, peers: Vec<UserId>, open: Held) -> WatchStream {
        // Before the first look, so that nothing falls between the two.
        let watching = self.roll.watches.add(user, &peers);
        let attention = self.delivery.attend(user);
        let watcher = Watcher {
            presence: self.clone(),
            user,
            peers,
            watching,
            told: HashMap::new(),
            profiles: HashMap::new(),
            digests: RandomState::new(),
            has_begun: false,
            look_again: Instant::now() + LOOK_FIRST,
            _open: open,
        };
        let begun = Some((watcher, attention));
        Box::pin(stream::unfold(begun, |state| async move {
            let (mut watcher, attention) = state?;
            match watcher.next().await {
                Ok(response) => Some((Ok(response), Some((watcher, attention)))),
                Err(error) => Some((Err(error.into()), None)),
            }
        }))
    }
}

impl Watcher {
    async fn next(&mut self) -> Result<v1::WatchPresenceResponse, Error> {
        if !self.has_begun {
            self.has_begun = true;
            self.presence.settled(&self.peers).await;
            let (presences, _) = self.look(&self.peers, &self.peers).await?;
            for (peer, presence) in self.peers.iter().zip(&presences) {
                self.told.insert(*peer, comparable(presence));
            }
            return Ok(v1::WatchPresenceResponse { presences, users: Vec::new() });
        }
        loop {
            // Whatever else there is to look at.
            if Instant::now() >= self.look_again {
                self.look_again = Instant::now() + LOOK_AGAIN;
                self.mark_unseen();
            }
            let Ok(marks) = timeout_at(self.look_again, self.watching.watch.next()).await else {
                continue;
            };
            let Marks { peers, profiles, is_closed } = marks;
            if is_closed {
                return Err(Error::ShuttingDown);
            }
            let peers: Vec<_> = peers.into_iter().collect();
            let looked_at: Vec<_> = peers.iter().chain(profiles.keys()).copied().collect();
            let (presences, seen) = match self.look_again(&peers, &looked_at).await {
                Ok(looked) => looked,
                Err(Error::ShuttingDown) => return Err(Error::ShuttingDown),
                Err(error) => {
                    tracing::debug!(user.id = %self.user, %error, "peers cannot be looked at");
                    sleep(RETRY).await;
                    self.watching.watch.give_back(peers);
                    self.watching.watch.give_back_profiles(profiles);
                    continue;
                }
            };
            let mut users = Vec::new();
            for (peer, user) in profiles.into_iter().filter(|(peer, _)| seen.contains(peer)) {
                let digest = self.digest(&user);
                if self.profiles.insert(peer, digest) != Some(digest) {
                    users.push(v1::User::clone(&user));
                }
            }
            if !presences.is_empty() || !users.is_empty() {
                return Ok(v1::WatchPresenceResponse { presences, users });
            }
        }
    }

    /// What is new of peers, and which of those that are looked at the user may see.
    async fn look_again(
        &mut self,
        peers: &[UserId],
        looked_at: &[UserId],
    ) -> Result<(Vec<v1::Presence>, HashSet<UserId>), Error> {
        let (looked, seen) = self.look(peers, looked_at).await?;
        let mut news = Vec::new();
        for (peer, presence) in peers.iter().zip(looked) {
            let now = comparable(&presence);
            if self.told.insert(*peer, now.clone()).as_ref() != Some(&now) {
                news.push(presence);
            }
        }
        Ok((news, seen))
    }

    /// How peers are, and which of those that are looked at the user may see.
    async fn look(
        &self,
        peers: &[UserId],
        looked_at: &[UserId],
    ) -> Result<(Vec<v1::Presence>, HashSet<UserId>), Error> {
        let Presence { store, delivery, looks, .. } = &self.presence;
        // It is never closed.
        let _turn = looks.watching.acquire().await;
        let seen = delivery.visible(store, looked_at, self.user).await?;
        let looked = self.presence.look_at(self.user, peers, &seen).await?;
        Ok((looked, seen))
    }

    fn digest(&self, user: &v1::User) -> u64 {
        self.digests.hash_one((&user.email, &user.profile_json))
    }

    fn mark_unseen(&self) {
        let is_unseen = |(_, presence): &(&UserId, &v1::Presence)| {
            !presence.online && presence.last_seen.is_none()
        };
        let unseen: Vec<_> = self.told.iter().filter(is_unseen).map(|(peer, _)| *peer).collect();
        if !unseen.is_empty() && self.presence.store.cluster().is_some() {
            self.watching.watch.give_back(unseen);
        }
    }
}

/// Of those who are online the time goes on, and is no news.
fn comparable(presence: &v1::Presence) -> v1::Presence {
    let last_seen = presence.last_seen.filter(|_| !presence.online);
    v1::Presence { last_seen, ..presence.clone() }
}
