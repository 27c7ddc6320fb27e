//! Part of a feed, from a position on.
//!
//! Where messages and states of threads are read one after the other, a page ends where both are known: what is stored between
//! the two reads has a place behind that.
//!
//! * [`statement`]: what is asked for. [`packed`]: how SQLite tells it; [`rows`]: how PostgreSQL does.

use netrox_proto::{ids::UserId, v1};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    change::FeedScope,
    store::{
        Error, Store,
        engine::Readers,
        history::{Position, Start},
        message::{MessageRow, Participant},
        user::UserKey,
    },
};

mod packed;
mod rows;
mod statement;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    user: UserKey,
    after: Position,
    scope: FeedScope,
    limit: usize,
}

/// What is told.
#[derive(Debug)]
struct Told {
    /// `None` where the user has no feed yet.
    end: Option<EndRow>,
    messages: Vec<FeedRow>,
    threads: Vec<ThreadPlaceRow>,
}

/// Where a feed ends.
#[derive(Debug, Clone, Copy, FromRow)]
struct EndRow {
    last_seq: i64,
    start: Start,
    is_lost: bool,
}

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
        let asked = Asked { user, after, scope, limit };
        let told = match self.readers()? {
            Readers::Sqlite(pool) => packed::read(pool, asked).await,
            Readers::Postgres(pool) => rows::read(pool, asked).await,
        };
        let Told { end, messages, threads } = self.known(told)?;
        let nothing =
            EndRow { last_seq: 0, start: Start::default(), is_lost: after.seq.cast_signed() > 0 };
        let EndRow { last_seq, start, is_lost } = end.unwrap_or(nothing);
        let is_lost = is_lost
            || messages.iter().any(|row| row.is_lost)
            || threads.iter().any(|row| row.is_lost);
        if is_lost {
            return Ok(None);
        }
        let end = Position { start, seq: last_seq.cast_unsigned() };
        let known = Known::of(&messages, &threads, end, limit);
        let states = self.states(user, &threads, known).await?;
        let messages = messages.into_iter().filter(|row| row.seq <= known.seq);
        let mut events: Vec<_> = messages.map(|row| row.into_event(user, user_id)).collect();
        events.extend(states);
        events.sort_unstable_by_key(|event| event.seq);
        Ok(Some(FeedPage { events, end: known.end, is_complete: known.is_complete }))
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
            Some(v1::Event { seq: place.seq.cast_unsigned(), change, ..Default::default() })
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
            trace: None,
        }
    }
}
