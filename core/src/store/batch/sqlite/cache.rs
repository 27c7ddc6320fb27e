//! What the writer has read and written, so that a batch need not read users and threads that it knows: SQLite has one
//! writer, who notices where another wrote after all.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use netrox_proto::ids::UserId;
use quick_cache::unsync;

use super::super::{Pair, Rows, ThreadState, UserState};

/// 2 MiB when it is full.
const USERS: usize = 16_384;
/// 3 MiB when it is full.
const THREADS: usize = 32_768;

/// What it holds is what the database holds, the open transaction included: to be thrown away with a transaction that
/// ends in any other way than by a commit.
#[derive(Debug)]
pub(in crate::store) struct Cache {
    /// Of the data (`super::version`).
    version: Option<i64>,
    /// The greatest in use.
    pub(super) message_id: i64,
    pub(super) thread_id: i64,
    users: unsync::Cache<UserId, UserState>,
    threads: unsync::Cache<Pair, ThreadState>,
}

/// Of no version, and nothing in it.
impl Default for Cache {
    fn default() -> Self {
        let (users, threads) = (unsync::Cache::new(USERS), unsync::Cache::new(THREADS));
        Self { version: None, message_id: 0, thread_id: 0, users, threads }
    }
}

impl Cache {
    pub(super) fn new(version: i64, message_id: i64, thread_id: i64) -> Self {
        Self { version: Some(version), message_id, thread_id, ..Self::default() }
    }

    pub(in crate::store) fn is_of(&self, version: i64) -> bool {
        self.version == Some(version)
    }

    /// Those of the users that are known, and the others.
    pub(super) fn users(&self, ids: &[UserId]) -> (HashMap<UserId, UserState>, Vec<UserId>) {
        split(&self.users, ids)
    }

    /// The same of threads.
    pub(super) fn threads(&self, pairs: &[Pair]) -> (HashMap<Pair, ThreadState>, Vec<Pair>) {
        split(&self.threads, pairs)
    }

    pub(super) fn keep_users(&mut self, users: impl IntoIterator<Item = UserState>) {
        for user in users {
            self.users.insert(UserId(user.id), user);
        }
    }

    pub(super) fn keep_threads(&mut self, threads: impl IntoIterator<Item = ThreadState>) {
        for thread in threads {
            self.threads.insert(thread.pair(), thread);
        }
    }

    /// To be called where the directory is changed.
    pub(in crate::store) fn forget_user(&mut self, id: UserId) {
        self.users.remove(&id);
    }

    /// To be called where what a thread notes is changed, and not by a batch.
    pub(in crate::store) fn forget_thread(&mut self, pair: Pair) {
        self.threads.remove(&pair);
    }

    /// What a batch has stored.
    pub(super) fn keep_stored(&mut self, rows: &Rows<'_>) {
        self.keep_users(rows.feeds.iter().copied());
        self.keep_threads(rows.activities.iter().map(|row| row.thread));
        // What the batch looked up is in the database alone.
        let unknown = rows.swallowed.iter().filter(|row| !row.knows_ends);
        let unknown: HashSet<_> = unknown.map(|row| row.thread_id).collect();
        for row in rows.activities.iter().filter(|row| unknown.contains(&row.thread.id)) {
            self.threads.remove(&row.thread.pair());
        }
        if let Some(last) = rows.messages.last() {
            self.message_id = last.id;
        }
        if let Some(last) = rows.threads.last() {
            self.thread_id = last.id;
        }
    }
}

/// Those of the keys that the cache has, and the others.
fn split<K, V>(cache: &unsync::Cache<K, V>, keys: &[K]) -> (HashMap<K, V>, Vec<K>)
where
    K: Copy + Eq + Hash,
    V: Copy,
{
    let mut known = HashMap::with_capacity(keys.len());
    let mut unknown = Vec::new();
    for key in keys {
        match cache.get(key) {
            Some(value) => drop(known.insert(*key, *value)),
            None => unknown.push(*key),
        }
    }
    (known, unknown)
}
