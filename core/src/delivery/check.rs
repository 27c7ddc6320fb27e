//! Compares the live feeds of this core with the database, which other cores write to as well.
//!
//! The bus may lose a hint, a core may die between its commit and its hint, a message may be committed while the bus is
//! just being told of a new listener. Within a sequence the next hint reveals the hole; at its end nothing would. So the
//! ends of all live feeds are looked up every [`INTERVAL`], those of new listeners and of those that the bus asks for
//! at once. A thousand feeds cost one query.

use std::time::Duration;

use netrox_proto::ids::UserId;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery,
    due::{Due, DueFeeds},
    hub::Hub,
};
use crate::store::{DatabaseState, Error, Store, history::Start};

/// What a lost hint delays delivery by, at most, while the database answers.
const INTERVAL: Duration = Duration::from_secs(2);
/// Gathers those that ask at the same time.
const GATHERING: Duration = Duration::from_millis(50);
/// Feeds in one query.
const CHUNK: usize = 1_000;

/// Runs until the drain. Nothing is looked up while the database takes no writes: what is visible may then be what still
/// waits for a standby, without which nobody is to see it.
pub(super) async fn run(
    store: &Store,
    delivery: &Delivery,
    due: &Due,
    mut health: watch::Receiver<DatabaseState>,
    stop: CancellationToken,
) {
    let hub = &delivery.local.hub;
    let mut next = Instant::now() + INTERVAL;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(next) => due.add_all(),
            () = due.added() => {
                tokio::time::sleep(GATHERING).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            serving = health.wait_for(|health| *health == DatabaseState::Serving) => {
                if serving.is_err() {
                    return;
                }
            }
        }
        // What subscriptions were told before this is compared with what is read after it.
        let users = match due.take() {
            DueFeeds::All => {
                next = Instant::now() + INTERVAL;
                let (users, missed) = hub.ask_all();
                delivery.missed(missed);
                users
            }
            DueFeeds::Of(users) => hub.ask(users),
        };
        if let Err(error) = check(store, hub, &users).await {
            // The committer says so; here it is tried again in any case.
            tracing::debug!(%error, "cannot look up the ends of feeds");
        }
    }
}

async fn check(store: &Store, hub: &Hub, users: &[(UserId, Start)]) -> Result<(), Error> {
    // Few: one a run of the server.
    let mut starts: Vec<_> = users.iter().map(|(_, start)| *start).collect();
    starts.sort_unstable();
    starts.dedup();
    // Before the first, and of nobody.
    starts.retain(|start| ![Start::default(), Start(i64::MAX)].contains(start));
    if !starts.is_empty() {
        let found = store.find_starts(&starts).await?;
        for start in starts.iter().filter(|start| !found.contains(start)) {
            hub.lost_start(users, *start);
        }
    }
    for users in users.chunks(CHUNK) {
        for end in store.find_feed_ends(users).await? {
            hub.found_end(UserId(end.id), &end);
        }
    }
    Ok(())
}
