//! Who is online, shared by the database: each core writes it down, and reads what others do that it does not hear.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{BEAT, LAST_TIME, Presence, word};
use crate::{committer::KeepRoll, error::Error};

impl Presence {
    /// Shares who is online by the database where there is no bus, or some core has none, until `stop`.
    pub(crate) async fn share_by_database(self, stop: CancellationToken) {
        let mut kept = Kept::default();
        let sharing = async {
            loop {
                if let Err(error) = self.share(&mut kept).await {
                    tracing::debug!(%error, "who is online cannot be shared by the database");
                }
                sleep(BEAT).await;
            }
        };
        stop.run_until_cancelled(sharing).await;
        if kept.written.is_some_and(|written| !written.is_empty()) {
            // Nobody is online with it any more. Whoever does not read that waits for its lease.
            let over = KeepRoll { core: self.roll.id(), users: Some(Vec::new()) };
            if let Ok(pending) = self.committer.submit(over) {
                let _ = timeout(LAST_TIME, pending.answer()).await;
            }
        }
    }

    async fn share(&self, kept: &mut Kept) -> Result<(), Error> {
        let rolls = self.store.list_rolls().await?;
        let others: Vec<_> =
            rolls.into_iter().filter(|roll| roll.core() != self.roll.id()).collect();
        kept.versions.retain(|core, _| others.iter().any(|roll| roll.core() == *core));
        for roll in &others {
            let core = roll.core();
            if self.roll.is_heard(core) {
                kept.versions.remove(&core);
            } else if kept.versions.get(&core) == Some(&roll.version) {
                self.roll.read(core, None);
            } else if let Some(users) = self.store.read_roll(core).await? {
                self.roll.read(core, Some(&users));
                kept.versions.insert(core, roll.version);
            }
        }
        if self.delivery.has_bus() && others.is_empty() {
            return Ok(());
        }
        // One that is alone says no more than that it is there.
        let mut here = if others.is_empty() { Vec::new() } else { self.roll.here() };
        here.sort_unstable();
        let users: Bytes = word::ids(here).into();
        let is_new = kept.written.as_ref() != Some(&users);
        let roll = KeepRoll { core: self.roll.id(), users: is_new.then(|| users.to_vec()) };
        self.committer.submit(roll)?.answer().await?;
        kept.written = Some(users);
        Ok(())
    }
}

/// What is known of what cores have written down.
#[derive(Debug, Default)]
struct Kept {
    versions: HashMap<uuid::Uuid, i64>,
    written: Option<Bytes>,
}
