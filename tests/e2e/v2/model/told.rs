//! Who is told at the end what others do just now: who types, and who is online.

use std::collections::BTreeSet;

use netrox_harness::{Arrangement, User, eventually};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::{
    action::{DEVICES, FENCE, From, USERS},
    asked::nothing_of,
    case::Case,
    check::{PAUSE, WAIT},
    device::Device,
};
use crate::v2::view::Rest;

/// How late what one core stored may be known to another: a block, and all that is more to be told.
const BLOCK_IS_KNOWN: Duration = Duration::from_millis(1_500);
const OPEN_IS_KNOWN: Duration = Duration::from_secs(90);
/// Between two words of one who types until it is seen.
const TYPES_AGAIN: Duration = Duration::from_millis(100);

/// What decides it, as the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Who blocks whom.
    blocks: BTreeSet<(usize, usize)>,
    hides: [bool; USERS],
    /// Who was shown a message of whom.
    shown: BTreeSet<(usize, usize)>,
}

impl Facts {
    /// Whether one user may be told of another.
    pub(super) fn is_told(&self, user: usize, of: usize) -> bool {
        let is_open = !self.blocks.contains(&(user, of)) && !self.blocks.contains(&(of, user));
        is_open && self.shown.contains(&(user, of))
    }

    /// The same of whether the other is online.
    pub(super) fn is_shown(&self, user: usize, of: usize) -> bool {
        let hides = |user: usize| self.hides.get(user) == Some(&true);
        self.is_told(user, of) && !hides(user) && !hides(of)
    }
}

impl Case<'_> {
    pub(super) async fn facts(&mut self) -> Facts {
        let (mut blocks, mut shown) = (BTreeSet::new(), BTreeSet::new());
        let mut hides = [false; USERS];
        let place = |users: &[User], id: &Value| users.iter().position(|user| *id == user.id);
        for (user, hides) in hides.iter_mut().enumerate() {
            let edge = self.edge();
            let rest = Rest { edge, user: &self.users[user] };
            let (blocked, me) = eventually("blocks", async || {
                Some((rest.get("/v2/blocks?limit=200").await?, rest.get("/v2/me").await?))
            })
            .await;
            let blocked = blocked["blocks"].as_array().expect("blocks").iter();
            blocks.extend(
                blocked.map(|block| (user, place(&self.users, &block["peer_id"]).expect("a user"))),
            );
            *hides = me["presence"] == "nobody";
            let messages = self.replay(user).await.messages;
            let senders = messages.values().map(|message| &message["sender_id"]);
            let senders = senders.map(|sender| place(&self.users, sender).expect("a user"));
            shown.extend(senders.filter(|sender| *sender != user).map(|sender| (user, sender)));
        }
        Facts { blocks, hides, shown }
    }

    /// Nobody was ever shown that somebody types who never wrote to them.
    pub(super) fn check_typed(&self, facts: &Facts) {
        for (index, device) in self.devices.iter().enumerate() {
            for peer in &device.signals.typed {
                let of = self.users.iter().position(|user| user.id == *peer).expect("a user");
                let user = index / DEVICES;
                assert!(facts.shown.contains(&(user, of)), "{user} was shown that {of} types");
            }
        }
    }

    /// Until all are shown those who are online, and nothing of others. All have sockets.
    pub(super) async fn check_presence(&mut self) {
        self.connect_fence().await;
        let deadline = Instant::now() + OPEN_IS_KNOWN;
        // What was watched all the time. An unblock by another core is found out within a minute, and not waited for.
        let is_open = |case: &Self, user: usize, of: usize| {
            let has_ended = case.blocks.has_ended_since(0, user, of)
                || case.blocks.has_ended_since(0, of, user);
            case.chat.arrangement() != Arrangement::Cluster || !has_ended
        };
        self.until_shown(deadline, is_open).await;
        // What is watched anew.
        loop {
            self.watch_all().await;
            let facts = self.facts().await;
            let Some(difference) = self.presence_differs(&facts, |_, _, _| true) else { return };
            assert!(Instant::now() < deadline, "{difference}, by {facts:?}");
            tokio::time::sleep(TYPES_AGAIN).await;
        }
    }

    async fn connect_fence(&mut self) {
        let deadline = Instant::now() + WAIT;
        while !self.fence.is_settled() {
            assert!(Instant::now() < deadline, "the fence does not connect");
            if !self.fence.is_connected() {
                let edge = self.edge();
                self.fence.connect(edge, &From::Stored, None).await;
            }
            self.pump().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn until_shown(
        &mut self,
        deadline: Instant,
        is_open: impl Fn(&Self, usize, usize) -> bool,
    ) {
        loop {
            self.settle().await;
            self.pump().await;
            let facts = self.facts().await;
            let Some(difference) = self.presence_differs(&facts, &is_open) else { return };
            assert!(Instant::now() < deadline, "{difference}, by {facts:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn watch_all(&mut self) {
        for index in 0..self.devices.len() {
            let own = index / DEVICES;
            let peers: Vec<_> = (0..=FENCE).filter(|peer| *peer != own).collect();
            let peers = peers.into_iter().map(|peer| &self.users[peer]);
            self.devices[index].watch(peers).await;
        }
        self.settle().await;
    }

    /// What a device shows of a peer otherwise than it is. `is_open`: what is to be shown by now.
    fn presence_differs(
        &self,
        facts: &Facts,
        is_open: impl Fn(&Self, usize, usize) -> bool,
    ) -> Option<String> {
        for (index, device) in self.devices.iter().enumerate() {
            let user = index / DEVICES;
            for (id, state) in device.signals.watched.iter().flatten() {
                let of = self.users.iter().position(|it| it.id == *id).expect("a user");
                let is_right = if facts.is_shown(user, of) {
                    state["online"] == true || !is_open(self, user, of)
                } else {
                    *state == nothing_of(&self.users[of])
                };
                if !is_right {
                    return Some(format!("{user} is shown {state} of {of}"));
                }
                let minute = state["last_seen"].as_str();
                assert!(minute.is_none_or(|it| it.ends_with(":00.000000Z")), "{state}");
                assert!(minute.is_some() || state["online"] == false, "{state}");
            }
        }
        None
    }

    /// All type to all: whoever may be told is, and nobody else.
    pub(super) async fn check_typing(&mut self) {
        // By it all is through that was under way.
        self.type_through(&Facts::of_none(), true).await;
        loop {
            let facts = self.facts().await;
            let known = self.blocks.are_known_for();
            for device in &mut self.devices {
                device.signals.typing.clear();
            }
            for user in 0..USERS {
                for of in (0..USERS).filter(|of| *of != user) {
                    let peer = self.users[user].clone();
                    self.devices[of * DEVICES].types(&peer, true).await;
                }
            }
            self.settle().await;
            self.type_through(&facts, false).await;
            // What was cut off may have taken effect.
            if self.facts().await != facts {
                continue;
            }
            let is_cluster = self.chat.arrangement() == Arrangement::Cluster;
            for (index, device) in self.devices.iter().enumerate() {
                let user = index / DEVICES;
                for id in device.signals.typing.keys() {
                    let of = self.users.iter().position(|it| it.id == *id).expect("a user");
                    let is_known = !is_cluster || known.is_none_or(|it| it > BLOCK_IS_KNOWN);
                    assert!(
                        facts.is_told(user, of) || !is_known,
                        "{user} is shown that {of} types, by {facts:?}"
                    );
                }
            }
            return;
        }
    }

    /// Until each device is shown that the fence types, or no longer does, and the same of all of whom its user is to be told.
    async fn type_through(&mut self, facts: &Facts, typing: bool) {
        let deadline = Instant::now() + OPEN_IS_KNOWN;
        let untold = |devices: &[Device], users: &[User], user: usize, of: usize| {
            let of_user = &devices[user * DEVICES..][..DEVICES];
            let is_told = |device: &Device| {
                let shown = device.signals.typing.get(&users[of].id);
                shown.is_some_and(|shown| of != FENCE || *shown == typing)
            };
            !of_user.iter().all(is_told)
        };
        loop {
            let pairs = (0..USERS).flat_map(|user| (0..=FENCE).map(move |of| (user, of)));
            let wanted = pairs.filter(|(user, of)| *of == FENCE || facts.is_told(*user, *of));
            let missing: Vec<_> = wanted
                .filter(|(user, of)| untold(&self.devices, &self.users, *user, *of))
                .collect();
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{missing:?} are not told, by {facts:?}");
            for (user, of) in missing {
                let peer = self.users[user].clone();
                if of == FENCE {
                    self.fence.types(&peer, typing).await;
                } else {
                    self.devices[of * DEVICES].types(&peer, true).await;
                }
            }
            let again = Instant::now() + TYPES_AGAIN;
            while Instant::now() < again {
                self.settle().await;
                self.pump().await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Facts {
    fn of_none() -> Self {
        Self { blocks: BTreeSet::new(), hides: [false; USERS], shown: BTreeSet::new() }
    }
}
