//! What a user may still store, asked before their file is received. The committer decides (`committer::plan`): this spares what
//! would be received for nothing.

use netrox_proto::request_id::RequestId;

use super::{Attachments, received::Start};
use crate::{clock, committer::CountFiles, error::Error};

/// For how long a form may be one that was stored before, in microseconds (PROTOCOL section 2).
const SAME_FORM_FOR: i64 = 600 * 1_000_000;

/// Bytes that may be received; absent for as many as a file may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    left: Option<u64>,
    limit: u64,
}

impl Room {
    const ENDLESS: Self = Self { left: None, limit: u64::MAX };

    /// Whether a file may have so many bytes.
    pub(super) fn check(
        self,
        service: &Attachments,
        start: &Start,
        bytes: u64,
    ) -> Result<(), Error> {
        if self.left.is_none_or(|left| bytes <= left) {
            return Ok(());
        }
        let error = Error::StorageExceeded { limit: self.limit };
        service.teller.tell(start.sender, &error, RequestId::current().as_ref());
        Err(error)
    }
}

impl Attachments {
    /// What the sender of an upload may store, where it has room for what is announced.
    pub(super) async fn room(&self, start: &Start) -> Result<Room, Error> {
        let Some(limit) = self.quotas.storage_bytes else { return Ok(Room::ENDLESS) };
        let mut used = self.store.used_storage(start.sender).await?;
        // Once for each user, whether there is room or not, and not in the batch of others' files.
        if !used.is_counted && used.newest.is_some() {
            self.committer.submit(CountFiles(start.sender))?.answer().await?;
            used = self.store.used_storage(start.sender).await?;
        }
        // It may be the form of that file, sent again by a library, which is told what became of the first.
        let is_recent = |newest| clock::now_micros().saturating_sub(newest) <= SAME_FORM_FOR;
        if start.reference.is_none() && used.newest.is_some_and(is_recent) {
            return Ok(Room::ENDLESS);
        }
        let left = limit.saturating_sub(u64::try_from(used.bytes).unwrap_or_default());
        let room = Room { left: Some(left), limit };
        room.check(self, start, start.min_size)?;
        Ok(room)
    }
}
