//! The history of an SQLite file. Nothing in it tells a copy that was put back from the file as it was left, so that each
//! opening by a core is a start.

use sqlx::{FromRow, SqliteConnection};

use super::{History, Start, margin};
use crate::clock;

const FIRST_AND_LATEST: &str =
    "select coalesce(min(start), 0), coalesce(max(start), 0) from starts";
const AT_OPENING: &str = "\
    select coalesce(min(start), 0), coalesce(max(start), 0),
        coalesce((select max(id) from messages), 0)
    from starts";
const LATEST: &str = "\
    select coalesce(max(start), 0) as latest,
        coalesce((select max(id) from messages), 0) as message_id,
        coalesce((select max(id) from threads), 0) as thread_id,
        coalesce((select created from messages order by id desc limit 1), 0) as newest
    from starts";
const HAS: &str = "select exists (select 1 from starts where start = $1)";
const NOTE: &str = "insert into starts (start, began) values ($1, $2)";

/// What the writer remembers beyond the life of a connection.
#[derive(Debug)]
pub(in crate::store) struct Memory {
    history: History,
    /// Whether the start of this core is noted.
    is_noted: bool,
    /// What begins with the next commit.
    pending: Option<UncommittedStart>,
    /// Whether another history has begun since that was last asked.
    is_another: bool,
    /// Identifiers are given above these.
    message_floor: i64,
    thread_floor: i64,
    /// The greatest that was committed, or was there at the opening.
    stored_message: i64,
}

/// A start that is noted in a transaction which is not committed yet.
#[derive(Debug, Clone, Copy)]
struct UncommittedStart {
    start: Start,
    /// The greatest in use.
    message_id: i64,
    /// Why it begins; none at the opening.
    cause: Option<&'static str>,
}

/// The greatest identifiers in use, or given before the database went back.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Greatest {
    pub(in crate::store) message_id: i64,
    pub(in crate::store) thread_id: i64,
}

#[derive(FromRow)]
struct LatestRow {
    latest: Start,
    message_id: i64,
    thread_id: i64,
    /// When the newest message was stored; 0 before the first.
    newest: i64,
}

impl Memory {
    /// To be called at the opening. Its start is noted with the first transaction, since before that no feed moves in it.
    pub(in crate::store) async fn open(
        connection: &mut SqliteConnection,
    ) -> Result<Self, sqlx::Error> {
        let (first, latest, stored_message): (Start, Start, i64) =
            sqlx::query_as(AT_OPENING).fetch_one(connection).await?;
        let start = Start::draw(latest, clock::now_micros());
        let (first, latest) =
            if first == Start::default() { (start, start) } else { (first, latest) };
        Ok(Self {
            history: History::new(first, latest, None),
            is_noted: false,
            pending: Some(UncommittedStart { start, message_id: 0, cause: None }),
            is_another: false,
            message_floor: 0,
            thread_floor: 0,
            stored_message,
        })
    }

    pub(in crate::store) fn history(&self) -> &History {
        &self.history
    }

    /// Whether no start at all is noted: what callers were told of this history would be unknown to the next.
    pub(in crate::store) fn is_nameless(&self) -> bool {
        !self.is_noted && self.pending.is_some_and(|pending| pending.start == self.history.start())
    }

    /// Whether another history has begun than the one that was opened, since this was last asked.
    pub(in crate::store) fn take_another(&mut self) -> bool {
        std::mem::take(&mut self.is_another)
    }

    /// What feeds move in with the transaction that is under way.
    pub(in crate::store) fn start(&self) -> Start {
        self.pending.map_or_else(|| self.history.start(), |pending| pending.start)
    }

    /// To be called when a transaction is committed, with the greatest identifier of its messages.
    pub(in crate::store) fn committed(&mut self, message_id: Option<i64>) {
        if let Some(UncommittedStart { start, message_id, cause }) = self.pending.take() {
            if let Some(cause) = cause {
                tracing::warn!(
                    epoch = %self.history.epoch(start), above = self.message_floor,
                    "a new history of the database begins, because {cause}: subscriptions whose \
                     position is no part of it end"
                );
                self.is_another = true;
            }
            self.is_noted = true;
            self.stored_message = message_id;
            self.history.enter(start, None);
        }
        self.stored_message = self.stored_message.max(message_id.unwrap_or(0));
    }

    /// To be called in a write transaction, where the connection is new or another one has written. Notes a start where the
    /// file may have gone back.
    pub(in crate::store) async fn look(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<Greatest, sqlx::Error> {
        let found: LatestRow = sqlx::query_as(LATEST).fetch_one(&mut *connection).await?;
        let known = self.history.start();
        let goes_on = self.is_noted
            && self.stored_message <= found.message_id
            && (known == found.latest
                || sqlx::query_scalar(HAS).bind(known).fetch_one(&mut *connection).await?);
        if goes_on {
            self.pending = None;
            if known != found.latest {
                // Not noted here: an operator has renewed it.
                self.begin(found.latest, &found, Some("it was renewed"));
            }
        } else {
            // Drawn before, for a transaction that was not committed.
            let drawn = self.pending.map(|pending| pending.start);
            let start = drawn
                .filter(|start| *start > found.latest)
                .unwrap_or_else(|| Start::draw(found.latest, clock::now_micros()));
            sqlx::query(NOTE).bind(start).bind(clock::now_micros()).execute(connection).await?;
            let is_changed = self.is_noted || !self.is_as_opened(&found, drawn);
            let cause = "it has gone back, was renewed, or rows were taken out";
            self.begin(start, &found, is_changed.then_some(cause));
        }
        Ok(Greatest {
            message_id: found.message_id.max(self.message_floor),
            thread_id: found.thread_id.max(self.thread_floor),
        })
    }

    /// Whether what callers were told before the first transaction goes on: nobody has noted a start but this core, whose
    /// commit may have failed after it, and no message is missing.
    fn is_as_opened(&self, found: &LatestRow, drawn: Option<Start>) -> bool {
        let latest = found.latest;
        let is_latest_known = latest == self.history.start()
            || Some(latest) == drawn
            || (latest == Start::default() && self.is_nameless());
        is_latest_known && self.stored_message <= found.message_id
    }

    fn begin(&mut self, start: Start, found: &LatestRow, cause: Option<&'static str>) {
        // Only a database that is new has given none.
        if found.latest != Start::default() || found.message_id > 0 {
            let newest = if found.newest > 0 { found.newest } else { found.latest.micros() };
            let margin = margin(clock::now_micros() - newest);
            let stored = found.message_id.max(self.stored_message);
            self.message_floor = self.message_floor.max(stored + margin);
            self.thread_floor = self.thread_floor.max(found.thread_id + margin);
        }
        self.pending = Some(UncommittedStart { start, message_id: found.message_id, cause });
    }
}

/// Begins a history of which no position from before is a part. A core that runs finds it within a second.
pub(in crate::store) async fn renew(
    connection: &mut SqliteConnection,
) -> Result<History, sqlx::Error> {
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    let (first, latest): (Start, Start) =
        sqlx::query_as(FIRST_AND_LATEST).fetch_one(&mut *connection).await?;
    let now = clock::now_micros();
    let start = Start::draw(latest, now);
    sqlx::query(NOTE).bind(start).bind(now).execute(&mut *connection).await?;
    for statement in [super::LOSE_ALL, super::ENTER_ALL] {
        sqlx::query(statement).bind(start).execute(&mut *connection).await?;
    }
    sqlx::query("commit").execute(connection).await?;
    let first = if first == Start::default() { start } else { first };
    Ok(History::new(first, start, None))
}
