//! Documented clients that go on writing while their server is exchanged for another.
//!
//! Each of a pair has a WebSocket. One writes, waits until the other one is shown it, and writes again. If a socket
//! breaks, both open others, and the history says whether the last message is to be sent again: the documented API
//! acknowledges nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use netrox_harness::{Edge, PATIENCE, User, socket::chat_message};
use serde_json::Value;
use tokio::{net::TcpStream, sync::watch, task::JoinSet, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

/// Between two messages of a pair, and between two tries to connect.
const PAUSE: Duration = Duration::from_millis(50);

type Stream = WebSocketStream<TcpStream>;

/// Two users.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) one: User,
    pub(super) two: User,
}

/// What the receiver of a pair was shown: ids by the number of the message.
pub(super) type Shown = BTreeMap<u64, i64>;

pub(super) struct Live {
    /// How many messages of each pair have arrived.
    arrived: Vec<watch::Receiver<u64>>,
    breaks: Arc<AtomicU64>,
    stop: CancellationToken,
    tasks: JoinSet<(usize, Shown)>,
}

pub(super) fn text_of(pair: usize, number: u64) -> String {
    format!("{}{number} später", beginning_of(pair))
}

pub(super) fn beginning_of(pair: usize) -> String {
    format!("canary, live {pair} ")
}

impl Live {
    pub(super) fn start(at: Edge, pairs: &[Pair]) -> Self {
        let (stop, breaks) = (CancellationToken::new(), Arc::<AtomicU64>::default());
        let (mut arrived, mut tasks) = (Vec::new(), JoinSet::new());
        for (index, pair) in pairs.iter().enumerate() {
            let (count, counted) = watch::channel(0);
            arrived.push(counted);
            let (stop, breaks, pair) = (stop.clone(), Arc::clone(&breaks), pair.clone());
            tasks.spawn(async move {
                let talk = Talk { at, index, pair, count, shown: Shown::new() };
                (index, talk.run(&stop, &breaks).await)
            });
        }
        Self { arrived, breaks, stop, tasks }
    }

    /// How often a pair has lost its sockets.
    pub(super) fn breaks(&self) -> u64 {
        self.breaks.load(Ordering::Relaxed)
    }

    /// Waits until so many more messages of each pair have arrived.
    pub(super) async fn arrive(&mut self, more: u64) {
        let goals: Vec<_> = self.arrived.iter().map(|count| *count.borrow() + more).collect();
        for (count, goal) in self.arrived.iter_mut().zip(goals) {
            let arrived = timeout(PATIENCE, count.wait_for(|count| *count >= goal)).await;
            arrived.expect("messages arrive").expect("a client goes on");
        }
    }

    /// Lets each finish the message that is under way. What was shown, by pair.
    pub(super) async fn finish(mut self) -> Vec<Shown> {
        self.stop.cancel();
        let mut all = vec![Shown::new(); self.arrived.len()];
        while let Some(ended) = self.tasks.join_next().await {
            let (index, shown) = ended.expect("a client");
            all[index] = shown;
        }
        all
    }
}

/// One pair at work.
struct Talk {
    at: Edge,
    index: usize,
    pair: Pair,
    count: watch::Sender<u64>,
    shown: Shown,
}

impl Talk {
    async fn run(mut self, stop: &CancellationToken, breaks: &AtomicU64) -> Shown {
        let mut number = 0;
        loop {
            let mut sockets =
                [open(self.at, &self.pair.one).await, open(self.at, &self.pair.two).await];
            // It was under way when the last sockets broke, and may be there.
            if let Some(id) = self.stored(number).await {
                self.note(&mut number, id);
            }
            loop {
                if stop.is_cancelled() {
                    return self.shown;
                }
                let exchange = timeout(PATIENCE, self.exchange(&mut sockets, number)).await;
                match exchange.expect("a message that arrives, or a socket that breaks") {
                    Some(id) => self.note(&mut number, id),
                    None => break,
                }
                tokio::time::sleep(PAUSE).await;
            }
            breaks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn note(&mut self, number: &mut u64, id: i64) {
        self.shown.insert(*number, id);
        *number += 1;
        self.count.send_replace(*number);
    }

    /// Sends a message and waits for it. Its id; none if a socket breaks.
    async fn exchange(&self, [sender, receiver]: &mut [Stream; 2], number: u64) -> Option<i64> {
        let text = text_of(self.index, number);
        let frame = chat_message(&self.pair.two.id, &text).to_string();
        sender.send(Message::text(frame)).await.ok()?;
        loop {
            let frame = tokio::select! {
                frame = receiver.next() => frame,
                frame = sender.next() => match frame {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    // A refusal is told to nobody but the sender.
                    _ => return None,
                },
            };
            match frame {
                Some(Ok(Message::Text(frame))) => {
                    let frame: Value = serde_json::from_str(&frame).expect("JSON");
                    let id = frame["created_msg_id"].as_i64().expect("an id");
                    if frame["message_body"] == *text {
                        return Some(id);
                    }
                    // What a socket has missed may come once more, and files are the test's own.
                    let is_known = self.shown.values().any(|shown| *shown == id);
                    assert!(is_known || frame["action"] == "re_message_file", "{frame}");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// The id of a message, if the history has it.
    async fn stored(&self, number: u64) -> Option<i64> {
        let path = format!("/chat/messages/{}/", self.pair.two.id);
        let answer = loop {
            let history = self.at.get(&path).bearer(&self.pair.one.token);
            match history.try_send().await {
                Ok(answer) if answer.status == 200 => break answer,
                _ => tokio::time::sleep(PAUSE).await,
            }
        };
        let (text, history) = (text_of(self.index, number), answer.json());
        let messages = history["entity"]["messages"].as_array().expect("messages");
        let message = messages.iter().rev().find(|message| message["message"] == *text)?;
        message["id"].as_i64()
    }
}

/// A socket, as soon as there is one.
async fn open(at: Edge, user: &User) -> Stream {
    let uri = format!("ws://{}/ws/chat/room/?token={}", at.address, user.token);
    loop {
        let handshake = async {
            let tcp = TcpStream::connect(at.address).await.ok()?;
            client_async(&uri, tcp).await.ok()
        };
        if let Ok(Some((stream, _))) = timeout(PATIENCE, handshake).await {
            return stream;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
