//! What is stored, held against what the devices were told and hold.

use std::{collections::BTreeMap, sync::Arc};

use netrox_harness::{TestChat, User, eventually, within};
use serde_json::Value;

use super::{DEVICES, Second, device::Device, plan::Sent};
use crate::{
    flow::PAUSE,
    v2::{
        client::Held,
        view::{Rest, View},
    },
};

/// Of a page of the feed.
const PAGE: usize = 200;

impl Second {
    /// Waits until all that was begun is answered for good, and checks the promises against what is stored now:
    ///
    /// * each device holds what the server shows, marks and what is unread included, and so does one that reads the feed
    ///   from its beginning;
    /// * each message is there once under the id that was acknowledged, with the newest text that was, unless its deletion
    ///   was; nothing else is there, and nothing that was refused for good;
    /// * a device's messages have the order in which it sent them;
    /// * no mark is behind one that was acknowledged;
    /// * it rang once for each message of the peer.
    ///
    /// `look` fails where a task of the traffic did. Gives the number of messages stored.
    pub(crate) async fn verify(&self, chat: &TestChat, mut look: impl FnMut()) -> usize {
        let settled = async {
            while !self.devices.iter().all(|device| device.notes().is_settled()) {
                look();
                tokio::time::sleep(PAUSE).await;
            }
        };
        within("answers to all that was asked for", settled).await;
        let mut feeds = Vec::new();
        for (user, devices) in self.users.iter().zip(self.devices.chunks(DEVICES)) {
            feeds.push(self.check_held(chat, user, devices).await);
        }
        let mut stored = 0;
        for (user, devices) in self.devices.chunks(DEVICES).enumerate() {
            let (own, peers) = (&feeds[user], &feeds[1 - user]);
            for device in devices {
                stored += check_sent(device, own, peers);
                check_told(device, own);
            }
            let count = own_of(&self.users[user], own).count();
            let known = devices.iter().map(|device| stored_of(&device.notes().sent).count());
            assert_eq!(count, known.sum::<usize>(), "messages that nobody sent, or sent once");
        }
        stored
    }

    /// Gives the whole feed of a user.
    async fn check_held(&self, chat: &TestChat, user: &User, devices: &[Arc<Device>]) -> Held {
        let rest = Rest { edge: chat.edge_of(user), user };
        let mut difference = None;
        let converged = async {
            loop {
                let view = eventually("lists", async || rest.view().await).await;
                difference = devices.iter().find_map(|device| differs(device, &view));
                if difference.is_none() {
                    return view;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let converged = tokio::time::timeout(netrox_harness::PATIENCE, converged).await;
        let Ok(view) = converged else { panic!("it stays otherwise: {difference:?}") };
        devices.iter().for_each(|device| check_marks(device, &view));
        let begin = devices[0].notes().begin.clone();
        let mut replayed = Held { cursor: begin, ..Held::default() };
        eventually("the feed", async || {
            (rest.sync(&mut replayed, PAGE, 1).await == Some(true)).then_some(())
        })
        .await;
        assert_eq!(view.differs(&replayed), None, "the feed from its beginning");
        replayed
    }
}

fn differs(device: &Arc<Device>, view: &View) -> Option<String> {
    let notes = device.notes();
    view.differs(&notes.held).map(|difference| format!("device {}: {difference}", notes.index))
}

fn own_of<'a>(user: &'a User, feed: &'a Held) -> impl Iterator<Item = &'a Value> {
    feed.messages.values().filter(|message| message["sender_id"] == user.id)
}

fn stored_of(sent: &[Sent]) -> impl Iterator<Item = &Sent> {
    sent.iter().filter(|sent| !sent.is_bad)
}

/// Gives how many there are.
fn check_sent(device: &Device, own: &Held, peers: &Held) -> usize {
    let notes = device.notes();
    let by_reference: BTreeMap<_, _> = own_of(&device.user, own)
        .map(|message| (message["client_ref"].as_str().expect("a reference"), message))
        .collect();
    let mut last = 0;
    for sent in stored_of(&notes.sent) {
        let id = sent.id.unwrap_or_else(|| panic!("never answered: {sent:?}"));
        assert!(last < id, "{id} comes before what was sent before it: {sent:?}");
        last = id;
        let message = by_reference.get(sent.client_ref.as_str());
        let message = message.unwrap_or_else(|| panic!("lost: {sent:?}"));
        assert_eq!(message["id"], id, "{sent:?}");
        assert_eq!(message["hidden"], sent.is_hidden, "{sent:?}: {message}");
        let theirs = peers.messages.get(&id).unwrap_or_else(|| panic!("not shown: {message}"));
        for message in [*message, theirs].into_iter().filter(|it| it["hidden"] == false) {
            check_content(sent, message);
        }
    }
    for sent in notes.sent.iter().filter(|sent| sent.is_bad) {
        let is_there = by_reference.contains_key(sent.client_ref.as_str());
        assert!(sent.is_refused && !is_there, "refused, and stored: {sent:?}");
    }
    stored_of(&notes.sent).count()
}

fn check_content(sent: &Sent, message: &Value) {
    assert_eq!(message["deleted"], sent.is_deleted, "{sent:?}: {message}");
    assert!(message["updated"].as_str() >= sent.updated.as_deref(), "{sent:?}: {message}");
    let text = message["message"].as_str().expect("a text");
    // The last that is committed counts, a repetition included.
    let is_known = text == sent.text || sent.doubtful.iter().any(|doubtful| text == doubtful);
    assert!(sent.is_deleted || is_known, "{sent:?} has another text: {message}");
}

fn check_marks(device: &Device, view: &View) {
    let notes = device.notes();
    let thread = view.thread(&notes.peer);
    for (key, told) in [("seen_id", notes.seen), ("delivered_id", notes.delivered)] {
        let mark = thread.and_then(|thread| thread[key].as_i64()).unwrap_or(0);
        assert!(mark >= told, "{key} was {told}: {thread:?}");
    }
}

/// What else it was told is true.
fn check_told(device: &Device, own: &Held) {
    let notes = device.notes();
    for id in &notes.hidden {
        assert_eq!(own.messages[id]["hidden"], true, "its deletion was acknowledged");
    }
    let Held { messages, rung, .. } = &notes.held;
    for (id, message) in messages {
        let is_there = message["deleted"] == false && message["hidden"] == false;
        let rings = is_there && message["receiver_id"] == device.user.id;
        assert!(!rings || rung.contains(id), "it did not ring for {message}");
    }
}
