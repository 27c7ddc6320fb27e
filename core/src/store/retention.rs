//! Removes the oldest messages (`--retain-messages`), some at a time, each time in a transaction of the writer.
//!
//! By their times, not by their ids: an import brings old messages with ids of their own. What is left of the newest of each side of a
//! thread has no content, and nobody is shown it: it tells how far the thread has come, and that its ids were given. All else goes, so
//! too what was left before when there is a newer one.
//!
//! * [`sqlite`], [`postgres`]: the statements of each engine.

use std::collections::BTreeSet;

use sqlx::FromRow;

use super::{
    Error, Store,
    batch::Pair,
    engine::{Connection, Readers, read_postgres},
    history::Start,
    user::UserKey,
};

mod postgres;
mod sqlite;

pub(super) use self::sqlite::enter;

/// When the oldest message was created that was not removed.
const SQLITE_OLDEST: &str = "\
    select created from messages indexed by messages_created where removed is null
    order by created limit 1";
const POSTGRES_OLDEST: &str =
    "select created from messages where removed is null order by created limit 1";

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "m.id, m.thread_id, m.sender, m.receiver, m.created, m.receiver_seq is not null as is_shown,
        m.receiver_seq is null and m.hidden_for_receiver is not null as is_swallowed,
        m.removed is not null as is_left, m.deleted, m.attachment_path"
    };
}
use columns;

/// Threads that do not note all their ends. What an older core wrote, it has not noted there. Where there is none, that is noted as 0,
/// so that nothing is looked up twice.
macro_rules! without_ends {
    ($threads:literal) => {
        concat!(
            "select t.id from threads t where t.id ",
            $threads,
            " and not coalesce(t.last_message_at = t.last_activity
                and t.last_message in (t.low_sent, t.high_sent)
                and t.low_sent + t.low_shown + t.high_sent + t.high_shown >= 0, false)"
        )
    };
}
use without_ends;

/// What becomes of a message of which something is left. A file that was held back is not hidden for its receiver: that would say that
/// it was swallowed.
macro_rules! leave {
    ($update:literal, $condition:literal) => {
        concat!(
            $update,
            " messages set body = '', meta = null, reply_to = null, receiver_sees = null,
            client_ref = null, ref_from_client = null, attachment_path = null,
            attachment_name = null, attachment_size = null, attachment_type = null,
            dispatched = null, deleted = true, hidden_for_sender = true,
            hidden_for_receiver = case when receiver_seq is null then hidden_for_receiver else true end,
            removed = true where id ",
            $condition
        )
    };
}
use leave;

/// Which messages go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    /// Those that were created before, in microseconds since the epoch, by the clock of the core.
    pub(crate) before: i64,
    /// For how long they are kept. What is younger by the clock of the server stays, too: of two clocks that differ one is wrong.
    pub(crate) kept: i64,
    /// Nothing older is left, as far as is known: what is removed stays in indexes of PostgreSQL for a while.
    pub(crate) from: i64,
    /// No more of them at a time.
    pub(crate) most: usize,
}

/// What a step has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) messages: usize,
    pub(crate) files: usize,
    /// There was no more that is due.
    pub(crate) is_last: bool,
    /// Another core is at it: nothing is known.
    pub(crate) waits: bool,
    /// Up to which time nothing is left.
    pub(crate) through: Option<i64>,
    /// Threads that are noted otherwise than before.
    pub(super) changed: Vec<Pair>,
}

/// What a message tells of itself when it goes.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
struct Row {
    id: i64,
    thread_id: i64,
    sender: UserKey,
    receiver: UserKey,
    created: i64,
    is_shown: bool,
    is_swallowed: bool,
    /// Of one that was removed before.
    is_left: bool,
    deleted: bool,
    attachment_path: Option<String>,
}

/// What a thread notes of its newest messages.
#[derive(Debug, Clone, Copy, FromRow)]
struct Ends {
    id: i64,
    low_key: UserKey,
    high_key: UserKey,
    low_sent: Option<i64>,
    low_shown: Option<i64>,
    low_swallowed: Option<i64>,
    high_sent: Option<i64>,
    high_shown: Option<i64>,
    high_swallowed: Option<i64>,
}

impl Ends {
    /// Whether no newer message says what this one does of its thread: that its sender wrote as much, and the other one was shown it.
    /// Where that is not noted, it may be.
    fn need(&self, row: &Row) -> bool {
        let (sent, shown, swallowed) = if row.sender == self.low_key {
            (self.low_sent, self.low_shown, self.low_swallowed)
        } else {
            (self.high_sent, self.high_shown, self.high_swallowed)
        };
        let newest = if row.is_shown {
            shown
        } else if row.is_swallowed {
            sent.max(swallowed)
        } else {
            sent
        };
        newest.is_none_or(|newest| row.id >= newest)
    }
}

/// What becomes of the rows of a step.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sorted {
    /// Of which something is left.
    left: Vec<i64>,
    /// With their threads.
    gone: Vec<(i64, i64)>,
    /// Files of messages that were not deleted, and of those that were.
    files: Vec<String>,
    deleted_files: Vec<String>,
    /// The newest of all with its message.
    newest_file: Option<(i64, String)>,
}

impl Sorted {
    fn of(rows: Vec<Row>, ends: &[Ends]) -> Self {
        let mut sorted = Self::default();
        for row in rows {
            let ends = ends.iter().find(|ends| ends.id == row.thread_id);
            match ends.is_none_or(|ends| ends.need(&row)) {
                true if row.is_left => {}
                true => sorted.left.push(row.id),
                false => sorted.gone.push((row.thread_id, row.id)),
            }
            let Some(path) = row.attachment_path else { continue };
            let newest = Some((row.id, path.clone()));
            if newest > sorted.newest_file {
                sorted.newest_file = newest;
            }
            if row.deleted { &mut sorted.deleted_files } else { &mut sorted.files }.push(path);
        }
        sorted
    }

    fn gone_ids(&self) -> Vec<i64> {
        self.gone.iter().map(|(_, id)| *id).collect()
    }
}

fn threads_of(rows: &[Row]) -> Vec<i64> {
    let threads: BTreeSet<_> = rows.iter().map(|row| row.thread_id).collect();
    threads.into_iter().collect()
}

/// What a step did, which took these rows that were due.
fn removed(due: &[Row], most: usize, sorted: &Sorted, changed: Vec<Pair>) -> Removed {
    let through = due.iter().map(|row| row.created).max();
    let (messages, files) = (due.len(), sorted.files.len());
    Removed { messages, files, is_last: messages < most, waits: false, through, changed }
}

/// Removes some of what is due, in a transaction of the writer. `indexes`: whether there is an index for search that can be
/// written.
pub(super) async fn step(
    connection: &mut Connection,
    due: Due,
    start: Start,
    indexes: bool,
) -> Result<Removed, sqlx::Error> {
    match connection {
        Connection::Sqlite(connection) => sqlite::step(connection, due, start, indexes).await,
        Connection::Postgres(connection) => postgres::step(connection, due, start).await,
    }
}

impl Store {
    /// When the oldest message was created, of those that were not removed.
    pub(crate) async fn oldest_message(&self) -> Result<Option<i64>, Error> {
        let oldest = match self.readers()? {
            Readers::Sqlite(pool) => sqlx::query_scalar(SQLITE_OLDEST).fetch_optional(pool).await,
            Readers::Postgres(pool) => {
                read_postgres!(pool, fetch_optional, sqlx::query_scalar(POSTGRES_OLDEST))
            }
        };
        self.known(oldest)
    }
}

#[cfg(test)]
mod tests;
