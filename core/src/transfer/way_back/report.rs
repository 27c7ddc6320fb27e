//! What there is to say of a way back.

use serde::Serialize;

use crate::original::BadRow;

/// More are counted alone.
const MAX_TOLD: usize = 100;

/// What was written, and what was not.
#[derive(Debug, Default, Serialize)]
pub struct WayBack {
    pub format: u32,
    pub of: &'static str,
    pub program: String,
    /// Just before that instant: all that was committed until then is there.
    pub as_of: String,
    pub database_id: String,
    pub epoch: Option<String>,
    /// Rows that the original lacks.
    pub users: u64,
    pub threads: u64,
    pub messages: u64,
    /// Rows of messages that were seen, edited or deleted since.
    pub changed_messages: u64,
    /// Messages that are not written, since the original has another message of their id.
    pub other_messages: CountedIds,
    /// Those whose text the original has changed: what is here is older, and is not written.
    pub newer_messages: CountedIds,
    /// Among `messages` those whose ids are not above the newest that the original has: it has had them, and has them no more.
    pub deleted_there: CountedIds,
    /// The greatest id of a message that is written: the column has to have room for it.
    pub newest_message: i64,
    pub files: u64,
    /// That messages refer to, and that were not there.
    pub missing_files: Vec<String>,
    /// Of messages that were deleted since: they are still below the original's `MEDIA_ROOT`.
    pub erased_files: Vec<String>,
    pub left_out: LeftOut,
    /// Rows of the original that are not understood. They are left as they are.
    pub unread: u64,
    /// Messages that the original has alone.
    pub only_in_original: u64,
    /// What of it is told by name.
    #[serde(skip)]
    pub told: Vec<String>,
}

/// Messages, of which the first are named.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CountedIds {
    pub count: u64,
    pub first_ids: Vec<i64>,
}

impl CountedIds {
    pub(super) fn note(&mut self, id: i64) {
        self.count += 1;
        if self.first_ids.len() < MAX_TOLD {
            self.first_ids.push(id);
        }
    }
}

/// What the original has no place for, or what is not written over what it has.
#[derive(Debug, Default, Serialize)]
pub struct LeftOut {
    /// Users whose email or profile is another one here.
    pub changed_users: u64,
    /// Users who were deleted here, and whom the original has.
    pub deleted_users: u64,
    /// Users whom the original has no id for, and what belongs to them.
    pub users_without_id: u64,
    pub messages_of_them: u64,
    /// New users without an email: they have one that leads nowhere.
    pub users_without_email: u64,
    /// New users with a profile, where no user of the original has one.
    pub profiles: u64,
    /// Messages that one of the two has deleted for themselves: both see them again.
    pub hidden_messages: u64,
    /// Messages to who has blocked their sender: they are not written.
    pub swallowed_messages: u64,
    /// Messages that retention has removed: the original keeps what it has of them.
    pub removed_messages: u64,
    /// Edits that a receiver is not shown: what it said before is written.
    pub held_edits: u64,
    /// Of messages that are written.
    pub replies: u64,
    pub meta: u64,
    pub blocks: u64,
    pub revocations: u64,
}

impl WayBack {
    pub(super) fn note_unread(&mut self, row: &BadRow) {
        let BadRow { kind, id, reason } = row;
        if self.told.len() < MAX_TOLD {
            self.told.push(format!("{kind} {id} of the original: {reason}"));
        }
        self.unread += 1;
    }
}
