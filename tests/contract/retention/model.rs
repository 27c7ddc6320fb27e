//! Whatever was said and done, and whatever of it is too old: what is left is as it was, and what tells how far users have come is
//! what it was.

use std::collections::{BTreeMap, BTreeSet};

use netrox_proto::v1::{Message, Thread, ThreadState};

use super::{age, none_is_due};
use crate::{
    attachment::{dispatch, upload},
    running::Core,
    subscribe::Subscription,
};

const USERS: usize = 3;
const STEPS: u64 = 140;

/// The same for a seed, on every machine.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let place = self.below((items.len() as u64).max(1));
        items.get(usize::try_from(place).expect("a place"))
    }
}

struct Chat {
    core: Core,
    users: [String; USERS],
    /// Who only says where feeds end.
    fence: String,
    /// Whose each is, in the order of their ids.
    messages: Vec<(i64, usize, usize)>,
    files: Vec<(i64, usize)>,
}

/// What a user is told.
#[derive(Debug)]
struct View {
    threads: Vec<(i64, String)>,
    /// By peer.
    states: BTreeMap<String, ThreadState>,
    histories: BTreeMap<String, Vec<Message>>,
    feed: Vec<Message>,
}

impl Chat {
    async fn start() -> Self {
        let core = Core::start().await;
        let users = core.users().await;
        let [fence] = core.users().await;
        Self { core, users, fence, messages: Vec::new(), files: Vec::new() }
    }

    fn user(&self, place: usize) -> &String {
        &self.users[place]
    }

    /// What is refused leaves no trace.
    async fn step(&mut self, draw: &mut Draw) {
        let one = usize::try_from(draw.below(USERS as u64)).expect("a user");
        let two =
            (one + 1 + usize::try_from(draw.below(USERS as u64 - 1)).expect("a user")) % USERS;
        let (from, to) = (self.user(one).clone(), self.user(two).clone());
        let message = draw.of(&self.messages).copied();
        let core = &self.core;
        match draw.below(20) {
            0..9 => {
                let id = core.send(&from, &to, "a text").await.expect("stored").message_id;
                self.messages.push((id, one, two));
            }
            9..11 => {
                let file = upload(core, &from, &to, "a.txt", b"bytes").await.expect("stored");
                self.messages.push((file.id, one, two));
                self.files.push((file.id, one));
            }
            11..13 => {
                if let Some((id, sender)) = draw.of(&self.files).copied() {
                    let _ = dispatch(core, self.user(sender), id).await;
                }
            }
            13 => {
                if let Some((id, sender, _)) = message {
                    let _ = core.edit(self.user(sender), id, "another text").await;
                }
            }
            14 => {
                if let Some((id, sender, _)) = message {
                    let _ = core.delete(self.user(sender), id, true).await;
                }
            }
            15 => {
                if let Some((id, sender, receiver)) = message {
                    let user = if draw.below(2) == 0 { sender } else { receiver };
                    let _ = core.delete(self.user(user), id, false).await;
                }
            }
            16..18 => {
                if let Some((id, sender, receiver)) = message {
                    let _ = core.seen(self.user(receiver), self.user(sender), id).await;
                }
            }
            18 => core.block(&from, &to).await.expect("blocked"),
            _ => core.unblock(&from, &to).await.expect("unblocked"),
        }
    }

    async fn view(&self, user: &str) -> View {
        let core = &self.core;
        let end = core.send(&self.fence, user, "fence").await.expect("stored").message_id;
        let mut subscription = Subscription::after(core, user, Some(0)).await;
        let mut feed = Vec::new();
        loop {
            let message = subscription.message().await;
            if message.id == end {
                break;
            }
            feed.push(message);
        }
        feed.retain(|message| message.sender_id != self.fence);
        let threads = core.threads(user).await.expect("threads");
        let peer_of = |thread: &Thread| {
            let users = [&thread.user_one, &thread.user_two];
            let ids = users.map(|found| found.as_ref().expect("a user").id.clone());
            ids.into_iter().find(|id| id != user).expect("a peer")
        };
        let threads: Vec<_> = threads.iter().map(|thread| (thread.id, peer_of(thread))).collect();
        let (mut states, mut histories) = (BTreeMap::new(), BTreeMap::new());
        for peer in self.users.iter().filter(|peer| *peer != user) {
            if let Ok(thread) = core.thread(user, peer).await {
                states.insert(peer.clone(), thread.state.expect("a state"));
            }
            let history = core.history(user, peer).await.expect("a history");
            histories.insert(peer.clone(), history);
        }
        View { threads, states, histories, feed }
    }

    async fn views(&self) -> Vec<View> {
        let mut views = Vec::new();
        for user in &self.users {
            views.push(self.view(user).await);
        }
        views
    }
}

impl View {
    /// What it is to be without some messages.
    fn without(mut self, gone: &BTreeSet<i64>) -> Self {
        let is_there = |message: &Message| !gone.contains(&message.id);
        self.feed.retain(is_there);
        self.histories.values_mut().for_each(|history| history.retain(is_there));
        for (peer, state) in &mut self.states {
            let unread = self.feed.iter().filter(|message| {
                message.sender_id == *peer
                    && message.id > state.seen_id
                    && !message.deleted
                    && !message.hidden
            });
            state.unread = i32::try_from(unread.count()).expect("a number");
        }
        self
    }

    fn assert_is(&self, expected: &Self, what: &str) {
        // In the thread with the fence something was said meanwhile.
        let without_rev = |states: &BTreeMap<String, ThreadState>| -> Vec<_> {
            states.values().map(|state| ThreadState { rev: 0, ..state.clone() }).collect()
        };
        assert_eq!(without_rev(&self.states), without_rev(&expected.states), "{what}: states");
        assert_eq!(self.threads, expected.threads, "{what}: threads");
        assert_eq!(self.feed, expected.feed, "{what}: feeds");
        assert_eq!(self.histories, expected.histories, "{what}: histories");
    }
}

async fn holds(seed: u64, is_prefix: bool) {
    let mut chat = Chat::start().await;
    let mut draw = Draw(seed);
    for _ in 0..STEPS {
        chat.step(&mut draw).await;
    }
    let mut gone = BTreeSet::new();
    for part in 0..3 {
        let what = format!("seed {seed}, part {part}");
        let before = chat.views().await;
        let left: Vec<_> =
            chat.messages.iter().map(|(id, ..)| *id).filter(|id| !gone.contains(id)).collect();
        let old: Vec<i64> = match (part, is_prefix) {
            (2, _) => left,
            (_, true) => left[..left.len() / 2].to_vec(),
            (_, false) => left.into_iter().filter(|_| draw.below(2) == 0).collect(),
        };
        age(&chat.core.process, &old).await;
        gone.extend(old);
        chat.core.process.set("retain-messages", "24h");
        chat.core.kill_and_restart().await;
        none_is_due(&chat.core.process).await;
        let after = chat.views().await;
        for (before, after) in before.into_iter().zip(&after) {
            after.assert_is(&before.without(&gone), &what);
        }
        // What is said then comes after all that was.
        let newest = chat.messages.iter().map(|(id, ..)| *id).max().expect("messages");
        for _ in 0..STEPS / 4 {
            chat.step(&mut draw).await;
        }
        let new = chat.messages.iter().rev().take_while(|(id, ..)| *id > newest).count();
        assert!(new > 0, "{what}: an id is given again");
    }
    // Of a thread at most three are left of each side, and those of the fence.
    let left = "select count(*) from messages where removed is not null";
    assert!(chat.core.process.count(left).await <= 3 * 2 * 3, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_as_it_was_and_what_is_noted_stays() {
    for seed in [1, 2] {
        holds(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed), true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_where_the_oldest_are_not_the_first() {
    for seed in [3, 4] {
        holds(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed), false).await;
    }
}
