//! What has no place in a feed: who types, who is online, and what opens a socket.

use std::time::{Duration, Instant};

use netrox_harness::{eventually, token::now};
use netrox_proto::v1::{ErrorReason, Presence};
use proptest::{prelude::*, test_runner::TestCaseError};
use tokio::time::timeout;
use tonic::Status;

use super::{USERS, World, pair, rules::Model, stored::Stored};
use crate::{presence::Reports, refusal::assert_refused, typing::Watcher};

/// How late a core may know what another has stored: a block, and all that is more to be told.
const BLOCK_IS_KNOWN: Duration = Duration::from_millis(1_500);
const OPEN_IS_KNOWN: Duration = Duration::from_secs(60);
/// A signal that has not come by then is lost.
const IS_LOST: Duration = Duration::from_millis(300);
/// Cases of which it is looked that all have left.
const LEFT: usize = 4;

#[derive(Debug, Clone)]
pub(super) enum Signal {
    Type {
        user: usize,
        peer: usize,
        typing: bool,
    },
    /// Or no longer.
    Hide {
        user: usize,
        hides: bool,
    },
    /// Or leaves.
    Come {
        user: usize,
        comes: bool,
    },
    /// Redeemed by one core, and asked of the next.
    Ticket {
        user: usize,
    },
}

pub(super) fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        6 => (pair(), any::<bool>())
            .prop_map(|((user, peer), typing)| Signal::Type { user, peer, typing }),
        1 => (0..USERS, any::<bool>()).prop_map(|(user, hides)| Signal::Hide { user, hides }),
        3 => (0..USERS, proptest::bool::weighted(0.7))
            .prop_map(|(user, comes)| Signal::Come { user, comes }),
        1 => (0..USERS).prop_map(|user| Signal::Ticket { user }),
    ]
}

/// Of a case.
#[derive(Debug, Default)]
pub(super) struct Told {
    hides: [bool; USERS],
    online: [bool; USERS],
    /// Others may not be told yet.
    has_left: [bool; USERS],
    /// What those typed who might be told of, to whom.
    typed: Vec<(usize, usize, bool)>,
    pub(super) blocked: Option<Instant>,
}

impl Model {
    pub(super) fn note(&mut self, signal: &Signal) {
        match signal {
            Signal::Type { user, peer, typing } => {
                if self.is_told(*peer, *user) {
                    self.told.typed.push((*user, *peer, *typing));
                }
            }
            Signal::Hide { user, hides } => self.told.hides[*user] = *hides,
            Signal::Come { user, comes } => {
                let was_online = std::mem::replace(&mut self.told.online[*user], *comes);
                self.told.has_left[*user] = !comes && (was_online || self.told.has_left[*user]);
            }
            Signal::Ticket { .. } => {}
        }
    }

    /// Whether a user was shown a message of another.
    fn was_shown(&self, user: usize, of: usize) -> bool {
        let is_shown = |it: &Stored| (it.sender, it.receiver) == (of, user) && it.is_known_to(user);
        self.messages.iter().any(is_shown)
    }

    /// Whether a user may be told what another does just now.
    fn is_told(&self, user: usize, of: usize) -> bool {
        let is_shut = self.blocks.contains(&(user, of)) || self.blocks.contains(&(of, user));
        !is_shut && self.was_shown(user, of)
    }

    /// The same of whether the other is online.
    fn is_shown(&self, user: usize, of: usize) -> bool {
        self.is_told(user, of) && !self.told.hides[user] && !self.told.hides[of]
    }

    /// Whether it is what the user is to be told of another.
    fn is_right(&self, user: usize, of: usize, presence: &Presence) -> bool {
        let Presence { online, last_seen, .. } = presence;
        let is_online = self.is_shown(user, of) && self.told.online[of];
        let may_be_either = self.is_shown(user, of) && self.told.has_left[of];
        may_be_either || *online == is_online && last_seen.is_some() == is_online
    }
}

/// Whether all of one is in the other, in its order.
fn is_part(one: &[bool], other: &[bool]) -> bool {
    let mut others = other.iter();
    one.iter().all(|it| others.any(|other| other == it))
}

/// One of a case, and those who came in it and are gone with it.
#[derive(Debug)]
pub(super) struct Left {
    user: String,
    /// With whether the user is shown when they were last seen.
    peers: Vec<(String, bool)>,
    /// In seconds since the epoch.
    began: i64,
}

impl World {
    /// New users, whom somebody has written to.
    pub(super) async fn begin(&mut self) {
        let [ada, bob, carol, fence] = self.core().users().await;
        (self.users, self.fence) = ([ada, bob, carol], fence);
        self.began = now() as i64;
        for user in &self.users {
            self.core().send(&self.fence, user, "fence").await.expect("stored");
        }
        self.edge = Some(Reports::open(self.core()).await);
        self.typed.clear();
        self.files.clear();
        for (user, connection) in self.users.iter().zip(self.connections.iter().cycle()) {
            self.typed.push(Watcher::open(connection, user).await);
        }
    }

    pub(super) async fn signal(&self, signal: &Signal) -> Result<(), Status> {
        let (core, Self { users, .. }) = (self.core(), self);
        match signal {
            Signal::Type { user, peer, typing } => {
                core.typing(&users[*user], &users[*peer], *typing).await?;
            }
            Signal::Hide { user, hides } => core.hide(&users[*user], *hides).await?,
            Signal::Come { user, comes } => {
                let edge = self.edge.as_ref().expect("an edge");
                let (one, none) = ([&users[*user]], []);
                let (online, offline) =
                    if *comes { (&one[..], &none[..]) } else { (&none[..], &one[..]) };
                edge.say(online, offline).await;
            }
            Signal::Ticket { user } => {
                let ticket = core.ticket(&users[*user]).await;
                let next = |step: usize| (self.acted + step) % self.connections.len();
                let redeemed = self.connections[next(1)].redeem(&ticket, None).await?;
                assert_eq!(redeemed.user_id, users[*user]);
                let again = self.connections[next(2)].redeem(&ticket, None).await;
                assert_refused(again, ErrorReason::TicketUnknown);
            }
        }
        Ok(())
    }

    /// What each was shown of each: all that came up to a signal of the fence.
    async fn typed(&mut self, typing: bool) -> Vec<[Vec<bool>; USERS]> {
        let mut all = Vec::new();
        for (user, watcher) in self.typed.iter_mut().enumerate() {
            let connection = &self.connections[user % self.connections.len()];
            let mut shown: [Vec<bool>; USERS] = Default::default();
            eventually("a signal of the fence", async || {
                let types = connection.typing(&self.fence, &self.users[user], typing).await;
                types.expect("told");
                let until = Instant::now() + IS_LOST;
                while let Some(left) = until.checked_duration_since(Instant::now()) {
                    let (peer, typed) = timeout(left, watcher.next_typing()).await.ok()?;
                    if peer == self.fence && typed == typing {
                        return Some(());
                    }
                    let of = self.users.iter().position(|user| *user == peer);
                    of.into_iter().for_each(|of| shown[of].push(typed));
                }
                None
            })
            .await;
            all.push(shown);
        }
        all
    }

    /// Whoever may be told who types is, and nobody else.
    pub(super) async fn check_typing(&mut self) -> Result<(), TestCaseError> {
        let is_alone = self.connections.len() == 1;
        for (user, shown) in self.typed(true).await.iter().enumerate() {
            for (of, shown) in shown.iter().enumerate() {
                let typed = self.model.told.typed.iter();
                let typed = typed.filter(|(from, to, _)| (*from, *to) == (of, user));
                let typed: Vec<_> = typed.map(|(_, _, typing)| *typing).collect();
                // Of other cores a block is heard later.
                let may_be = is_part(shown, &typed) || !is_alone && self.model.was_shown(user, of);
                prop_assert!(may_be, "{} was shown {:?} of {}: {:?}", user, shown, of, typed);
            }
        }
        let blocked = self.model.told.blocked;
        let is_known = is_alone || blocked.is_none_or(|at| at.elapsed() > BLOCK_IS_KNOWN);
        let deadline = Instant::now() + OPEN_IS_KNOWN;
        let pairs = (0..USERS).flat_map(|of| (0..USERS).map(move |user| (of, user)));
        let pairs: Vec<_> = pairs.filter(|(of, user)| of != user).collect();
        let mut missing = pairs.clone();
        let mut typing = false;
        while !missing.is_empty() {
            for (of, user) in &missing {
                let core = &self.connections[user % self.connections.len()];
                core.typing(&self.users[*of], &self.users[*user], true).await.expect("told");
            }
            let shown = self.typed(typing).await;
            typing = !typing;
            for (of, user) in &pairs {
                let (is_told, shown) = (self.model.is_told(*user, *of), &shown[*user][*of]);
                prop_assert!(is_told || !is_known || shown.is_empty(), "{} to {}", of, user);
            }
            let is_missing = |(of, user): &(usize, usize)| {
                self.model.is_told(*user, *of) && shown[*user][*of].is_empty()
            };
            missing.retain(is_missing);
            // Alone, nothing is lost.
            prop_assert!(missing.is_empty() || !is_alone, "{:?}", missing);
            prop_assert!(Instant::now() < deadline, "{:?}", missing);
        }
        Ok(())
    }

    /// Until all are shown those who are online, and nothing of others.
    pub(super) async fn check_presence(&mut self) {
        for user in 0..USERS {
            self.acted += 1;
            let (core, Self { users, model, .. }) = (self.core(), &*self);
            let others: Vec<_> = (0..USERS).filter(|of| *of != user).collect();
            let peers: Vec<_> = others.iter().map(|of| &users[*of]).collect();
            let is_right = async || {
                let presences = core.presences(&users[user], &peers).await.expect("an answer");
                let mut all = others.iter().zip(&presences);
                all.all(|(of, presence)| model.is_right(user, *of, presence)).then_some(())
            };
            let told = &model.told;
            eventually(&format!("who is online, as {user} is told: {told:?}"), is_right).await;
        }
    }

    /// Nobody has a socket any more.
    pub(super) fn end(&mut self) {
        self.edge = None;
        let Told { online, has_left, .. } = &self.model.told;
        let peers = (1..USERS).filter(|peer| online[*peer] || has_left[*peer]);
        let peers = peers.map(|peer| (self.users[peer].clone(), self.model.is_shown(0, peer)));
        let began = self.began;
        self.left.push_back(Left { user: self.users[0].clone(), peers: peers.collect(), began });
        if self.left.len() > LEFT {
            self.left.pop_front();
        }
    }

    /// They look as they left.
    pub(super) async fn check_left(&self) {
        for Left { user, peers, began } in &self.left {
            let ids: Vec<_> = peers.iter().map(|(peer, _)| peer).collect();
            let presences = eventually("that they left", async || {
                let presences = self.core().presences(user, &ids).await.expect("an answer");
                presences.iter().all(|presence| !presence.online).then_some(presences)
            })
            .await;
            for ((_, is_shown), presence) in peers.iter().zip(presences) {
                let minute = presence.last_seen.map(|at| at.seconds);
                assert_eq!(minute.is_some(), *is_shown, "{presence:?}");
                let since = began - began % 60;
                let is_plausible = minute.is_none_or(|at| (since..=now() as i64).contains(&at));
                assert!(is_plausible, "{presence:?} is not from {since} on");
            }
        }
    }
}
