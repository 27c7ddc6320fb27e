//! One case: some users with their devices, and what they do.

use std::collections::{BTreeMap, BTreeSet};

use netrox_harness::{Arrangement, Edge, TestChat, User, eventually};
use proptest::sample::Index;
use serde_json::Value;
use uuid::Uuid;

use super::{
    action::{Action, DEVICES, FENCE, USERS},
    blocks::Blocks,
    device::Device,
    documented::Documented,
    ticket::Spent,
};
use crate::v2::view::Rest;

mod sends;

/// A message that somebody wanted to send.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) sender: usize,
    pub(super) client_ref: String,
    /// What it may have been stored with.
    pub(super) bodies: Vec<String>,
    /// The device that alone had it in its outbox, and to whom it went.
    pub(super) alone: Option<(usize, usize)>,
    /// Its receiver was known to block its sender, and how many blocks and their ends had been asked for.
    pub(super) under_block: Option<usize>,
}

/// Kills of a case: each costs a start.
const KILLS: usize = 2;

pub(super) struct Case<'a> {
    pub(super) chat: &'a mut TestChat,
    pub(super) users: Vec<User>,
    pub(super) devices: Vec<Device>,
    /// That of [`FENCE`].
    pub(super) fence: Device,
    /// Of the first user.
    pub(super) documented: Documented,
    pub(super) said: Vec<String>,
    pub(super) sent: Vec<Sent>,
    /// The texts of edits, by message.
    pub(super) edits: BTreeMap<i64, Vec<String>>,
    pub(super) blocks: Blocks,
    /// What users were asked to delete, for whomever.
    pub(super) deletions: BTreeSet<(usize, i64)>,
    pub(super) spent: Vec<Spent>,
    pub(super) kills: usize,
    /// Where each user's first device began.
    pub(super) begins: Vec<String>,
    /// When the first of all did.
    pub(super) since: String,
    may_kill: bool,
    /// Each connection and request goes to the next edge.
    next_edge: usize,
}

impl<'a> Case<'a> {
    /// Everybody is connected, and knows nobody.
    pub(super) async fn begin(chat: &'a mut TestChat, may_kill: bool) -> Self {
        chat.ready().await;
        let names = ["ada", "bob", "carol", "dave", "eve"];
        let users: Vec<User> = names.map(|it| chat.stranger(it)).into();
        let devices = users[..USERS].iter().flat_map(|user| vec![user; DEVICES]);
        let devices = devices.map(|user| Device::new(user.clone())).collect();
        let fence = Device::new(users[FENCE].clone());
        let documented = Documented::new(users[0].clone());
        let mut case = Self {
            chat,
            users,
            devices,
            fence,
            documented,
            said: Vec::new(),
            sent: Vec::new(),
            edits: BTreeMap::new(),
            blocks: Blocks::default(),
            deletions: BTreeSet::new(),
            spent: Vec::new(),
            kills: 0,
            begins: Vec::new(),
            since: String::new(),
            may_kill,
            next_edge: 0,
        };
        for device in 0..case.devices.len() {
            while !case.devices[device].is_settled() {
                let edge = case.edge();
                let device = &mut case.devices[device];
                device.connect(edge, &super::action::From::Stored, None).await;
                device.read(2).await;
            }
        }
        let begins = case.devices.iter().step_by(DEVICES);
        case.begins = begins.map(|it| it.held.cursor.clone().expect("a cursor")).collect();
        case.since = case.devices[0].time.clone().expect("a time");
        case.begin_fence().await;
        while !case.documented.is_connected() {
            let edge = case.edge();
            case.documented.connect(edge).await;
        }
        case
    }

    /// It has written to all.
    async fn begin_fence(&mut self) {
        for user in 0..USERS {
            let (edge, client_ref) = (self.edge(), Uuid::new_v4().to_string());
            let rest = Rest { edge, user: &self.users[FENCE] };
            let peer = &self.users[user].id;
            eventually("a message of the fence", async || {
                rest.send(peer, "canary fence", &client_ref).await
            })
            .await;
        }
    }

    pub(super) fn edge(&mut self) -> Edge {
        self.next_edge += 1;
        self.chat.edge_at(self.next_edge)
    }

    /// Takes what has come to anybody.
    pub(super) async fn pump(&mut self) {
        for index in 0..self.devices.len() {
            let edge = self.edge();
            let device = &mut self.devices[index];
            device.pump().await;
            Rest { edge, user: &device.user }.complete(&mut device.held).await;
        }
        for device in &self.devices {
            self.blocks.hear(&device.told);
        }
        self.fence.pump().await;
        for spent in &mut self.spent {
            spent.pump().await;
        }
        self.documented.pump().await;
        if !self.documented.is_connected() {
            let ends = self.chat.arrangement() == Arrangement::Serve && self.kills > 0;
            assert!(ends, "the documented socket ended");
            let edge = self.edge();
            self.documented.connect(edge).await;
        }
    }

    /// A message that the device holds, of its own or of anybody.
    fn pick(&self, device: usize, message: &Index, is_own: bool) -> Option<i64> {
        let Device { user, held, .. } = &self.devices[device];
        let of_whom = |message: &Value| !is_own || message["sender_id"] == user.id;
        let ids: Vec<_> =
            held.messages.iter().filter(|(_, it)| of_whom(it)).map(|(id, _)| *id).collect();
        (!ids.is_empty()).then(|| *message.get(&ids))
    }

    fn peer_of(&self, device: usize, id: i64) -> User {
        let message = &self.devices[device].held.messages[&id];
        let own = &self.devices[device].user.id;
        let is_peer = |user: &&User| {
            user.id != *own
                && [&message["sender_id"], &message["receiver_id"]]
                    .contains(&&Value::from(user.id.as_str()))
        };
        self.users.iter().find(is_peer).expect("a peer").clone()
    }

    pub(super) async fn act(&mut self, action: &Action) {
        match action {
            Action::Send { device, to, reply_to, also_on } => {
                self.send(*device, *to, reply_to.as_ref(), *also_on).await;
            }
            Action::Repeat { send, device, is_by_rest } => {
                self.repeat(send, *device, *is_by_rest).await;
            }
            Action::Edit { device, message } => {
                let Some(id) = self.pick(*device, message, true) else { return };
                let texts = self.edits.entry(id).or_default();
                let body = format!("canary {id} edited {}", texts.len());
                texts.push(body.clone());
                self.devices[*device].edit(id, &body).await;
            }
            Action::Delete { device, message, is_for_everyone } => {
                let Some(id) = self.pick(*device, message, *is_for_everyone) else { return };
                self.deletions.insert((device / DEVICES, id));
                self.devices[*device].delete(id, *is_for_everyone).await;
            }
            Action::Mark { device, message, is_seen } => {
                let Some(id) = self.pick(*device, message, false) else { return };
                let peer = self.peer_of(*device, id);
                self.devices[*device].mark(&peer, id, *is_seen).await;
            }
            Action::Block { device, peer, blocks } => self.block(*device, *peer, *blocks).await,
            Action::Break { device, breaks } => self.devices[*device].break_at(*breaks),
            Action::Vanish { device } => self.devices[*device].vanish(),
            Action::Type { device, peer, typing } => {
                let peer = self.users[(device / DEVICES + peer) % USERS].clone();
                self.devices[*device].types(&peer, *typing).await;
            }
            Action::Hide { device, hides } => self.devices[*device].hide(*hides).await,
            Action::Watch { device, peers } => {
                let own = &self.users[device / DEVICES];
                let others = self.users.iter().filter(|user| user.id != own.id);
                let watched = others.enumerate().filter(|(bit, _)| peers >> bit & 1 == 1);
                self.devices[*device].watch(watched.map(|(_, peer)| peer)).await;
            }
            Action::Search { device } => self.search(device / DEVICES).await,
            Action::Connect { device, from, breaks, frames, has_ticket } => {
                if *has_ticket {
                    self.connect_by_ticket(*device, from, *breaks).await;
                } else {
                    let edge = self.edge();
                    self.devices[*device].connect(edge, from, *breaks).await;
                }
                let device = &mut self.devices[*device];
                if let Some(frames) = frames {
                    device.read(*frames).await;
                    device.leave();
                }
            }
            Action::Sync { device, limit, pages } => {
                let edge = self.edge();
                let Device { user, held, .. } = &mut self.devices[*device];
                Rest { edge, user }.sync(held, *limit, *pages).await;
                self.devices[*device].settle_by_held();
            }
            Action::Snapshot { device, limit } => {
                let edge = self.edge();
                let Device { user, held, .. } = &mut self.devices[*device];
                Rest { edge, user }.snapshot(held, *limit).await;
                self.devices[*device].settle_by_held();
            }
            Action::SayDocumented { to } => {
                let body = format!("canary documented {}", self.said.len());
                if self.documented.say(&self.users[*to], &body).await {
                    self.said.push(body);
                }
            }
            Action::Kill { core } => self.kill(core),
        }
    }

    async fn block(&mut self, device: usize, peer: usize, blocks: bool) {
        let user = device / DEVICES;
        let peer = (user + peer) % USERS;
        let number = self.blocks.count();
        let to = self.users[peer].clone();
        if self.devices[device].block(&to, blocks, number).await {
            self.blocks.ask(user, peer, blocks);
        }
    }

    fn kill(&mut self, core: &Index) {
        if self.may_kill && self.kills < KILLS {
            self.kills += 1;
            let core = *core.get(&self.chat.core_roles());
            self.chat.kill(core);
            self.chat.begin(core);
        }
    }
}
