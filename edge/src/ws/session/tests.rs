//! Sessions over a stream in memory, before a core in memory, by a clock that tests advance.

mod delivery;
mod end;
mod faults;
mod second;
mod sends;
mod standstill;

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use netrox_proto::{
    ids::UserId,
    v1::{ErrorReason, Failure},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{Role, frame::coding::CloseCode},
    },
};

use super::{Connection, Expiry, Session};
use crate::{
    config::Limits,
    edge::Edge,
    metrics::Metrics,
    stub_core::{StubCore, authorization, config, user},
    wire::Generation,
};

const ALICE: u128 = 1;
const BOB: u128 = 2;
/// Longer than the server is silent.
const PATIENCE: Duration = Duration::from_secs(120);
const PIPE_BYTES: usize = 64 * 1024;

struct World {
    core: StubCore,
    edge: Edge,
}

fn unlimited() -> Limits {
    Limits { send_rate: 0, ..Limits::default() }
}

fn world(limits: Limits) -> World {
    let core = StubCore::default();
    for number in [ALICE, BOB] {
        core.add_user(user(number));
    }
    let edge = Edge::new(config(limits), core.transport(), authorization(), Metrics::default())
        .expect("a key");
    World { core, edge }
}

impl World {
    async fn connect(&self, number: u128) -> Client {
        Client::new(self.connect_raw(number, PIPE_BYTES).await).await
    }

    /// The client's end of a connection whose handshake is done.
    async fn connect_raw(&self, number: u128, pipe_bytes: usize) -> DuplexStream {
        self.connect_until(number, pipe_bytes, None).await
    }

    async fn connect_until(
        &self,
        number: u128,
        pipe_bytes: usize,
        expiry: Option<Expiry>,
    ) -> DuplexStream {
        self.serve(self.join(number).await, pipe_bytes, expiry)
    }

    async fn join(&self, number: u128) -> Connection {
        let place = self.edge.shared.web_sockets.sockets.place(user(number)).expect("a place");
        let connection = self
            .edge
            .shared
            .web_sockets
            .sockets
            .join(place, Generation::V1, Default::default())
            .expect("no drain");
        connection.live().await.expect("a subscription");
        connection.admit();
        connection
    }

    /// Until the last connection has left, though its socket may still be closing.
    async fn emptied(&self) {
        while self.edge.shared.metrics.sockets.count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn serve(
        &self,
        connection: Connection,
        pipe_bytes: usize,
        expiry: Option<Expiry>,
    ) -> DuplexStream {
        let (client, server) = duplex(pipe_bytes);
        let web_sockets = &self.edge.shared.web_sockets;
        let context = Arc::clone(&web_sockets.context);
        web_sockets.spawn(async move {
            Session::open(connection, context, server, expiry).await.run().await;
        });
        client
    }
}

struct Client {
    socket: WebSocketStream<DuplexStream>,
}

impl Client {
    async fn new(stream: DuplexStream) -> Self {
        Self { socket: WebSocketStream::from_raw_socket(stream, Role::Client, None).await }
    }

    async fn send(&mut self, frame: impl ToString) {
        let message = Message::Text(frame.to_string().into());
        self.socket.send(message).await.expect("an open connection");
    }

    /// The next frame, whatever it is; pings are answered when it is read.
    async fn next(&mut self) -> Message {
        let next = timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
        next.expect("an open connection").expect("a frame")
    }

    /// The next text frame.
    async fn json(&mut self) -> Value {
        loop {
            match self.next().await {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) => {}
                other => panic!("not a text frame: {other:?}"),
            }
        }
    }

    async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        while bodies.len() < count {
            // Pings keep a connection alive for ever.
            let frame = timeout(PATIENCE, self.json()).await.expect("a message in time");
            assert_eq!(frame["action"], "re_message", "{frame}");
            bodies.push(frame["message_body"].as_str().expect("text").to_owned());
        }
        bodies
    }

    async fn error_code(&mut self) -> String {
        let frame = self.json().await;
        assert_eq!(frame["action"], "error", "{frame}");
        frame["code"].as_str().expect("text").to_owned()
    }

    /// Reads to the close frame, and to the end after it.
    async fn close_code(&mut self) -> CloseCode {
        let code = loop {
            match self.next().await {
                Message::Close(frame) => break frame.expect("a code").code,
                Message::Text(_) | Message::Ping(_) => {}
                other => panic!("neither data nor a close: {other:?}"),
            }
        };
        assert!(!matches!(self.socket.next().await, Some(Ok(_))), "a frame after the close");
        code
    }
}

fn text_to(receiver: UserId, body: impl Into<Value>) -> Value {
    json!({
        "action": "chat_message",
        "message_body": body.into(),
        "receiver_id": receiver.to_string(),
    })
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn unavailable() -> Failure {
    Failure::new(ErrorReason::StoreUnavailable, "restart")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whatever the server writes until it ends the stream.
async fn read_to_end(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("an end");
    bytes
}

/// A masked frame, its mask being zero.
fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).expect("a small payload").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
