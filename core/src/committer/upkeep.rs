//! The writes of a batch that nobody sees: notes and counts of files, what goes for its age, and what finds out whether the database
//! takes writes.

use std::collections::HashMap;

use netrox_proto::ids::UserId;
use uuid::Uuid;

use super::{
    answer::{Answers, Written},
    write::{ChatWrite, UpkeepWrite, Verb, Write},
};
use crate::store::{
    self,
    retention::{Due, Removed},
    search::Built,
    writer::WriteTransaction,
};

/// Notes a file before it is begun.
#[derive(Debug)]
pub(crate) struct BeginUpload(pub(crate) String);

/// Forgets a file that was removed.
#[derive(Debug)]
pub(crate) struct EndUpload(pub(crate) String);

/// Sees to it that what the files of a user take is counted, in a batch before that of a file.
#[derive(Debug)]
pub(crate) struct CountFiles(pub(crate) UserId);

/// Indexes some of the messages that are not indexed, at most so many. Refused where that takes too long at the moment.
#[derive(Debug)]
pub(crate) struct IndexMessages(pub(crate) usize);

/// Removes some of the messages that are too old. Refused where that takes too long at the moment.
#[derive(Debug)]
pub(crate) struct RemoveMessages(pub(crate) Due);

impl Verb for RemoveMessages {
    type Answer = Removed;

    fn into_write(self) -> Write {
        Write::Upkeep(UpkeepWrite::RemoveMessages(self.0))
    }
}

impl Verb for IndexMessages {
    type Answer = Built;

    fn into_write(self) -> Write {
        Write::Upkeep(UpkeepWrite::IndexMessages(self.0))
    }
}

/// Stores when users were last seen.
#[derive(Debug)]
pub(crate) struct NoteSeen(pub(crate) Vec<(UserId, i64)>);

/// Writes down who is online with this core, or that it is as it was.
#[derive(Debug)]
pub(crate) struct KeepRoll {
    pub(crate) core: Uuid,
    pub(crate) users: Option<Vec<u8>>,
}

impl Verb for NoteSeen {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Upkeep(UpkeepWrite::NoteSeen(self.0))
    }
}

impl Verb for KeepRoll {
    type Answer = ();

    fn into_write(self) -> Write {
        let Self { core, users } = self;
        Write::Upkeep(UpkeepWrite::KeepRoll { core, users })
    }
}

impl Verb for CountFiles {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Upkeep(UpkeepWrite::CountFiles(self.0))
    }
}

impl Verb for BeginUpload {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Upkeep(UpkeepWrite::BeginUpload(self.0))
    }
}

impl Verb for EndUpload {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Upkeep(UpkeepWrite::EndUpload(self.0))
    }
}

/// Up to which message it is erased what these users have sent.
pub(super) type Erasable = HashMap<UserId, i64>;

pub(super) async fn write(
    transaction: &mut WriteTransaction<'_>,
    writes: &[Write],
    now: i64,
    answers: &mut Answers,
) -> Result<Erasable, store::Error> {
    let mut erasable = Erasable::new();
    for (index, write) in writes.iter().enumerate() {
        let write = match write {
            Write::Upkeep(write) => write,
            // What it erases is decided later, and stored with it.
            Write::Chat(ChatWrite::Erase(erase)) => {
                let through = transaction.go_on_erasing(&erase.step).await?;
                erasable.extend(through.map(|through| (erase.user, through)));
                continue;
            }
            Write::Chat(_) | Write::Directory(_) | Write::Session(_) => continue,
        };
        let mut written = Written::Nothing;
        match write {
            UpkeepWrite::IndexMessages(most) => {
                written = Written::Built(transaction.index_some(*most).await?);
            }
            UpkeepWrite::RemoveMessages(due) => {
                written = Written::Removed(transaction.remove_some(*due).await?);
            }
            UpkeepWrite::BeginUpload(path) => transaction.begin_upload(path).await?,
            UpkeepWrite::EndUpload(path) => transaction.end_upload(path).await?,
            // When the batch asks what the files take.
            UpkeepWrite::CountFiles(_) => {}
            UpkeepWrite::NoteSeen(seen) => transaction.note_seen(seen).await?,
            UpkeepWrite::KeepRoll { core, users } => {
                transaction.keep_roll(*core, users.as_deref()).await?;
            }
            UpkeepWrite::Probe => transaction.probe(now).await?,
            UpkeepWrite::TakeRoom => transaction.take_room().await?,
            UpkeepWrite::GiveRoomBack => transaction.give_room_back().await?,
        }
        answers.set(index, Ok(written));
    }
    Ok(erasable)
}
