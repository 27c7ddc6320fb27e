//! One device: a client as PROTOCOL-2 section 10 wants it.

use std::collections::BTreeMap;

use futures_util::{SinkExt as _, StreamExt as _, poll};
use netrox_harness::{Edge, User, within};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{
    action::From,
    asked::{Asked, Unsent},
    signals::Signals,
    wire::{self, Break, Stream},
};
use crate::v2::client::Held;

mod outbox;

/// One connection.
#[derive(Debug)]
struct Link {
    stream: Stream,
    /// Whether it asked to go on from a cursor.
    resumes: bool,
    /// In the place of a token.
    has_ticket: bool,
    has_hello: bool,
    is_live: bool,
    next_ref: usize,
    /// By `ref`.
    pending: BTreeMap<String, Asked>,
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) user: User,
    pub(super) held: Held,
    pub(super) outbox: Vec<Unsent>,
    /// What it held and had not sent, at moments before.
    backups: Vec<(Held, Vec<Unsent>)>,
    link: Option<Link>,
    /// Connections of which the server does not know that they are gone.
    vanished: Vec<Link>,
    /// Every answer to what it asked for.
    pub(super) told: Vec<(Asked, Value)>,
    /// Its connections, and all that came over them, for who looks why it is wrong.
    pub(super) heard: Vec<String>,
    pub(super) signals: Signals,
    /// When it connected last, by the server's clock.
    pub(super) time: Option<String>,
    /// A ticket that nobody had used was not taken.
    pub(super) is_refused: bool,
}

/// More would be as many as a user may have.
const VANISHED: usize = 2;
/// How a server ends a connection of a client that does nothing wrong.
const CLOSES: [u16; 4] = [1001, 1011, 1012, 1013];
/// The same where it takes no ticket.
pub(super) const SPENT: u16 = 4401;

impl Link {
    fn is_refused(&self) -> bool {
        self.has_ticket && !self.has_hello
    }
}

impl Device {
    pub(super) fn new(user: User) -> Self {
        Self {
            user,
            held: Held::default(),
            outbox: Vec::new(),
            backups: Vec::new(),
            link: None,
            vanished: Vec::new(),
            told: Vec::new(),
            heard: Vec::new(),
            signals: Signals::default(),
            time: None,
            is_refused: false,
        }
    }

    /// Opens another connection, where the server is there.
    pub(super) async fn connect(&mut self, edge: Edge, from: &From, breaks: Option<Break>) {
        let token = format!("token={}", self.user.token);
        self.connect_by(&token, edge, from, breaks).await;
    }

    /// The same with a token or a ticket.
    pub(super) async fn connect_by(
        &mut self,
        credential: &str,
        edge: Edge,
        from: &From,
        breaks: Option<Break>,
    ) {
        self.link = None;
        self.signals.disconnected();
        if self.held.cursor.is_some() {
            self.backups.push((self.held.clone(), self.outbox.clone()));
        }
        let after = match from {
            From::Stored => self.held.cursor.clone(),
            From::Older(index) => index.get(&self.backups).0.cursor.clone(),
            From::Backup(index) => {
                // What it had later is lost to it: a cursor of then would leave out what it does not hold.
                self.backups.truncate(index.index(self.backups.len()) + 1);
                let (held, outbox) = self.backups.last().cloned().unwrap_or_default();
                let later = std::mem::replace(&mut self.outbox, outbox);
                later.into_iter().for_each(|unsent| self.put(unsent));
                self.held = held;
                self.held.cursor.clone()
            }
        };
        let query = after.as_ref().map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let path = format!("/ws/chat/room/?protocol=2&{credential}{query}");
        let opened = within("a handshake", wire::open(edge.address, &path, breaks)).await;
        let held = self.held.messages.len();
        self.heard.push(format!("{from:?} with {held}: after {after:?}: {}", opened.is_some()));
        self.link = opened.map(|stream| Link {
            stream,
            resumes: after.is_some(),
            has_ticket: credential.starts_with("ticket"),
            has_hello: false,
            is_live: false,
            next_ref: 0,
            pending: BTreeMap::new(),
        });
        self.flush().await;
    }

    pub(super) fn break_at(&mut self, breaks: Break) {
        if let Some(link) = &mut self.link {
            link.stream.get_mut().break_at(breaks);
        }
    }

    pub(super) fn vanish(&mut self) {
        if self.vanished.len() < VANISHED {
            self.vanished.extend(self.link.take());
        }
    }

    pub(super) fn leave(&mut self) {
        self.link = None;
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Whether it is up to date, and has no question open.
    pub(super) fn is_settled(&self) -> bool {
        let link = self.link.as_ref();
        let has_all = self.outbox.is_empty() && self.held.wanted.is_empty();
        has_all && link.is_some_and(|it| it.is_live && it.pending.is_empty())
    }

    /// Sends a frame over the connection, where there is one.
    pub(super) async fn ask(&mut self, asked: Asked, mut frame: Value) {
        let Some(link) = &mut self.link else { return };
        link.next_ref += 1;
        let reference = link.next_ref.to_string();
        frame["ref"] = json!(reference);
        link.pending.insert(reference, asked);
        let sent = within("room to send", link.stream.send(Message::text(frame.to_string())));
        if sent.await.is_err() {
            self.link = None;
        }
    }

    /// Takes all that has come.
    pub(super) async fn pump(&mut self) {
        while let Some(link) = &mut self.link {
            match poll!(link.stream.next()) {
                std::task::Poll::Ready(came) => self.came(came),
                std::task::Poll::Pending => break,
            }
        }
        self.flush().await;
    }

    /// Takes so many frames, or up to `live`.
    pub(super) async fn read(&mut self, frames: usize) {
        for _ in 0..frames {
            let Some(link) = &mut self.link else { return };
            if link.is_live {
                return;
            }
            let came = within("a frame", link.stream.next()).await;
            self.came(came);
        }
    }

    fn came(&mut self, came: Option<Result<Message, Error>>) {
        match came {
            Some(Ok(Message::Text(text))) => {
                self.heard.push(text.to_string());
                let frame = serde_json::from_str(&text).expect("a JSON frame");
                self.take(&frame);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(Some(close)))) => {
                let code: u16 = close.code.into();
                // A core that was killed may have taken the ticket, and not said so.
                let is_spent = code == SPENT && self.link.as_ref().is_some_and(Link::is_refused);
                assert!(is_spent || CLOSES.contains(&code), "{close}");
                self.is_refused |= is_spent;
                self.link = None;
            }
            Some(Ok(Message::Close(None)) | Err(_)) | None => self.link = None,
            Some(Ok(other)) => panic!("it got {other:?}"),
        }
    }

    fn take(&mut self, frame: &Value) {
        let link = self.link.as_mut().expect("a connection");
        let action = frame["action"].as_str().expect("an action");
        assert_eq!(action != "hello", link.has_hello, "hello comes first and once: {frame}");
        match action {
            "hello" => {
                link.has_hello = true;
                assert_eq!(frame["user_id"], self.user.id, "{frame}");
                assert_eq!(frame["resumed"], link.resumes, "{frame}");
                assert!(frame["reset"].is_null(), "{frame}");
                self.time = frame["time"].as_str().map(str::to_owned);
            }
            "live" => {
                assert!(!link.is_live, "live comes once");
                link.is_live = true;
            }
            "message" => self.settle(&frame["message"]),
            // Its edge drains, and serves until its close.
            "thread" | "reconnect" => {}
            "typing" | "presence" => return self.signals.take(frame),
            // Its first token named a peer who is watched.
            "user" => return,
            "ack" | "error" => return self.answered(frame),
            _ => panic!("it got {frame}"),
        }
        self.held.take(&self.user, frame);
    }

    /// A message of one's own that comes by whatever way is stored.
    fn settle(&mut self, message: &Value) {
        let users = [&message["sender_id"], &message["receiver_id"]];
        assert!(users.contains(&&json!(self.user.id)), "{message}");
        if let Some(client_ref) = message["client_ref"].as_str() {
            assert_eq!(message["sender_id"], self.user.id, "{message}");
            self.outbox.retain(|unsent| unsent.client_ref != client_ref);
        }
    }

    /// The same for what came by REST.
    pub(super) fn settle_by_held(&mut self) {
        let messages: Vec<_> = self.held.messages.values().cloned().collect();
        messages.iter().for_each(|message| self.settle(message));
    }

    fn answered(&mut self, frame: &Value) {
        let link = self.link.as_mut().expect("a connection");
        let reference = frame["ref"].as_str().unwrap_or_default();
        let asked = link.pending.remove(reference);
        let asked = asked.unwrap_or_else(|| panic!("an answer to nothing: {frame}"));
        if let Asked::Send { client_ref } = &asked {
            assert_eq!(frame["client_ref"], client_ref.as_str(), "{frame}");
            if frame["action"] == "ack" {
                self.outbox.retain(|unsent| unsent.client_ref != *client_ref);
            } else if frame["code"] == "not_found" {
                // What it answers is gone.
                let unsent = self.outbox.iter_mut().find(|unsent| unsent.client_ref == *client_ref);
                if let Some(unsent) = unsent {
                    assert!(unsent.reply_to.take().is_some(), "{frame}");
                }
            }
        }
        if matches!(asked, Asked::Watch) && frame["action"] == "ack" {
            self.signals.watch(&frame["states"]);
        }
        self.told.push((asked, frame.clone()));
    }
}
