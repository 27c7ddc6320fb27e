//! Who is online, shared by the database: each core writes it down, and reads what others do that it does not hear.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{BEAT, LAST_TIME, Presence, word};
use crate::{committer::KeepRoll, error::Error, store::presence::RollRow};

/// How soon it is looked again where others are about to write.
const SOON: Duration = Duration::from_secs(1);
/// How often so at first, and once the bus is lost: each has to see the others before it writes for them.
const LOOKS_IN_A_HURRY: usize = 3;

/// How often it is written as a whole, though it has not changed.
const WRITTEN_ANEW: Duration = Duration::from_secs(600);

/// For whom a core writes down who is online with it. It is told by as many bytes behind the users, which cores of before neither
/// write nor read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It has no bus: others have to write, too.
    Itself = 0,
    /// It has one, and writes for those that have none.
    Others = 1,
    /// It has none, and has found no other: it says no more than that it is there.
    Nobody = 2,
}

impl Purpose {
    fn is_of(self, rest: usize) -> bool {
        rest == self as usize
    }

    /// Users of 16 bytes each, and what is behind them.
    fn written(self, mut users: Vec<u8>) -> Bytes {
        users.resize(users.len() + self as usize, 0);
        users.into()
    }
}

impl Presence {
    /// Shares who is online by the database where there is no bus, or some core has none, until `stop`.
    pub(crate) async fn share_by_database(self, stop: CancellationToken) {
        let mut kept = Kept::default();
        let sharing = async {
            // By then the bus is connected, if it is there.
            sleep(SOON).await;
            let mut hurries = LOOKS_IN_A_HURRY;
            loop {
                let begun = Instant::now();
                let is_soon = match self.share(&mut kept).await {
                    Ok(is_soon) => {
                        self.roll.awaits_another.send_replace(is_soon);
                        is_soon
                    }
                    Err(error) => {
                        tracing::debug!(%error, "who is online cannot be shared by the database");
                        false
                    }
                };
                let pause = if is_soon || hurries > 0 { SOON } else { BEAT };
                hurries = hurries.saturating_sub(1);
                if timeout(pause, self.roll.unshared.notified()).await.is_ok() {
                    hurries = LOOKS_IN_A_HURRY;
                    // However often the bus is lost.
                    sleep_until(begun + SOON).await;
                }
            }
        };
        stop.run_until_cancelled(sharing).await;
        if kept.written.is_some_and(|written| word::users(&written).next().is_some()) {
            // Nobody is online with it any more. Whoever does not read that waits for its lease.
            let users = Some(Purpose::Others.written(Vec::new()).to_vec());
            if let Ok(pending) = self.committer.submit(KeepRoll { core: self.roll.id(), users }) {
                let _ = timeout(LAST_TIME, pending.answer()).await;
            }
        }
    }

    /// Gives whether another core is about to write.
    async fn share(&self, kept: &mut Kept) -> Result<bool, Error> {
        let rolls = self.store.list_rolls().await?;
        let others: Vec<_> =
            rolls.into_iter().filter(|roll| roll.core() != self.roll.id()).collect();
        kept.versions.retain(|core, _| others.iter().any(|roll| roll.core() == *core));
        let mut is_soon = false;
        for roll in &others {
            is_soon |= self.take_in_roll(roll, kept).await?;
        }
        let is_for = |purpose: Purpose| move |roll: &RollRow| purpose.is_of(roll.rest());
        let has_bus = self.delivery.has_bus();
        if has_bus && others.iter().all(is_for(Purpose::Others)) {
            // Others may forget it meanwhile.
            kept.written = None;
            return Ok(is_soon);
        }
        let purpose = match (has_bus, others.is_empty()) {
            (true, _) => Purpose::Others,
            (false, false) => Purpose::Itself,
            (false, true) => Purpose::Nobody,
        };
        let mut here = if purpose == Purpose::Nobody { Vec::new() } else { self.roll.here() };
        here.sort_unstable();
        let users = purpose.written(word::ids(here));
        // A row that was not renewed for an hour is gone.
        let is_old = kept.written_at.is_none_or(|at| at.elapsed() >= WRITTEN_ANEW);
        let is_new = is_old || kept.written.as_ref() != Some(&users);
        let roll = KeepRoll { core: self.roll.id(), users: is_new.then(|| users.to_vec()) };
        self.committer.submit(roll)?.answer().await?;
        kept.written = Some(users);
        if is_new {
            kept.written_at = Some(Instant::now());
        }
        Ok(is_soon)
    }

    /// Reads what another core has written down, unless it is heard. Gives whether it is about to write more.
    async fn take_in_roll(&self, roll: &RollRow, kept: &mut Kept) -> Result<bool, Error> {
        let (core, age) = (roll.core(), roll.age());
        if self.roll.is_heard(core) {
            kept.versions.remove(&core);
            return Ok(false);
        }
        if kept.versions.get(&core) == Some(&roll.version) {
            self.roll.read(core, None, age);
            return Ok(false);
        }
        let Some(users) = self.store.read_roll(core).await? else { return Ok(false) };
        // Whoever is alone tells nobody's leave.
        let is_alone = Purpose::Nobody.is_of(users.len() % word::ID_BYTES);
        self.roll.read(core, Some(&users).filter(|_| !is_alone).map(Vec::as_slice), age);
        if !is_alone {
            kept.versions.insert(core, roll.version);
        }
        Ok(is_alone)
    }
}

/// What is known of what cores have written down.
#[derive(Debug, Default)]
struct Kept {
    versions: HashMap<uuid::Uuid, i64>,
    written: Option<Bytes>,
    /// When it was written as a whole.
    written_at: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use netrox_proto::ids::UserId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn for_whom_it_is_written_is_told_and_the_users_are_as_they_were() {
        let all: Vec<_> = (0..3).map(|number| UserId(Uuid::from_u128(number))).collect();
        let purposes = [Purpose::Itself, Purpose::Others, Purpose::Nobody];
        for purpose in purposes {
            let written = purpose.written(word::ids(all.clone()));
            assert_eq!(word::users(&written).collect::<Vec<_>>(), all);
            let told = |other: &Purpose| other.is_of(written.len() % word::ID_BYTES);
            assert_eq!(purposes.iter().filter(|other| told(other)).count(), 1);
            assert!(purpose.is_of(written.len() % word::ID_BYTES));
        }
    }
}
