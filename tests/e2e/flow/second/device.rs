//! One device: it uses a connection while it lasts, and goes on with another from where it was.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use netrox_harness::{Edge, PATIENCE, User, eventually};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use super::notes::Notes;
use crate::flow::{PAUSE, client::open_path};

/// A server that has not said `hello` by then is of the first generation.
const HELLO: Duration = Duration::from_secs(10);
/// A connection that shows nothing, not even a ping, is dropped after it.
const SILENCE: Duration = Duration::from_secs(45);
/// The most of a backoff.
const LONGEST_PAUSE: Duration = Duration::from_millis(160);
/// How a server ends a connection of a client that does nothing wrong.
const CLOSES: [u16; 4] = [1001, 1011, 1012, 1013];

pub(super) type Socket = WebSocketStream<TcpStream>;

pub(super) struct Device {
    pub(super) user: User,
    index: usize,
    edges: Vec<Edge>,
    notes: Mutex<Notes>,
}

impl Device {
    pub(super) fn new(user: User, peer: &User, index: usize, edges: &[Edge]) -> Self {
        let notes = Mutex::new(Notes::new(user.clone(), peer.id.clone(), index));
        Self { user, index, edges: edges.to_vec(), notes }
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first connection, behind its `live`.
    pub(super) async fn begin(&self) -> Socket {
        eventually("a device that is up to date", async || {
            let mut socket = self.connect(0).await?;
            while !self.notes().is_live() {
                self.read(&mut socket).await?;
            }
            Some(socket)
        })
        .await
    }

    /// Writes, changes and marks messages until it is stopped; what it began by then it brings to an end, and goes on
    /// receiving.
    pub(super) async fn run(self: Arc<Self>, first: Socket, stop: CancellationToken) {
        self.work(first, &stop).await;
        let mut pause = PAUSE;
        for attempt in 1.. {
            pause = if self.notes().is_live() { PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
            sleep(pause).await;
            if let Some(socket) = self.connect(attempt).await {
                self.work(socket, &stop).await;
            }
        }
    }

    async fn connect(&self, attempt: usize) -> Option<Socket> {
        let edge = self.edges[(self.index + attempt) % self.edges.len()];
        let query = self.notes().connects();
        let token = &self.user.token;
        open_path(edge, &format!("/ws/chat/room/?protocol=2&token={token}{query}")).await
    }

    /// Until the connection ends.
    async fn work(&self, mut socket: Socket, stop: &CancellationToken) {
        loop {
            let (frames, next) = self.notes().due(Instant::now(), stop.is_cancelled());
            for frame in frames {
                let sent = timeout(PATIENCE, socket.send(Message::text(frame.to_string()))).await;
                // A peer that stops reading is as good as gone.
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            let pause = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                came = self.read(&mut socket) => if came.is_none() { return },
                () = pause => {}
            }
        }
    }

    /// Takes what comes next; `None` at the end of the connection.
    async fn read(&self, socket: &mut Socket) -> Option<()> {
        let patience = if self.notes().has_hello() { SILENCE } else { HELLO };
        match timeout(patience, socket.next()).await.ok()?? {
            Ok(Message::Text(frame)) => {
                self.notes().take(&frame);
                Some(())
            }
            Ok(Message::Ping(_) | Message::Pong(_)) => Some(()),
            Ok(Message::Close(Some(close))) => {
                assert!(CLOSES.contains(&close.code.into()), "closed: {close}");
                None
            }
            Ok(Message::Close(None)) | Err(_) => None,
            Ok(other) => panic!("it got {other:?}"),
        }
    }
}
