//! The subscriptions of this core to the bus: one for each share that a user who listens belongs to, and one for what older
//! cores publish.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_nats::{Client, Message};
use futures_util::StreamExt;
use netrox_proto::ids::UserId;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    Inbox, hint,
    older::OlderCores,
    signal,
    subject::{SHARES, Subjects, share_of},
};
use crate::{metrics::BusMetrics, store::history::History};

/// Keeps a share listened to, until the last one for it is dropped.
#[derive(Debug)]
pub(in crate::delivery) struct Listening {
    _share: Arc<DropGuard>,
}

/// Where what comes in goes.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) history: History,
    pub(super) subjects: Arc<Subjects>,
    pub(super) older: Arc<OlderCores>,
    pub(super) metrics: BusMetrics,
}

#[derive(Debug)]
pub(super) struct Shares {
    client: Client,
    ear: Ear,
    tasks: TaskTracker,
    listened: Mutex<[Weak<DropGuard>; SHARES]>,
}

impl Ear {
    /// A hint for a user of some share.
    fn hear(&self, message: &Message) {
        // Whoever published anything else meant nobody that is known.
        let Some((user, payload)) = hint::addressee(&message.payload) else { return };
        self.hand_over(user, payload);
    }

    /// A hint under the subject of a user. What is marked as a copy came, or comes, by the user's share.
    fn hear_older(&self, message: &Message) {
        let user = self.subjects.user(message.subject.as_str());
        let Some(user) = user.filter(|_| !hint::is_copy(&message.payload)) else { return };
        self.older.note();
        self.hand_over(user, &message.payload);
    }

    /// A signal to a user of some share.
    fn hear_signal(&self, message: &Message) {
        if let Some(typing) = signal::decode(&message.payload)
            && self.inbox.is_awaited_by(typing.to)
        {
            self.inbox.signalled(typing);
        }
    }

    fn hand_over(&self, user: UserId, payload: &[u8]) {
        self.metrics.received();
        if self.inbox.is_awaited_by(user) {
            self.inbox.brought(&mut hint::decode(payload, user, &self.history).into_iter());
        }
    }
}

impl Shares {
    pub(super) fn new(client: Client, ear: Ear, tasks: TaskTracker) -> Self {
        let listened = Mutex::new(std::array::from_fn(|_| Weak::new()));
        Self { client, ear, tasks, listened }
    }

    /// A few instructions that do not panic.
    fn listened(&self) -> MutexGuard<'_, [Weak<DropGuard>; SHARES]> {
        self.listened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what other cores publish for a user, until what is given is dropped.
    pub(super) fn listen(&self, user: UserId) -> Listening {
        let share = share_of(user);
        let mut listened = self.listened();
        if let Some(guard) = listened[share].upgrade() {
            return Listening { _share: guard };
        }
        let stop = CancellationToken::new();
        let guard = Arc::new(stop.clone().drop_guard());
        listened[share] = Arc::downgrade(&guard);
        drop(listened);
        let (subject, ear) = (self.ear.subjects.of_share(share), self.ear.clone());
        let hearing = hear_all(self.client.clone(), subject, move |message| ear.hear(message));
        self.tasks.spawn(stop.clone().run_until_cancelled_owned(hearing));
        let (subject, ear) = (self.ear.subjects.of_signals(share), self.ear.clone());
        let hearing =
            hear_all(self.client.clone(), subject, move |message| ear.hear_signal(message));
        self.tasks.spawn(stop.run_until_cancelled_owned(hearing));
        Listening { _share: guard }
    }

    /// Passes on what other cores say of who is online, until `stop`.
    pub(super) fn listen_to_words(&self, stop: CancellationToken) {
        let (subject, inbox) = (self.ear.subjects.of_words(), Arc::clone(&self.ear.inbox));
        let hearing =
            hear_all(self.client.clone(), subject, move |message| inbox.word(&message.payload));
        self.tasks.spawn(stop.run_until_cancelled_owned(hearing));
    }

    /// Passes on what older cores publish, until `stop`.
    pub(super) fn listen_to_older(&self, stop: CancellationToken) {
        let (subject, ear) = (self.ear.subjects.of_all_users(), self.ear.clone());
        let hearing =
            hear_all(self.client.clone(), subject, move |message| ear.hear_older(message));
        self.tasks.spawn(stop.run_until_cancelled_owned(hearing));
    }
}

/// It fails, and ends, when the client has ended.
async fn hear_all(client: Client, subject: String, hear: impl Fn(&Message)) {
    let Ok(mut messages) = client.subscribe(subject).await else { return };
    while let Some(message) = messages.next().await {
        hear(&message);
    }
}
