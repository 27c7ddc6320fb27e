//! The bus between the cores of a cluster: after a commit, a core tells the others what users learn of.
//!
//! The bus carries hints, the database has the truth. A hint may be lost, repeated, late or out of order: a
//! subscription delivers the one that is next, drops what is older, and reads the database where there is a hole
//! or where the hint says no more than "look". What gets lost at the end of a feed is found by
//! [`check`](super::check). So nothing here is waited for, and everything is bounded.
//!
//! * [`entry`]: how the servers are entered; [`event`]: what the operator is told of them; [`hint`]: what is carried.
//!
//! A core listens to the subjects of those users alone that have live streams on it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_nats::{Client, connection::State};
use bytes::Bytes;
use futures_util::StreamExt;
use netrox_proto::ids::UserId;
use tokio::{
    io,
    sync::{Notify, mpsc},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use uuid::Uuid;

mod entry;
mod event;
mod hint;

use self::event::Observer;
pub(super) use self::hint::HintItem;
use crate::{change::Change, config::BusConfig, store::history::History};

/// Hints on their way out, each of at most [`hint::MAX_BYTES`]; beyond it they are dropped.
const QUEUE_HINTS: usize = 1_024;
/// Why the bus could not be entered at all; a server that does not answer is waited for instead.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {error}", .path.display())]
    File { path: std::path::PathBuf, error: io::Error },
    #[error(transparent)]
    Connect(#[from] async_nats::ConnectError),
}

/// Who is told what comes over the bus.
pub(super) trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// The bus was connected, or has lost something and said so.
    fn changed(&self);

    /// What one hint of another core says.
    fn brought(&self, brought: &mut dyn Iterator<Item = HintItem>);
}

/// A cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Bus {
    client: Client,
    /// What subjects begin with: deployments that share a server do not hear each other.
    prefix: Arc<str>,
    outgoing: mpsc::Sender<(UserId, Bytes)>,
    is_lossy: Arc<AtomicBool>,
    history: History,
    inbox: Arc<dyn Inbox>,
    tasks: TaskTracker,
}

impl Bus {
    /// Connects in the background, and again whenever the connection breaks.
    pub(super) async fn open(
        config: &BusConfig,
        cluster: Uuid,
        history: History,
        inbox: Arc<dyn Inbox>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, OpenError> {
        let connected = Arc::new(Notify::new());
        let observer = Arc::new(Observer::new(Arc::clone(&inbox), Arc::clone(&connected)));
        let observed = Arc::clone(&observer);
        let options = entry::options(config)
            .await?
            .event_callback(move |event| {
                observer.note(&event);
                std::future::ready(())
            })
            // An event has the kind of a failure alone; the servers, before each attempt, the cause of the one before.
            .reconnect_to_server_callback(move |servers, _| {
                observed.note_failures(&servers);
                std::future::ready(None)
            });
        let client = async_nats::connect_with_options(&config.url.0[..], options).await?;
        let prefix: Arc<str> = format!("netrox-chat.{}.feed.", cluster.as_simple()).into();
        let (outgoing, queue) = mpsc::channel(QUEUE_HINTS);
        let publishing = publish(client.clone(), Arc::clone(&prefix), queue, connected);
        tasks.spawn(stop.run_until_cancelled_owned(publishing));
        Ok(Self { client, prefix, outgoing, is_lossy: Arc::default(), history, inbox, tasks })
    }

    /// Tells the other cores what users learn of. Never waits.
    pub(super) fn publish(&self, changes: &[Change]) {
        // What cannot be sent now would be late: the other cores look into the database meanwhile.
        if !self.is_connected() {
            return;
        }
        let max_bytes = hint::MAX_BYTES.min(self.client.max_payload());
        for (user, payload) in hint::encode(changes, &self.history, max_bytes) {
            self.send(user, payload);
        }
    }

    /// Makes the other cores look what became of a user.
    pub(super) fn publish_look(&self, user: UserId) {
        if self.is_connected() {
            self.send(user, hint::look());
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    fn send(&self, user: UserId, payload: Bytes) {
        let lost = self.outgoing.try_send((user, payload)).is_err();
        if lost && !self.is_lossy.swap(true, Ordering::Relaxed) {
            tracing::warn!("the bus is too slow: other cores learn from the database");
        } else if !lost {
            self.is_lossy.store(false, Ordering::Relaxed);
        }
    }

    /// Passes on what other cores publish for a user, until the guard is dropped.
    pub(super) fn listen(&self, user: UserId) -> DropGuard {
        let stop = CancellationToken::new();
        let subject = subject(&self.prefix, user);
        let listener =
            Listener { user, inbox: Arc::clone(&self.inbox), history: self.history.clone() };
        self.tasks.spawn(listen(self.client.clone(), subject, listener, stop.clone()));
        stop.drop_guard()
    }
}

fn subject(prefix: &str, user: UserId) -> String {
    format!("{prefix}{}", user.0.as_simple())
}

/// Hands hints to the connection, which may make it wait.
async fn publish(
    client: Client,
    prefix: Arc<str>,
    mut queue: mpsc::Receiver<(UserId, Bytes)>,
    connected: Arc<Notify>,
) {
    loop {
        tokio::select! {
            next = queue.recv() => {
                let Some((user, payload)) = next else { return };
                // It fails when the client has ended, and then nobody hears it anyway.
                let _ = client.publish(subject(&prefix, user), payload).await;
            }
            () = connected.notified() => event::tell_small_payload(&client),
        }
    }
}

/// Whom hints are for.
struct Listener {
    user: UserId,
    inbox: Arc<dyn Inbox>,
    history: History,
}

async fn listen(client: Client, subject: String, listener: Listener, stop: CancellationToken) {
    let Listener { user, inbox, history } = listener;
    let listening = async {
        let Ok(mut hints) = client.subscribe(subject).await else { return };
        while let Some(message) = hints.next().await {
            inbox.brought(&mut hint::decode(&message.payload, user, &history).into_iter());
        }
    };
    tokio::select! {
        () = listening => {}
        () = stop.cancelled() => {}
    }
}
