//! A client of the second generation that works on while the disk is full.

use netrox_harness::{TestChat, User};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{LONG, MANY};
use crate::v2::{
    client::{Client, mark, message},
    view::Rest,
};

/// Tries after there is room again, a tenth of a second apart.
const TRIES: usize = 100;

pub(super) struct Second {
    own: User,
    peer: User,
    client: Client,
    /// A message of its own, and its text.
    kept: (i64, String),
    seen: i64,
    /// The ids and texts of its other messages, in order.
    sent: Vec<(i64, String)>,
}

/// What is to be asked for again.
pub(super) struct Refused {
    send: Value,
    edit: Value,
    mark: Value,
}

impl Second {
    pub(super) async fn join(chat: &TestChat) -> Self {
        let (own, mut client) = Client::join(chat, "cyd").await;
        let peer = chat.user("dee").await;
        let text = "canary kept".to_owned();
        let id = client.say(&peer, &text).await;
        Self { own, peer, client, kept: (id, text), seen: 0, sent: Vec::new() }
    }

    /// A message that is there to be seen.
    pub(super) async fn receive(&self, chat: &TestChat) -> i64 {
        let rest = Rest { edge: chat.edge_of(&self.peer), user: &self.peer };
        let sent = rest.send(&self.own.id, "canary to see", &Uuid::new_v4().to_string()).await;
        sent.expect("room for a message")["id"].as_i64().expect("an id")
    }

    /// Sends a frame, and gives its acknowledgement, or the code of its refusal.
    async fn ask(&mut self, frame: &Value) -> Result<Value, String> {
        self.client.send(frame.clone()).await;
        let answer = self.client.answer().await;
        assert_eq!(answer["ref"], frame["ref"], "{answer}");
        if answer["action"] == "ack" {
            return Ok(answer);
        }
        Err(answer["code"].as_str().expect("a code").to_owned())
    }

    /// Writes until there is no room for it. Each refusal is true.
    pub(super) async fn is_refused(&mut self, chat: &TestChat, unseen: i64) -> Refused {
        let filler = "x".repeat(LONG);
        let mut refused = Vec::new();
        for number in 0.. {
            assert!(number < MANY, "the disk is full, and {number} changes were stored");
            if refused.is_empty() {
                let text = format!("canary sent {} {filler}", self.sent.len());
                let reference = Uuid::new_v4().to_string();
                let mut send = message(&self.peer, &text, &reference);
                send["ref"] = json!("send");
                match self.ask(&send).await {
                    Ok(ack) => self.sent.push((ack["message_id"].as_i64().expect("an id"), text)),
                    Err(code) => {
                        assert_eq!(code, "unavailable");
                        refused.push(send);
                    }
                }
                continue;
            }
            let text = format!("canary edited {number} {filler}");
            let edit = json!({
                "action": "message_edit", "ref": "edit", "message_id": self.kept.0, "message_body": text,
            });
            match self.ask(&edit).await {
                Ok(_) => self.kept.1 = text,
                Err(code) => {
                    assert_eq!(code, "unavailable");
                    refused.push(edit);
                    break;
                }
            }
        }
        let mut seen = mark("seen", &self.peer, unseen);
        seen["ref"] = json!("mark");
        match self.ask(&seen).await {
            // A few bytes may find room.
            Ok(_) => self.seen = unseen,
            Err(code) => assert_eq!(code, "unavailable"),
        }
        let [send, edit] = refused.try_into().expect("a send and an edit");
        let path = format!("/v2/sends/{}", send["client_ref"].as_str().expect("a reference"));
        let found = chat.get(&path).bearer(&self.own.token).send().await;
        assert_eq!(found.status, 404, "refused, and stored: {found:?}");
        self.check(chat).await;
        Refused { send, edit, mark: seen }
    }

    /// There is room again: the same requests are taken.
    pub(super) async fn goes_on(&mut self, chat: &TestChat, refused: Refused) {
        let Refused { send, edit, mark } = refused;
        let text = |frame: &Value| frame["message_body"].as_str().expect("a text").to_owned();
        let ack = self.ask_again(&send).await;
        self.sent.push((ack["message_id"].as_i64().expect("an id"), text(&send)));
        self.ask_again(&edit).await;
        self.kept.1 = text(&edit);
        self.seen = self.ask_again(&mark).await["seen_id"].as_i64().expect("a mark");
        self.check(chat).await;
    }

    async fn ask_again(&mut self, frame: &Value) -> Value {
        for _ in 0..TRIES {
            match self.ask(frame).await {
                Ok(ack) => return ack,
                Err(code) => assert_eq!(code, "unavailable"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("the disk is free, and this is refused: {frame:.200}");
    }

    /// What was acknowledged is there, and nothing else.
    pub(super) async fn check(&self, chat: &TestChat) {
        let rest = Rest { edge: chat.edge_of(&self.own), user: &self.own };
        let view = rest.view().await.expect("reading goes on");
        let thread = view.thread(&self.peer.id).expect("a thread");
        assert_eq!(thread["seen_id"], self.seen, "{thread}");
        let own = view.messages().filter(|message| message["sender_id"] == self.own.id.as_str());
        let found: Vec<_> = own
            .map(|message| (message["id"].as_i64(), message["message"].as_str().expect("a text")))
            .collect();
        let expected = std::iter::once(&self.kept).chain(&self.sent);
        let expected: Vec<_> = expected.map(|(id, text)| (Some(*id), text.as_str())).collect();
        let short = |messages: &[(Option<i64>, &str)]| {
            let cut = |(id, text): &(Option<i64>, &str)| format!("{id:?} {text:.40}");
            messages.iter().map(cut).collect::<Vec<_>>()
        };
        assert_eq!(short(&found), short(&expected));
        assert!(found == expected, "a text changed");
    }
}
