//! Tells the world what was committed: the subscriptions of this core at once, the other cores by the bus.
//!
//! Nothing here waits or fails. A subscription that missed something reads the store.
//!
//! * [`hub`]: the subscriptions of this core.
//! * [`audience`]: who may be told what a user does just now.
//! * [`bus`]: the way to the other cores and back.
//! * [`due`]: whose feeds are to be compared with the store; [`check`]: the task that compares them.
//! * [`tally`]: whether the bus brings what it should.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use netrox_proto::ids::UserId;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{
    audience::{Audience, Learnt, Pair, Standing},
    bus::{Bus, HintItem, Inbox},
    due::Due,
    hub::{Attention, Hub, Registration},
    tally::Tally,
};
use crate::{
    change::{Change, Signal, Subject, Typing, Wanted},
    config::BusConfig,
    error::Error,
    metrics::{BusMetrics, PresenceMetrics, Shed, SignalMetrics},
    presence::Roll,
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
    roll: Arc<Roll>,
    /// Where other cores write to the database.
    due: Option<Due>,
    tally: Tally,
}

impl Default for Delivery {
    fn default() -> Self {
        Self::alone(SignalMetrics::default(), Roll::new(true, &PresenceMetrics::default()))
    }
}

impl Delivery {
    /// Of a core that alone writes to its database.
    pub(crate) fn alone(signals: SignalMetrics, roll: Arc<Roll>) -> Self {
        let audience = Audience::new(false, signals.clone());
        let (hub, tally) = (Hub::default(), Tally::default());
        let local = Local { hub, audience, signals, roll, due: None, tally };
        Self { local: Arc::new(local), bus: None }
    }

    /// Among the cores of a cluster.
    pub(crate) async fn clustered(
        bus: Option<&BusConfig>,
        cluster: Uuid,
        history: History,
        roll: Arc<Roll>,
        (tasks, stops): (TaskTracker, (CancellationToken, CancellationToken)),
        (metrics, signals): (BusMetrics, SignalMetrics),
    ) -> Result<Self, bus::OpenError> {
        let due = Due::default();
        let hub = Hub::new(Some(due.clone()));
        let tally = Tally::new(metrics.clone());
        let audience = Audience::new(true, signals.clone());
        let local = Local { hub, audience, signals: signals.clone(), roll, due: Some(due), tally };
        let local = Arc::new(local);
        let bus = match bus {
            Some(config) => {
                let inbox = Arc::clone(&local);
                let metrics = (metrics, signals);
                Some(Bus::open(config, cluster, history, inbox, (tasks, stops), metrics).await?)
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
        let roll = &self.local.roll;
        let tell = |learnt| match learnt {
            Learnt::Block(one, two) => {
                self.local.hub.part(one, two);
                roll.touch_pair(one, two);
            }
            Learnt::Hidden(user) => roll.touch_all(user),
            Learnt::Gap => roll.touch_everybody(),
        };
        self.local.audience.follow(&store, stop, tell).await;
    }

    /// Those of some users whose presence another may be shown.
    pub(crate) async fn visible(
        &self,
        store: &Store,
        users: &[UserId],
        to: UserId,
    ) -> Result<HashSet<UserId>, Error> {
        self.local.audience.seen_by(store, users, to).await
    }

    /// Whether one user may not be shown another any more, as far as this core knows by now.
    pub(crate) fn is_shut(&self, user: UserId, to: UserId) -> bool {
        self.local.audience.is_shut((user, to))
    }

    /// Has what users send to another be heard on this core, until what is given is dropped.
    pub(crate) fn attend(&self, user: UserId) -> Attending {
        let listen = || self.bus.as_ref().map(|bus| bus.listen(user));
        let attention = self.local.hub.attend(user, listen);
        self.local.audience.add_watching();
        Attending { local: Arc::clone(&self.local), _attention: attention }
    }

    pub(crate) fn has_bus(&self) -> bool {
        self.bus.as_ref().is_some_and(Bus::is_connected)
    }

    /// Tells other cores what this one says of who is online.
    pub(crate) fn tell_word(&self, word: Bytes) {
        if let Some(bus) = &self.bus {
            bus.tell_word(word);
        }
    }

    /// What a service or a token says of users has changed it, perhaps.
    pub(crate) fn profiles_changed(&self, users: impl Iterator<Item = UserId>) {
        self.local.roll.profiles_changed(users, true);
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
                self.local.roll.touch_all(user);
                self.local.hub.close_user(user, &Error::UserDeleted);
                if let Some(bus) = &self.bus {
                    bus.publish_look(user);
                }
            }
            Signal::Block { blocker, blocked, blocks: true } => {
                self.local.audience.block(blocker, blocked);
                // What was let through before it has yet to go out.
                self.local.hub.part(blocker, blocked);
                if let Some(bus) = &self.bus {
                    bus.part(blocker, blocked);
                }
                self.local.roll.touch_pair(blocker, blocked);
            }
            Signal::Block { blocker, blocked, blocks: false } => {
                self.local.audience.forget(blocker, blocked);
                self.local.roll.touch_pair(blocker, blocked);
            }
            Signal::Hidden(user) => {
                self.local.audience.forget_user(user);
                self.local.roll.touch_all(user);
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

/// Somebody watches others by way of this core, until it is dropped.
#[derive(Debug)]
pub(crate) struct Attending {
    local: Arc<Local>,
    _attention: Attention,
}

impl Drop for Attending {
    fn drop(&mut self) {
        self.local.audience.remove_watching();
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
            && self.audience.wrote(sender, change.to)
        {
            self.roll.touch_pair(sender, change.to);
        }
    }
}

impl Inbox for Local {
    fn changed(&self) {
        self.roll.bus_changed();
        self.tally.changed();
        if let Some(due) = &self.due {
            due.add_all();
        }
    }

    fn lost(&self) {
        self.roll.bus_lost();
    }

    fn is_awaited_by(&self, user: UserId) -> bool {
        self.hub.is_awaited_by(user)
    }

    fn word(&self, payload: &[u8]) {
        self.roll.hear(payload);
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
        let roll = Roll::new(true, &PresenceMetrics::default());
        let local = Local { hub, audience, signals, roll, due: Some(due.clone()), tally };
        local.brought(&mut [HintItem::Look(user)].into_iter());
        assert_eq!(due.take(), DueFeeds::Of([user].into()));
        local.changed();
        local.brought(&mut [HintItem::Look(user)].into_iter());
        assert_eq!(due.take(), DueFeeds::All);
    }
}
