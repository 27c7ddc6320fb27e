//! Part of a feed, from a position on.
//!
//! Messages and states of threads are read one after the other. A page ends where both are known: what is stored between the two
//! reads has a place behind that.

use netrox_proto::{ids::UserId, v1};
use sqlx::FromRow;
use uuid::Uuid;

use self::packed::packed;
use super::is_lost;
use crate::{
    change::FeedScope,
    store::{
        Error, Store,
        engine::{Readers, read, read_postgres},
        history::{Position, Start},
        message::{MessageRow, Participant, message_columns},
        user::UserKey,
    },
};

mod packed;

#[derive(Debug, FromRow)]
struct FeedRow {
    seq: i64,
    first_seq: i64,
    start: Start,
    is_lost: bool,
    #[sqlx(flatten)]
    message: MessageRow,
    peer_id: Uuid,
}

/// A thread whose state has a place.
#[derive(Debug, Clone, Copy, FromRow)]
struct ThreadPlaceRow {
    seq: i64,
    thread_id: i64,
    start: Start,
    is_lost: bool,
}

const END: &str = concat!(
    "select f.last_seq, f.start, ",
    is_lost!("$1"),
    " as is_lost from feeds f where f.user_key = $1"
);

const THREADS: &str = concat!(
    "select s.seq, s.thread_id, f.start, ",
    is_lost!("$1"),
    " as is_lost from thread_states s join feeds f on f.user_key = $1
    where s.user_key = $1 and s.seq > $3 order by s.seq limit cast($4 as bigint)"
);

/// The limit is cast so that SQLite does not compile the statement again for each value of it. Each row tells of the
/// history that it was read in: a server may be another one than for the statement before.
macro_rules! feed_of {
    ($user:literal, $peer:literal, $seq:literal, $first_seq:literal, $condition:literal) => {
        concat!(
            "select m.",
            $seq,
            " as seq, ",
            $first_seq,
            " as first_seq, f.start, ",
            is_lost!("$1"),
            " as is_lost, u.id as peer_id, ",
            message_columns!(),
            " from messages m join users u on u.key = m.",
            $peer,
            " join feeds f on f.user_key = $1",
            " where m.",
            $user,
            " = $1 and m.",
            $seq,
            " > $3",
            $condition,
            " order by m.",
            $seq,
            " limit cast($4 as bigint)"
        )
    };
}
macro_rules! both {
    ($one:expr, $other:expr) => {
        concat!(
            "select * from (",
            $one,
            ") as one union all select * from (",
            $other,
            ") as other order by seq limit cast($4 as bigint)"
        )
    };
}
/// A page of messages, as rows and as one.
struct Statement {
    rows: &'static str,
    packed: &'static str,
}

macro_rules! statement {
    ($rows:expr) => {
        Statement { rows: $rows, packed: packed!($rows) }
    };
}
/// What is new, at its first place: most messages have no other. What was hidden since is not shown any more.
const NEW: Statement = statement!(both!(
    feed_of!(
        "receiver",
        "sender",
        "receiver_seq",
        "m.receiver_seq",
        " and m.receiver_first_seq is null and m.hidden_for_receiver is null"
    ),
    feed_of!(
        "receiver",
        "sender",
        "receiver_first_seq",
        "m.receiver_first_seq",
        " and m.hidden_for_receiver is null"
    )
));
/// What is new or changed, at its latest place.
const ALL: Statement = statement!(both!(
    feed_of!(
        "receiver",
        "sender",
        "receiver_seq",
        "coalesce(m.receiver_first_seq, m.receiver_seq)",
        ""
    ),
    feed_of!("sender", "receiver", "sender_seq", "coalesce(m.sender_first_seq, m.sender_seq)", "")
));

/// Part of a feed, from a position on.
#[derive(Debug)]
pub(crate) struct FeedPage {
    pub(crate) events: Vec<v1::Event>,
    /// The position after the page.
    pub(crate) end: Position,
    /// Whether it reaches the end of the feed.
    pub(crate) is_complete: bool,
}

impl Store {
    /// What came after a position, in order, at most `limit` events; `None` where the position is no part of the history.
    pub(crate) async fn read_feed(
        &self,
        user: UserKey,
        user_id: UserId,
        after: Position,
        scope: FeedScope,
        limit: usize,
    ) -> Result<Option<FeedPage>, Error> {
        let (start, seq) = (after.start, after.seq.cast_signed());
        // Read before the page: whatever has a place up to here is then in the page, or left out
        // of it for good.
        let end: Option<(i64, Start, bool)> =
            read!(self, fetch_optional, sqlx::query_as(END).bind(user).bind(start).bind(seq))?;
        let (last_seq, end_start, is_lost) = end.unwrap_or((0, Start::default(), seq > 0));
        if is_lost {
            return Ok(None);
        }
        let end = Position { start: end_start, seq: last_seq.cast_unsigned() };
        let statement = match scope {
            FeedScope::Received => &NEW,
            FeedScope::Messages | FeedScope::MessagesAndThreads => &ALL,
        };
        let messages = self.read_rows(statement, user, start, seq, limit as i64).await?;
        let threads: Vec<ThreadPlaceRow> = match scope {
            FeedScope::Received | FeedScope::Messages => Vec::new(),
            FeedScope::MessagesAndThreads => read!(
                self,
                fetch_all,
                sqlx::query_as(THREADS).bind(user).bind(start).bind(seq).bind(limit as i64)
            )?,
        };
        if messages.iter().any(|row| row.is_lost) || threads.iter().any(|row| row.is_lost) {
            return Ok(None);
        }
        let known = Known::of(&messages, &threads, end, limit);
        let states = self.states(user, &threads, known).await?;
        let messages = messages.into_iter().filter(|row| row.seq <= known.seq);
        let mut events: Vec<_> = messages.map(|row| row.into_event(user, user_id)).collect();
        events.extend(states);
        events.sort_unstable_by_key(|event| event.seq);
        Ok(Some(FeedPage { events, end: known.end, is_complete: known.is_complete }))
    }

    async fn read_rows(
        &self,
        statement: &Statement,
        user: UserKey,
        start: Start,
        seq: i64,
        limit: i64,
    ) -> Result<Vec<FeedRow>, Error> {
        let rows = match self.readers()? {
            Readers::Sqlite(pool) => {
                packed::read(pool, statement.packed, user, start, seq, limit).await
            }
            Readers::Postgres(pool) => {
                let query = sqlx::query_as(statement.rows);
                let query = query.bind(user).bind(start).bind(seq).bind(limit);
                read_postgres!(pool, fetch_all, query)
            }
        };
        self.known(rows)
    }

    /// The states of threads that have a place up to where the page ends, as they are now.
    async fn states(
        &self,
        user: UserKey,
        threads: &[ThreadPlaceRow],
        known: Known,
    ) -> Result<Vec<v1::Event>, Error> {
        let places: Vec<_> = threads.iter().filter(|row| row.seq <= known.seq).collect();
        let ids: Vec<_> = places.iter().map(|row| row.thread_id).collect();
        let states = self.thread_states(user, &ids).await?;
        let event = |place: &&ThreadPlaceRow| {
            let state = states.iter().find(|state| state.thread_id == place.thread_id)?;
            let change = Some(v1::event::Change::Thread(state.clone().into()));
            Some(v1::Event { seq: place.seq.cast_unsigned(), change, first_seq: 0 })
        };
        Ok(places.iter().filter_map(event).collect())
    }
}

/// How far two reads tell all that there is.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// The last place that may be shown.
    seq: i64,
    /// The position after the page.
    end: Position,
    is_complete: bool,
}

impl Known {
    fn of(messages: &[FeedRow], threads: &[ThreadPlaceRow], end: Position, limit: usize) -> Self {
        let last_message = messages.last().map(|row| (row.seq, row.start));
        let last_thread = threads.last().map(|row| (row.seq, row.start));
        let (is_full, is_full_of_threads) = (messages.len() >= limit, threads.len() >= limit);
        // Threads were read last: what they tell beyond the messages may have messages before it.
        let end_seq = end.seq.cast_signed();
        let mut seq = match last_message {
            Some((seq, _)) if is_full => seq,
            Some((seq, _)) => seq.max(end_seq),
            None => end_seq,
        };
        if let Some((last, _)) = last_thread.filter(|_| is_full_of_threads) {
            seq = seq.min(last);
        }
        let is_complete = !is_full && !is_full_of_threads;
        let shown = |last: Option<(i64, Start)>| last.filter(|(last, _)| *last <= seq);
        let newest = shown(last_message).max(shown(last_thread));
        let end = match newest {
            // The end is of the same history.
            Some((newest, start)) if start == end.start && newest < end_seq && is_complete => end,
            Some(_) if !is_complete => {
                let start = newest.map_or(end.start, |(_, start)| start);
                Position { start, seq: seq.cast_unsigned() }
            }
            Some((newest, start)) => Position { start, seq: newest.cast_unsigned() },
            None if is_complete => end,
            None => Position { start: end.start, seq: seq.cast_unsigned() },
        };
        Self { seq, end, is_complete }
    }
}

impl FeedRow {
    fn into_event(self, user: UserKey, user_id: UserId) -> v1::Event {
        let peer_id = UserId(self.peer_id);
        let (sender, receiver) =
            if self.message.sender == user { (user_id, peer_id) } else { (peer_id, user_id) };
        let viewer =
            if self.message.sender == user { Participant::Sender } else { Participant::Receiver };
        let message = self.message.into_wire(viewer, sender.to_string(), receiver.to_string());
        v1::Event {
            seq: self.seq.cast_unsigned(),
            change: Some(v1::event::Change::Message(message)),
            first_seq: self.first_seq.cast_unsigned(),
        }
    }
}
