//! Tells the world what was committed: the subscriptions of this core at once, the other cores by the bus.
//!
//! Nothing here waits or fails. A subscription that missed something reads the store.
//!
//! * [`hub`]: the subscriptions of this core.
//! * [`audience`]: who may be told what a user does just now.
//! * [`bus`]: the way to the other cores and back.
//! * [`due`]: whose feeds are to be compared with the store; [`check`]: the task that compares them.
//! * [`tally`]: whether the bus brings what it should.

use std::sync::Arc;

use netrox_proto::ids::UserId;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{
    audience::{Audience, Pair, Standing},
    bus::{Bus, HintItem, Inbox},
    due::Due,
    hub::{Hub, Registration},
    tally::Tally,
};
use crate::{
    change::{Change, Signal, Subject, Typing, Wanted},
    config::BusConfig,
    error::Error,
    metrics::{BusMetrics, Shed, SignalMetrics},
    store::{DatabaseState, Store, history::History},
    trace,
};

pub(crate) mod audience;
pub(crate) mod bus;
mod check;
mod due;
pub(crate) mod hub;
mod tally;

/// A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    local: Arc<Local>,
    bus: Option<Bus>,
}

/// What this core's subscriptions are told, wherever it comes from.
#[derive(Debug)]
struct Local {
    hub: Hub,
    audience: Audience,
    signals: SignalMetrics,
    /// Where other cores write to the database.
    due: Option<Due>,
    tally: Tally,
}

impl Default for Delivery {
    fn default() -> Self {
        Self::alone(SignalMetrics::default())
    }
}

impl Delivery {
    /// Of a core that alone writes to its database.
    pub(crate) fn alone(signals: SignalMetrics) -> Self {
        let audience = Audience::new(false, signals.clone());
        let (hub, tally) = (Hub::default(), Tally::default());
        Self { local: Arc::new(Local { hub, audience, signals, due: None, tally }), bus: None }
    }

    /// Among the cores of a cluster.
    pub(crate) async fn clustered(
        bus: Option<&BusConfig>,
        cluster: Uuid,
        history: History,
        tasks: TaskTracker,
        stop: CancellationToken,
        metrics: BusMetrics,
        signals: SignalMetrics,
    ) -> Result<Self, bus::OpenError> {
        let due = Due::default();
        let hub = Hub::new(Some(due.clone()));
        let tally = Tally::new(metrics.clone());
        let audience = Audience::new(true, signals.clone());
        let local =
            Arc::new(Local { hub, audience, signals: signals.clone(), due: Some(due), tally });
        let bus = match bus {
            Some(config) => {
                let inbox = Arc::clone(&local);
                let metrics = (metrics, signals);
                Some(Bus::open(config, cluster, history, inbox, (tasks, stop), metrics).await?)
            }
            None => None,
        };
        Ok(Self { local, bus })
    }

    /// Compares what subscriptions were told with the store, where other cores write to it. Runs until `stop`.
    pub(crate) async fn check(
        self,
        store: Store,
        health: watch::Receiver<DatabaseState>,
        stop: CancellationToken,
    ) {
        if let Some(due) = self.local.due.clone() {
            check::run(&store, &self, &due, health, stop).await;
        }
    }

    /// Looks whom users block by way of other cores, where there are any. Runs until `stop`.
    pub(crate) async fn follow_blocks(self, store: Store, stop: CancellationToken) {
        self.local.audience.follow(&store, stop).await;
    }

    /// Changes published from now on are queued, until the registration is dropped.
    pub(crate) fn register(
        &self,
        user: UserId,
        wanted: impl Into<Wanted>,
    ) -> Result<Registration, Error> {
        let listen = || self.bus.as_ref().map(|bus| bus.listen(user));
        self.local.hub.register(user, wanted.into(), listen)
    }

    /// Tells a user who types to them, on this core and on the others, if they may be told.
    pub(crate) async fn typing(&self, store: &Store, typing: Typing) -> Result<Standing, Error> {
        let tell = || {
            self.local.tell_typing(typing);
            if let Some(bus) = &self.bus {
                bus.signal(typing);
            }
        };
        self.local.audience.ask(store, (typing.from, typing.to), tell).await
    }

    /// Tells everyone, on this core and on the others, what was committed.
    pub(crate) fn publish(&self, changes: &[Change]) {
        let may_open = self.local.audience.is_in_use();
        for change in changes {
            change.log("committed");
            self.local.hub.publish(change);
            if may_open {
                self.local.note_writer(change);
            }
        }
        if let Some(bus) = &self.bus {
            bus.publish(changes);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        match signal {
            Signal::UserDeleted(user) => {
                self.local.audience.forget_user(user);
                self.local.hub.close_user(user, &Error::UserDeleted);
                if let Some(bus) = &self.bus {
                    bus.publish_look(user);
                }
            }
            Signal::Block { blocker, blocked, blocks: true } => {
                self.local.audience.block(blocker, blocked);
            }
            Signal::Block { blocker, blocked, blocks: false } => {
                self.local.audience.forget(blocker, blocked);
            }
        }
    }

    /// Has feeds compared with the store, on this core and on the others.
    pub(crate) fn look(&self, users: impl IntoIterator<Item = UserId>) {
        for user in users {
            self.local.hub.look(user);
            if let Some(bus) = &self.bus {
                bus.publish_look(user);
            }
        }
    }

    /// Makes every subscription look into the store where it may be behind.
    pub(crate) fn resync(&self) {
        match &self.local.due {
            // One query for many, instead of one each all at once.
            Some(due) => due.add_all(),
            None => self.local.hub.resync(),
        }
    }

    /// So many users learned from the store what the bus should have brought.
    fn missed(&self, users: u64) {
        if self.bus.as_ref().is_some_and(Bus::is_connected) {
            self.local.tally.missed(users);
        }
    }

    /// Ends all subscriptions, and refuses further ones.
    pub(crate) fn close(&self, error: &Error) {
        self.local.hub.close(error);
    }
}

impl Local {
    fn tell_typing(&self, typing: Typing) {
        for _ in 0..self.hub.signal(typing) {
            self.signals.shed(Shed::Stream);
        }
    }

    /// Whoever is shown a message may be told more of its sender.
    fn note_writer(&self, change: &Change) {
        if let Subject::Received(message) = &change.subject
            && change.is_new()
            && let Ok(sender) = message.sender_id.parse()
        {
            self.audience.wrote(sender, change.to);
        }
    }
}

impl Inbox for Local {
    fn changed(&self) {
        self.tally.changed();
        if let Some(due) = &self.due {
            due.add_all();
        }
    }

    fn is_awaited_by(&self, user: UserId) -> bool {
        self.hub.is_awaited_by(user)
    }

    fn signalled(&self, typing: Typing) {
        let pair: Pair = (typing.from, typing.to);
        self.audience.pass(pair, || self.tell_typing(typing));
    }

    fn brought(&self, brought: &mut dyn Iterator<Item = HintItem>) {
        self.tally.came();
        for brought in brought {
            match brought {
                HintItem::Change(mut change) => {
                    change.log("brought by the bus");
                    let span = trace::brought(&mut change);
                    self.hub.publish(&change);
                    if self.audience.is_in_use() {
                        self.note_writer(&change);
                    }
                    drop(span);
                }
                HintItem::Look(user) => self.hub.look(user),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::due::DueFeeds;

    #[test]
    fn what_the_bus_cannot_tell_is_to_be_compared_with_the_store() {
        let (due, user) = (Due::default(), UserId(Uuid::from_u128(1)));
        let hub = Hub::new(Some(due.clone()));
        let signals = SignalMetrics::default();
        let (audience, tally) = (Audience::new(true, signals.clone()), Tally::default());
        let local = Local { hub, audience, signals, due: Some(due.clone()), tally };
        local.brought(&mut [HintItem::Look(user)].into_iter());
        assert_eq!(due.take(), DueFeeds::Of([user].into()));
        local.changed();
        local.brought(&mut [HintItem::Look(user)].into_iter());
        assert_eq!(due.take(), DueFeeds::All);
    }
}
