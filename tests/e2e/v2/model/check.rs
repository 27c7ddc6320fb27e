//! What has to be true after a case.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use netrox_harness::eventually;
use serde_json::Value;
use tokio::time::Instant;

use self::answers::check_rings;
use super::{
    action::{DEVICES, From, USERS},
    case::Case,
    device::Device,
    left::Left,
};
use crate::v2::{
    client::Held,
    view::{Rest, View},
};

mod answers;

/// How long what is under way may take to come.
pub(super) const WAIT: Duration = Duration::from_secs(20);
/// Between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

impl Case<'_> {
    /// Brings everybody up to date, and holds it to what the server says.
    pub(super) async fn check(mut self) -> Left {
        self.chat.ready().await;
        self.settle().await;
        self.converge().await;
        for user in 0..USERS {
            self.check_user(user).await;
            self.check_search(user).await;
        }
        self.check_presence().await;
        self.check_typing().await;
        let facts = self.facts().await;
        self.check_typed(&facts);
        let is_refused = self.devices.iter().any(|device| device.is_refused);
        assert!(!is_refused || self.kills > 0, "a ticket that nobody had used is not taken");
        Left::of(&self, &facts)
    }

    /// Until all are connected and have sent what they had to send.
    pub(super) async fn settle(&mut self) {
        let deadline = Instant::now() + WAIT;
        while !self.devices.iter().all(Device::is_settled) {
            for index in 0..self.devices.len() {
                if !self.devices[index].is_connected() {
                    let edge = self.edge();
                    self.devices[index].connect(edge, &From::Stored, None).await;
                }
            }
            self.pump().await;
            let late = self.devices.iter().find(|device| !device.is_settled());
            assert!(Instant::now() < deadline, "it does not settle: {late:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Until each device holds what the server does: what was cut off may take effect still.
    async fn converge(&mut self) {
        let deadline = Instant::now() + WAIT;
        while let Some(difference) = self.difference().await {
            assert!(Instant::now() < deadline, "it stays otherwise: {difference}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn difference(&mut self) -> Option<String> {
        self.settle().await;
        self.pump().await;
        for user in 0..USERS {
            let view = self.view(user).await;
            for (index, device) in self.devices[user * DEVICES..][..DEVICES].iter().enumerate() {
                if let Some(difference) = view.differs(&device.held) {
                    let heard = device.heard.join("\n");
                    return Some(format!("device {index} of user {user}: {difference}\n{heard}"));
                }
            }
        }
        let messages = self.replay(0).await.messages;
        let unstored = self.said_and_not_stored(&messages);
        unstored.or_else(|| self.documented.differs(&messages))
    }

    /// What a documented client says is not answered. It does not repeat what a kill took from it.
    fn said_and_not_stored(&self, messages: &BTreeMap<i64, Value>) -> Option<String> {
        let is_said = |message: &&Value| {
            message["sender_id"] == self.users[0].id && message["client_ref"].is_null()
        };
        let stored = messages.values().filter(is_said).count() + self.documented.refused.len();
        let said = self.said.len();
        (self.kills == 0 && stored < said).then(|| format!("{stored} of {said} said are stored"))
    }

    pub(super) async fn view(&mut self, user: usize) -> View {
        let edge = self.edge();
        let rest = Rest { edge, user: &self.users[user] };
        eventually("lists", async || rest.view().await).await
    }

    /// The whole feed of a user, once more.
    pub(super) async fn replay(&mut self, user: usize) -> Held {
        let edge = self.edge();
        let rest = Rest { edge, user: &self.users[user] };
        let mut held = Held { cursor: Some(self.begins[user].clone()), ..Held::default() };
        while rest.sync(&mut held, 7, 1).await != Some(true) {}
        held
    }

    /// A snapshot of a user who holds nothing.
    async fn fresh(&mut self, user: usize) -> Held {
        let edge = self.edge();
        let rest = Rest { edge, user: &self.users[user] };
        eventually("a snapshot", async || {
            let mut fresh = Held::default();
            rest.snapshot(&mut fresh, 3).await.map(|()| fresh)
        })
        .await
    }

    async fn check_user(&mut self, user: usize) {
        let deadline = Instant::now() + WAIT;
        // What was cut off may take effect between two reads.
        let replayed = loop {
            let replayed = self.replay(user).await;
            let view = self.view(user).await;
            let fresh = self.fresh(user).await;
            let replay_differs = view.differs(&replayed);
            let fresh_differs = view.differs(&fresh);
            if replay_differs.is_none() && fresh_differs.is_none() {
                break replayed;
            }
            assert!(
                Instant::now() < deadline,
                "user {user}: the feed from its beginning: {replay_differs:?}, a snapshot: {fresh_differs:?}"
            );
            tokio::time::sleep(PAUSE).await;
        };
        self.check_swallowed(user, &replayed.messages);
        let ids = self.check_sent(user, &replayed.messages).await;
        self.check_order(&ids);
        for device in &self.devices[user * DEVICES..][..DEVICES] {
            check_rings(device);
            for (asked, answer) in &device.told {
                self.check_answer(asked, answer, &ids, &replayed);
            }
        }
    }

    /// Each message that was to be sent is there once, as one of those it was sent as. Gives their ids.
    async fn check_sent(
        &mut self,
        user: usize,
        messages: &BTreeMap<i64, Value>,
    ) -> BTreeMap<String, i64> {
        let edge = self.edge();
        let rest = Rest { edge, user: &self.users[user] };
        let mut ids = BTreeMap::new();
        for sent in self.sent.iter().filter(|sent| sent.sender == user) {
            let path = format!("/v2/sends/{}", sent.client_ref);
            let found = eventually("a send", async || rest.get(&path).await).await;
            let id = found["id"].as_i64().expect("an id");
            let message = &messages[&id];
            assert_eq!(message, &found);
            let edits = self.edits.get(&id).into_iter().flatten();
            let mut bodies = sent.bodies.iter().chain(edits);
            let is_gone = message["deleted"] == true || message["hidden"] == true;
            assert!(is_gone || bodies.any(|body| message["message"] == **body), "{message}");
            ids.insert(sent.client_ref.clone(), id);
        }
        let known: BTreeSet<_> = ids.values().copied().collect();
        assert_eq!(known.len(), ids.len(), "two sends are one message");
        let own = messages.values().filter(|message| message["sender_id"] == self.users[user].id);
        let others: Vec<_> = own
            .filter(|message| message["id"].as_i64().is_none_or(|id| !known.contains(&id)))
            .collect();
        assert!(others.iter().all(|message| message["client_ref"].is_null()), "{others:?}");
        let said = if user == 0 { self.said.len() } else { 0 };
        // A documented client does not repeat what a kill took from it.
        let is_whole = self.kills == 0 && self.documented.refused.is_empty();
        assert!(others.len() == said || !is_whole && others.len() < said, "{said}: {others:?}");
        if self.kills == 0 {
            assert!(self.documented.refused.is_empty(), "{:?}", self.documented.refused);
        }
        ids
    }

    /// What was written under a block that nobody ended since is not there.
    fn check_swallowed(&self, user: usize, messages: &BTreeMap<i64, Value>) {
        for sent in &self.sent {
            let (Some(asked), Some((_, to))) = (sent.under_block, sent.alone) else { continue };
            if to != user || self.blocks.has_ended_since(asked, user, sent.sender) {
                continue;
            }
            let is_it = |message: &&Value| {
                message["sender_id"] == self.users[sent.sender].id
                    && sent.bodies.iter().any(|body| message["message"] == **body)
            };
            let passed = messages.values().find(is_it);
            assert!(passed.is_none(), "it passed a block: {passed:?}");
        }
    }

    /// One under way a thread: messages are in the order in which they were written.
    fn check_order(&self, ids: &BTreeMap<String, i64>) {
        let mut last = BTreeMap::new();
        for sent in &self.sent {
            if let (Some(alone), Some(id)) = (sent.alone, ids.get(&sent.client_ref)) {
                let before = last.insert(alone, *id);
                assert!(before < Some(*id), "{sent:?} came before what was written before it");
            }
        }
    }
}
