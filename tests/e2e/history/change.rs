//! What is lost are receipts and edits, and no message.

use std::path::Path;

use netrox_harness::{
    Arrangement, Edge, Socket, TestChat, User,
    backup::{copy_sqlite, put_back_sqlite},
    engine::ReplicatedPostgres,
    run_test,
    socket::End,
};
use serde_json::{Value, json};

use super::{
    device::{assert_gone, assert_reset, assert_same, connect, snapshot},
    ways::{behind_proxies, builder},
};
use crate::v2::client::{Client, Held, mark};

const MESSAGES: usize = 5;

/// A client, and what it holds.
struct Device {
    user: User,
    client: Client,
    held: Held,
}

impl Device {
    async fn open(edge: Edge, user: &User) -> Self {
        let client = Client::live(edge, user).await;
        Self { user: user.clone(), client, held: Held::default() }
    }

    /// Takes frames up to one that is awaited.
    async fn until(&mut self, is_awaited: impl Fn(&Value) -> bool) {
        loop {
            let frame = self.client.socket.next().await;
            self.held.take(&self.user, &frame);
            if is_awaited(&frame) {
                return;
            }
        }
    }
}

/// Who writes, and who reads and is watched by a documented socket as well.
struct Pair {
    ada: Device,
    bob: Device,
    documented: Socket,
    ids: Vec<i64>,
    /// What each held at what is kept, and behind it.
    kept: [Held; 2],
    last: [Held; 2],
}

impl Pair {
    /// Messages that are kept.
    async fn begin(chat: &TestChat) -> Self {
        let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
        let documented = chat.edge_at(1).connect(&bob).await;
        let mut pair = Self {
            ada: Device::open(chat.edge_at(0), &ada).await,
            bob: Device::open(chat.edge_at(1), &bob).await,
            documented,
            ids: Vec::new(),
            kept: Default::default(),
            last: Default::default(),
        };
        for number in 0..MESSAGES {
            let id = pair.ada.client.say(&bob, &format!("canary {number}")).await;
            pair.documented.expect_body(&format!("canary {number}")).await;
            pair.ids.push(id);
        }
        let newest = json!(pair.ids[MESSAGES - 1]);
        pair.bob.until(|frame| frame["message"]["id"] == newest).await;
        // What was answered in between was taken by the client.
        snapshot(chat.edge_at(0), &ada, &mut pair.ada.held).await;
        pair.kept = [pair.ada.held.clone(), pair.bob.held.clone()];
        pair
    }

    /// Changes that both are shown, and that get lost.
    async fn change(&mut self) {
        let [.., edited, seen] = self.ids[..] else { panic!("too few messages") };
        let edit =
            json!({"action": "message_edit", "message_id": edited, "message_body": "canary lost"});
        self.ada.client.send(edit).await;
        let is_edit = |frame: &Value| frame["message"]["message"] == "canary lost";
        self.ada.until(is_edit).await;
        self.bob.until(is_edit).await;
        let ada = self.ada.user.clone();
        self.bob.client.send(mark("seen", &ada, seen)).await;
        self.ada.until(|frame| frame["thread"]["peer_seen_id"] == seen).await;
        self.bob.until(|frame| frame["thread"]["seen_id"] == seen).await;
        self.last = [self.ada.held.clone(), self.bob.held.clone()];
    }

    /// The database has gone back.
    async fn verify(mut self, chat: &TestChat) {
        chat.ready().await;
        for device in [&mut self.ada, &mut self.bob] {
            assert_eq!(
                device.client.socket.end().await,
                End::Closed(1001),
                "{}",
                device.user.email
            );
        }
        self.are_reset(chat).await;
        let (ada, bob) = (self.ada.user.clone(), self.bob.user.clone());
        let mut client = connect(chat.edge_at(0), &ada, None).await;
        let mut anew = connect(chat.edge_at(1), &bob, self.last[1].cursor.as_deref()).await;
        assert_reset(&anew.hello);
        let mut held = Held::default();
        snapshot(chat.edge_at(1), &bob, &mut held).await;
        let kept: Vec<_> = (0..MESSAGES).map(|number| format!("canary {number}")).collect();
        assert_eq!(held.texts(), kept);
        assert_eq!((&held.threads[&ada.id]["seen_id"], held.unread(&ada.id)), (&json!(0), 5));
        // More places are given again than were lost.
        let mut newest = 0;
        for number in 0..2 * MESSAGES {
            newest = client.say(&bob, &format!("canary after {number}")).await;
        }
        anew.next_of("live").await;
        while !held.messages.contains_key(&newest) {
            let frame = anew.socket.next().await;
            held.take(&bob, &frame);
        }
        assert_same(chat.edge_at(1), &bob, &mut held).await;
        self.are_reset(chat).await;
        for (user, kept) in [(&ada, &self.kept[0]), (&bob, &self.kept[1])] {
            let mut held = kept.clone();
            let mut client = connect(chat.edge_at(0), user, kept.cursor.as_deref()).await;
            assert_eq!(client.hello["resumed"], true, "{}", client.hello);
            client.catch_up(user, &mut held).await;
            assert_same(chat.edge_at(1), user, &mut held).await;
        }
        self.documented_is_shown_the_rest_or_told(&mut client).await;
    }

    /// Each device that comes back with its last cursor is told that it is lost.
    async fn are_reset(&self, chat: &TestChat) {
        for (device, last) in [&self.ada, &self.bob].into_iter().zip(&self.last) {
            let cursor = last.cursor.as_deref().expect("a cursor");
            for edge in chat.edges() {
                assert_reset(&connect(edge, &device.user, Some(cursor)).await.hello);
                assert_gone(edge, &device.user, cursor).await;
            }
        }
    }

    /// It lost nothing that it was shown.
    async fn documented_is_shown_the_rest_or_told(mut self, ada: &mut Client) {
        ada.say(&self.bob.user, "canary fence").await;
        let expected = (0..2 * MESSAGES).map(|number| format!("canary after {number}"));
        for body in expected.chain(["canary fence".into()]) {
            match self.documented.next_message().await {
                Ok(tokio_tungstenite::tungstenite::Message::Text(text)) => {
                    let shown: Value = serde_json::from_str(&text).expect("a JSON frame");
                    assert_eq!(shown["message_body"], body, "{shown}");
                }
                Ok(tokio_tungstenite::tungstenite::Message::Close(Some(close))) => {
                    return assert_eq!(u16::from(close.code), 1001, "{close}");
                }
                other => panic!("instead of {body}: {other:?}"),
            }
        }
    }
}

async fn put_back(chat: &mut TestChat, copy: &Path) {
    let core = chat.core_role();
    assert!(chat.terminate(core).await.success());
    put_back_sqlite(copy, &chat.data_dir().join("chat.db"));
    chat.spawn(core).await;
}

#[tokio::test]
async fn a_copy_that_lacks_changes_alone_is_told() {
    run_test(async {
        let mut chat = builder(Arrangement::Split).edges(2).start().await;
        let copy = chat.directory().join("copy.db");
        let mut pair = Pair::begin(&chat).await;
        copy_sqlite(&chat.data_dir().join("chat.db"), &copy).await;
        pair.change().await;
        put_back(&mut chat, &copy).await;
        pair.verify(&chat).await;
    })
    .await;
}

#[tokio::test]
async fn a_failover_that_lost_changes_alone_is_told() {
    run_test(async {
        let mut postgres = ReplicatedPostgres::start().await;
        let (cluster, ways) = behind_proxies(postgres.primary());
        let chat = cluster.start().await;
        let mut pair = Pair::begin(&chat).await;
        postgres.caught_up().await;
        postgres.cut_off();
        pair.change().await;
        postgres.fail_over().await;
        ways.iter().for_each(|way| way.lead_to(postgres.standby_address()));
        pair.verify(&chat).await;
    })
    .await;
}
