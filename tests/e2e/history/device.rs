//! A device of the second generation (PROTOCOL-2): what it holds, and what becomes of it where a history goes on or ends.

use netrox_harness::{Edge, Socket, User, eventually};
use serde_json::{Value, json};

use crate::v2::{
    client::{Client, Held},
    view::{Rest, View},
};

/// The most that a page of REST may have here: there are several pages.
pub(super) const PAGE: usize = 7;

/// One that holds all that there is, and is shown what comes.
pub(super) struct Device {
    pub(super) user: User,
    pub(super) socket: Socket,
    pub(super) held: Held,
}

impl Device {
    /// Nothing may be under way to its user.
    pub(super) async fn open(edge: Edge, user: &User) -> Self {
        let mut client = connect(edge, user, None).await;
        client.next_of("live").await;
        let mut held = Held::default();
        snapshot(edge, user, &mut held).await;
        Self { user: user.clone(), socket: client.socket, held }
    }

    /// Takes a frame, which has to be of a new message; gives its id and its text.
    pub(super) fn take(&mut self, frame: &str) -> (i64, String) {
        let frame: Value = serde_json::from_str(frame).expect("a JSON frame");
        assert_eq!((&frame["action"], &frame["new"]), (&json!("message"), &json!(true)), "{frame}");
        self.held.take(&self.user, &frame);
        let text = frame["message"]["message"].as_str().expect("a text").to_owned();
        (frame["message"]["id"].as_i64().expect("an id"), text)
    }
}

/// One that was told that its place is lost, threw away what it held, and began anew.
pub(super) struct Anew {
    device: Device,
    /// What it held at first: what a snapshot told, and where the connection began.
    beginning: Held,
}

impl Anew {
    /// A device comes back with a cursor that is lost.
    pub(super) async fn open(edge: Edge, user: &User, cursor: &str) -> Self {
        let mut client = connect(edge, user, Some(cursor)).await;
        assert_reset(&client.hello);
        let began = client.hello["cursor"].as_str().expect("a cursor").to_owned();
        client.next_of("live").await;
        let mut held = Held::default();
        snapshot(edge, user, &mut held).await;
        let beginning = Held { cursor: Some(began), ..held.clone() };
        Self { device: Device { user: user.clone(), socket: client.socket, held }, beginning }
    }

    /// When it was shown the newest message, it holds what the server does. So does whoever goes on where it began.
    pub(super) async fn holds_everything(self, edges: &[Edge], newest: i64) {
        let Self { mut device, mut beginning } = self;
        let user = device.user.clone();
        while !device.held.messages.contains_key(&newest) {
            let frame = device.socket.next().await;
            device.held.take(&user, &frame);
        }
        for edge in edges {
            assert_same(*edge, &user, &mut device.held.clone()).await;
        }
        let edge = edges[edges.len() - 1];
        let cursor = beginning.cursor.clone();
        let mut client = connect(edge, &user, cursor.as_deref()).await;
        assert_eq!(client.hello["resumed"], true, "{}", client.hello);
        client.catch_up(&user, &mut beginning).await;
        assert_same(edge, &user, &mut beginning).await;
    }
}

/// Behind its `hello`, when that can be had.
pub(super) async fn connect(edge: Edge, user: &User, after: Option<&str>) -> Client {
    let after = after.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
    let path = format!("/ws/chat/room/?protocol=2&token={}{after}", user.token);
    let mut socket =
        eventually("a handshake", async || Socket::try_open(edge.address, &path, &[]).await.ok())
            .await;
    let hello = socket.next().await;
    assert_eq!((&hello["action"], &hello["user_id"]), (&json!("hello"), &json!(user.id)));
    Client { socket, hello }
}

/// Fails unless the first frame says that the cursor is none of the history that there is now.
#[track_caller]
pub(super) fn assert_reset(hello: &Value) {
    let told = [&hello["resumed"], &hello["reset"], &hello["behind"]];
    assert_eq!(told, [&json!(false), &json!("epoch"), &json!(0)], "{hello}");
}

/// Fails unless REST says the same.
pub(super) async fn assert_gone(edge: Edge, user: &User, cursor: &str) {
    let path = format!("/v2/sync?after={cursor}");
    let answer = eventually("an answer", async || {
        let answer = edge.get(&path).bearer(&user.token).send().await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    let told = answer.json();
    let told = (answer.status, &told["code"], &told["reset"]);
    assert_eq!(told, (410, &json!("reset"), &json!("epoch")), "{answer:?}");
}

pub(super) async fn snapshot(edge: Edge, user: &User, held: &mut Held) {
    let rest = Rest { edge, user };
    eventually("a snapshot", async || rest.snapshot(held, PAGE).await).await;
}

pub(super) async fn view(edge: Edge, user: &User) -> View {
    let rest = Rest { edge, user };
    eventually("lists", async || rest.view().await).await
}

/// Fails unless a device holds what the server does.
pub(super) async fn assert_same(edge: Edge, user: &User, held: &mut Held) {
    let rest = Rest { edge, user };
    eventually("threads", async || rest.complete(held).await).await;
    assert_eq!(view(edge, user).await.differs(held), None, "what a device of {} holds", user.email);
}
