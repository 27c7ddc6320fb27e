//! Clients that wait for the outcome of everything they ask for, however long it takes, and measure how long a
//! refusal does. Those of the flow give a send up too soon for that: an edge that is killed leaves them without an
//! answer.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use netrox_harness::{Edge, TestChat, User, socket::chat_message, within};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub(super) lists: usize,
    pub(super) sends: usize,
    /// Sends of which it could not be found out whether they are stored.
    pub(super) unknown: usize,
    /// Of lists. What a send waits for is told by whether it is refused.
    pub(super) slowest: Slowest,
}

/// How long it took to refuse what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slowest(pub(super) Duration, pub(super) &'static str);

impl Default for Slowest {
    fn default() -> Self {
        Self(Duration::ZERO, "nothing")
    }
}

impl Refusals {
    fn list(&mut self, took: Duration) {
        self.lists += 1;
        self.slowest = self.slowest.max(Slowest(took, "a list"));
    }
}

/// At every edge, one who sends and one who lists threads.
pub(super) struct Probe {
    clients: JoinSet<Refusals>,
    end: CancellationToken,
}

impl Probe {
    pub(super) async fn start(chat: &TestChat) -> Self {
        let mut clients = JoinSet::new();
        let end = CancellationToken::new();
        for edge in chat.edges() {
            let [one, other] = [chat.user("probe-sender").await, chat.user("probe-receiver").await];
            clients.spawn(list(edge, other.clone(), end.clone()));
            clients.spawn(send(edge, one, other, end.clone()));
        }
        Self { clients, end }
    }

    /// Fails where a client waited in vain.
    pub(super) async fn stop(mut self) -> Refusals {
        self.end.cancel();
        let mut all = Refusals::default();
        while let Some(refusals) = self.clients.join_next().await {
            let refusals = refusals.expect("a client of the probe");
            all.lists += refusals.lists;
            all.sends += refusals.sends;
            all.unknown += refusals.unknown;
            all.slowest = all.slowest.max(refusals.slowest);
        }
        all
    }
}

async fn list(edge: Edge, user: User, end: CancellationToken) -> Refusals {
    let mut refusals = Refusals::default();
    while !end.is_cancelled() {
        let request = edge.get("/chat/get-user-threads/").bearer(&user.token);
        let asked = Instant::now();
        // The connection of a request goes with its edge.
        if let Ok(answer) = request.try_send().await {
            match answer.status {
                200 => {}
                500 | 503 => refusals.list(asked.elapsed()),
                _ => panic!("a list of threads: {answer:?}"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    refusals
}

/// Both are at one edge: while it lives, a send is refused to one or shown to the other.
async fn send(edge: Edge, sender: User, receiver: User, end: CancellationToken) -> Refusals {
    let mut refusals = Refusals::default();
    let mut number = 0;
    while !end.is_cancelled() {
        let opened = tokio::join!(open(edge, &sender), open(edge, &receiver));
        if let (Some(mut sending), Some(mut receiving)) = opened {
            while !end.is_cancelled() {
                number += 1;
                let body = format!("canary probe {number}");
                let frame = chat_message(&receiver.id, &body).to_string();
                if sending.send(Message::text(frame)).await.is_err() {
                    break;
                }
                let outcome = outcome(&mut sending, &mut receiving, &body);
                match within("the outcome of a send", outcome).await {
                    Outcome::Seen => {}
                    Outcome::Refused => refusals.sends += 1,
                    Outcome::Unknown => refusals.unknown += 1,
                    Outcome::Gone => break,
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    refusals
}

enum Outcome {
    Seen,
    Refused,
    Unknown,
    /// The edge is, and with it the answer.
    Gone,
}

type Stream = WebSocketStream<TcpStream>;

async fn outcome(sending: &mut Stream, receiving: &mut Stream, body: &str) -> Outcome {
    loop {
        let (frame, is_answer) = tokio::select! {
            frame = sending.next() => (frame, true),
            frame = receiving.next() => (frame, false),
        };
        let frame: Value = match frame {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("a JSON frame"),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Outcome::Gone,
            Some(Ok(_)) => continue,
        };
        if is_answer {
            assert_eq!(frame["action"], "error", "a sender was sent {frame}");
            let is_unknown = frame["code"] == "outcome_unknown";
            return if is_unknown { Outcome::Unknown } else { Outcome::Refused };
        }
        // One that was refused as of unknown outcome may come late.
        if frame["message_body"] == body {
            return Outcome::Seen;
        }
    }
}

async fn open(edge: Edge, user: &User) -> Option<Stream> {
    let handshake = async {
        let tcp = TcpStream::connect(edge.address).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        let uri = format!("ws://{}/ws/chat/room/?token={}", edge.address, user.token);
        client_async(uri, tcp).await.ok().map(|(stream, _)| stream)
    };
    within("a WebSocket handshake", handshake).await
}
