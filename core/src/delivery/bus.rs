//! The bus between the cores of a cluster: after a commit, a core tells the others what users learn of.
//!
//! The bus carries hints, the database has the truth. A hint may be lost, repeated, late or out of order: a
//! subscription delivers the one that is next, drops what is older, and reads the database where there is a hole
//! or where the hint says no more than "look". What gets lost at the end of a feed is found by
//! [`check`](super::check). So nothing here is waited for, and everything is bounded.
//!
//! Signals have no truth elsewhere: one that is lost is lost. [`signal`] has their lane.
//!
//! * [`entry`]: how the servers are entered; [`event`]: what the operator is told of them; [`hint`]: what is carried.
//! * [`mod@examine`]: whether it carries anything, for the operator.
//! * [`subject`]: what it is published under; [`listening`]: what this core hears; [`older`]: cores of before.

use std::{fmt, sync::Arc, time::Duration};

use async_nats::{Client, connection::State};
use bytes::Bytes;
use netrox_proto::ids::UserId;
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io,
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
    },
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

mod entry;
mod event;
mod examine;
mod hint;
mod listening;
mod older;
mod signal;
mod subject;

pub(crate) use self::examine::examine;
use self::{
    event::Observer,
    listening::{Ear, Shares},
    older::OlderCores,
    subject::{Subjects, share_of},
};
pub(super) use self::{hint::HintItem, listening::Listening};
use crate::{
    change::{Change, Typing},
    config::BusConfig,
    metrics::{BusMetrics, Shed, SignalMetrics, length},
    notice::Notices,
    store::history::History,
};

/// Hints on their way out, each of at most [`hint::MAX_BYTES`]; beyond it they are dropped. As many as the largest commit
/// may have participants.
const QUEUE_HINTS: usize = 2_048;

/// Words of who is online, on their way out: all that a core with some 700,000 users has to say. What is lost is asked for.
const QUEUE_WORDS: usize = 256;

/// One of them goes so often, however many hints there are.
const WORD_INTERVAL: Duration = Duration::from_millis(100);

/// For what is left when this core ends.
const LAST_TIME: Duration = Duration::from_secs(1);

/// Why the bus could not be entered at all; a server that does not answer is waited for instead.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {error}", .path.display())]
    File { path: std::path::PathBuf, error: io::Error },
    #[error(transparent)]
    Connect(#[from] async_nats::ConnectError),
}

/// Whether the files that are named are what they are given as.
pub(crate) async fn check(config: &BusConfig) -> Result<(), OpenError> {
    entry::once(config).await.map(drop)
}

/// Who is told what comes over the bus.
pub(super) trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// The bus was connected, or has lost something and said so.
    fn changed(&self);

    /// It was disconnected.
    fn lost(&self);

    /// Whether anyone listens for the user.
    fn is_awaited_by(&self, user: UserId) -> bool;

    /// What another core says of who is online.
    fn word(&self, payload: &[u8]);

    /// What another core tells that a user does just now.
    fn signalled(&self, typing: Typing);

    /// What one hint of another core says.
    fn brought(&self, brought: &mut dyn Iterator<Item = HintItem>);
}

/// A cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Bus {
    client: Client,
    outgoing: mpsc::Sender<(UserId, Bytes)>,
    words: mpsc::Sender<Bytes>,
    signals: Arc<signal::Lane>,
    signal_metrics: SignalMetrics,
    dropped: Counter,
    lossy: Arc<Notices<()>>,
    history: History,
    shares: Arc<Shares>,
}

impl Bus {
    /// Connects in the background, and again whenever the connection breaks. Hears nothing more from `stop` on, and tells until `ends`.
    pub(super) async fn open(
        config: &BusConfig,
        cluster: Uuid,
        history: History,
        inbox: Arc<dyn Inbox>,
        (tasks, (stop, ends)): (TaskTracker, (CancellationToken, CancellationToken)),
        (metrics, signal_metrics): (BusMetrics, SignalMetrics),
    ) -> Result<Self, OpenError> {
        let connected = Arc::new(Notify::new());
        let observer =
            Arc::new(Observer::new(Arc::clone(&inbox), Arc::clone(&connected), metrics.clone()));
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
        let subjects = Arc::new(Subjects::new(cluster));
        let older = Arc::<OlderCores>::default();
        let (outgoing, queue) = mpsc::channel(QUEUE_HINTS);
        let (words, queued_words) = mpsc::channel(QUEUE_WORDS);
        let signals = Arc::<signal::Lane>::default();
        let looked_at = outgoing.downgrade();
        let dropped = metrics.queues.add_refusing("bus", QUEUE_HINTS, move || length(&looked_at));
        metrics.begin();
        let outlet = Outlet {
            client: client.clone(),
            subjects: Arc::clone(&subjects),
            older: Arc::clone(&older),
            signals: Arc::clone(&signals),
            metrics: metrics.clone(),
        };
        tasks.spawn(outlet.run(queue, queued_words, connected, ends));
        let ear = Ear { inbox, history: history.clone(), subjects, older, metrics };
        let shares = Arc::new(Shares::new(client.clone(), ear, tasks));
        shares.listen_to_words(stop.clone());
        shares.listen_to_older(stop);
        let lossy = Arc::default();
        Ok(Self {
            client,
            outgoing,
            words,
            signals,
            signal_metrics,
            dropped,
            lossy,
            history,
            shares,
        })
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
            self.send(user, hint::address(user));
        }
    }

    /// Tells the other cores what a user does just now. Never waits.
    pub(super) fn signal(&self, typing: Typing) {
        if !self.is_connected() || !self.signals.push(typing) {
            self.signal_metrics.shed(Shed::Bus);
        }
    }

    /// Nothing that either of two users said, and that waits, goes to the other.
    pub(super) fn part(&self, one: UserId, two: UserId) {
        self.signals.part(one, two);
    }

    /// Tells the other cores who is online here. Never waits.
    pub(super) fn tell_word(&self, word: Bytes) {
        if self.is_connected() {
            // One that is lost is missed, and asked for.
            let _ = self.words.try_send(word);
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    fn send(&self, user: UserId, payload: Bytes) {
        match self.outgoing.try_send((user, payload)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.dropped.inc();
                if let Some(untold) = self.lossy.happened(()) {
                    tracing::warn!(
                        untold,
                        "the bus is too slow: other cores learn from the database"
                    );
                }
            }
            // This core ends.
            Err(TrySendError::Closed(_)) => {}
        }
    }

    /// Passes on what other cores publish for a user, until what is given is dropped.
    pub(super) fn listen(&self, user: UserId) -> Listening {
        self.shares.listen(user)
    }
}

/// Where hints leave this core.
struct Outlet {
    client: Client,
    subjects: Arc<Subjects>,
    older: Arc<OlderCores>,
    signals: Arc<signal::Lane>,
    metrics: BusMetrics,
}

impl Outlet {
    /// Hands over what there is until `ends`, and then what is left as far as that takes no time.
    async fn run(
        self,
        mut queue: mpsc::Receiver<(UserId, Bytes)>,
        mut words: mpsc::Receiver<Bytes>,
        connected: Arc<Notify>,
        ends: CancellationToken,
    ) {
        ends.run_until_cancelled(self.pass_on(&mut queue, &mut words, &connected)).await;
        let last = async {
            while let Ok(word) = words.try_recv() {
                self.tell(word).await;
            }
            while let Ok((user, payload)) = queue.try_recv() {
                self.publish(user, payload).await;
            }
            // Whoever does not hear it finds out.
            let _ = self.client.flush().await;
        };
        if self.client.connection_state() == State::Connected {
            let _ = timeout(LAST_TIME, last).await;
        }
    }

    /// Hands hints to the connection, which may make it wait, and signals where there is none.
    async fn pass_on(
        &self,
        queue: &mut mpsc::Receiver<(UserId, Bytes)>,
        words: &mut mpsc::Receiver<Bytes>,
        connected: &Notify,
    ) {
        // By then the next word goes, whatever else there is: it is by these that others know that this core is there.
        let mut word_due = Instant::now() + WORD_INTERVAL;
        loop {
            if Instant::now() >= word_due {
                word_due = Instant::now() + WORD_INTERVAL;
                if let Ok(word) = words.try_recv() {
                    self.tell(word).await;
                }
            }
            tokio::select! {
                biased;
                () = connected.notified() => event::tell_small_payload(&self.client),
                next = queue.recv() => {
                    let Some((user, payload)) = next else { return };
                    self.publish(user, payload).await;
                }
                word = words.recv() => {
                    let Some(word) = word else { return };
                    self.tell(word).await;
                }
                signals = self.signals.next() => {
                    for typing in signals {
                        while let Ok((user, payload)) = queue.try_recv() {
                            self.publish(user, payload).await;
                        }
                        self.signal(typing).await;
                    }
                }
            }
        }
    }

    /// Who is online here.
    async fn tell(&self, word: Bytes) {
        let _ = self.client.publish(self.subjects.of_words(), word).await;
    }

    /// The same of what may get lost.
    async fn signal(&self, typing: Typing) {
        let subject = self.subjects.of_signals(share_of(typing.to));
        let _ = self.client.publish(subject, signal::encode(typing)).await;
    }

    /// It fails when the client has ended, and then nobody hears it anyway.
    async fn publish(&self, user: UserId, payload: Bytes) {
        self.metrics.sent();
        let copy = self.older.are_there().then(|| hint::copy(&payload));
        let _ = self.client.publish(self.subjects.of_share(share_of(user)), payload).await;
        if let Some(copy) = copy {
            let _ = self.client.publish(self.subjects.of_user(user), copy).await;
        }
    }
}
