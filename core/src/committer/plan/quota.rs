//! Whether a send is within the quotas of its sender.

use std::time::Duration;

use netrox_proto::ids::UserId;

use super::Plan;
use crate::{
    command::NewMessage,
    error::Error,
    quotas::Quotas,
    store::{
        batch::{BatchQuery, UserState},
        quota::{Begun, FirstContacts},
        user::UserKey,
    },
};

/// What the quotas ask of the database: nothing where there are none.
pub(super) fn ask(message: &NewMessage, quotas: &Quotas, now: i64, query: &mut BatchQuery) {
    query.first_contacts = quotas.new_conversations.map(|contacts| FirstContacts {
        since: now.saturating_sub(contacts.period_micros()),
        most: contacts.count,
    });
    if quotas.storage_bytes.is_some() && message.attachment.is_some() {
        query.stored_files_of.push(message.sender);
    }
}

/// What a user's files take, which is counted if it never was.
pub(super) fn ask_files(user: UserId, query: &mut BatchQuery) {
    query.users.push(user);
    query.stored_files_of.push(user);
}

impl Plan<'_> {
    pub(super) fn check_quotas(
        &self,
        sender: UserState,
        receiver: UserState,
        message: &NewMessage,
    ) -> Result<(), Error> {
        if let Some(limit) = self.quotas.new_conversations
            && !self.has_conversation(sender.key, receiver.key)
            && let Some(Begun { count, oldest }) = self.loaded.begun.get(&sender.key)
            && *count >= i64::from(limit.count)
        {
            // The next is allowed when the oldest counts no more.
            let oldest = oldest.unwrap_or(self.now);
            let left = oldest.saturating_add(limit.period_micros()).saturating_sub(self.now);
            let wait = Duration::from_micros(left.max(1).unsigned_abs());
            return Err(Error::ConversationsLimited { wait });
        }
        if let Some(limit) = self.quotas.storage_bytes
            && let Some(file) = &message.attachment
        {
            let used = self.loaded.stored_files.get(&sender.key).copied().unwrap_or_default();
            let needed = used.saturating_add(file.size);
            if file.size > 0 && u64::try_from(needed).is_ok_and(|needed| needed > limit) {
                return Err(Error::StorageExceeded { limit });
            }
        }
        Ok(())
    }

    fn has_conversation(&self, one: UserKey, two: UserKey) -> bool {
        let pair = (one.min(two), one.max(two));
        self.threads.contains_key(&pair) || self.loaded.threads.contains_key(&pair)
    }

    /// Counts a thread that the batch makes.
    pub(super) fn count_conversation(&mut self, user_one: UserKey) {
        if self.quotas.new_conversations.is_some() {
            let begun = self.loaded.begun.entry(user_one);
            let begun = begun.or_insert(Begun { count: 0, oldest: None });
            begun.count += 1;
            begun.oldest.get_or_insert(self.now);
        }
    }

    /// Counts what the batch stores of files, or gives back: the database does so by itself when it is stored.
    pub(super) fn count_file(&mut self, sender: UserKey, bytes: i64) {
        if let Some(used) = self.loaded.stored_files.get_mut(&sender) {
            *used = used.saturating_add(bytes);
        }
    }
}
