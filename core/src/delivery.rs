//! Tells the world what was committed: the subscriptions of this core at once, the other cores by the bus.
//!
//! Nothing here waits or fails. A subscription that missed something reads the store.
//!
//! * [`hub`]: the subscriptions of this core.
//! * [`bus`]: the way to the other cores and back.
//! * [`due`]: whose feeds are to be compared with the store; [`check`]: the task that compares them.
//! * [`tally`]: whether the bus brings what it should.

use std::sync::Arc;

use netrox_proto::ids::UserId;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{
    bus::{Bus, HintItem, Inbox},
    due::Due,
    hub::{Hub, Registration},
    tally::Tally,
};
use crate::{
    change::{Change, FeedScope, Signal},
    config::BusConfig,
    error::Error,
    metrics::BusMetrics,
    store::{DatabaseState, Store, history::History},
    trace,
};

pub(crate) mod bus;
mod check;
mod due;
pub(crate) mod hub;
mod tally;

/// A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delivery {
    local: Arc<Local>,
    bus: Option<Bus>,
}

/// What this core's subscriptions are told, wherever it comes from.
#[derive(Debug, Default)]
struct Local {
    hub: Hub,
    /// Where other cores write to the database.
    due: Option<Due>,
    tally: Tally,
}

impl Delivery {
    /// Among the cores of a cluster.
    pub(crate) async fn clustered(
        bus: Option<&BusConfig>,
        cluster: Uuid,
        history: History,
        tasks: TaskTracker,
        stop: CancellationToken,
        metrics: BusMetrics,
    ) -> Result<Self, bus::OpenError> {
        let due = Due::default();
        let hub = Hub::new(Some(due.clone()));
        let tally = Tally::new(metrics.clone());
        let local = Arc::new(Local { hub, due: Some(due), tally });
        let bus = match bus {
            Some(config) => {
                let inbox = Arc::clone(&local);
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

    /// Changes published from now on are queued, until the registration is dropped.
    pub(crate) fn register(&self, user: UserId, scope: FeedScope) -> Result<Registration, Error> {
        let listen = || self.bus.as_ref().map(|bus| bus.listen(user));
        self.local.hub.register(user, scope, listen)
    }

    /// Tells everyone, on this core and on the others, what was committed.
    pub(crate) fn publish(&self, changes: &[Change]) {
        for change in changes {
            change.log("committed");
            self.local.hub.publish(change);
        }
        if let Some(bus) = &self.bus {
            bus.publish(changes);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        match signal {
            Signal::UserDeleted(user) => {
                self.local.hub.close_user(user, &Error::UserDeleted);
                if let Some(bus) = &self.bus {
                    bus.publish_look(user);
                }
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

    fn brought(&self, brought: &mut dyn Iterator<Item = HintItem>) {
        self.tally.came();
        for brought in brought {
            match brought {
                HintItem::Change(mut change) => {
                    change.log("brought by the bus");
                    let span = trace::brought(&mut change);
                    self.hub.publish(&change);
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
        let local = Local { hub, due: Some(due.clone()), tally: Tally::default() };
        local.brought(&mut [HintItem::Look(user)].into_iter());
        assert_eq!(due.take(), DueFeeds::Of([user].into()));
        local.changed();
        local.brought(&mut [HintItem::Look(user)].into_iter());
        assert_eq!(due.take(), DueFeeds::All);
    }
}
