//! A page of a feed on PostgreSQL. Each row tells of the history that it was read in: a server may be another one than for the
//! statement before.

use super::{
    super::is_lost,
    Asked, EndRow, FeedRow, ThreadPlaceRow, Told,
    statement::{all, both, end, feed_of, new, threads},
};
use crate::{
    change::FeedScope,
    store::{engine::read_postgres, message::message_columns, postgres::Pool},
};

macro_rules! told {
    () => {
        concat!(", f.start, ", is_lost!("$1"), " as is_lost")
    };
}
const END: &str = end!("f.last_seq, f.start, ", is_lost!("$1"), " as is_lost");
const NEW: &str = new!(told!(), " join feeds f on f.user_key = $1");
const ALL: &str = all!(told!(), " join feeds f on f.user_key = $1");
const THREADS: &str = threads!(told!(), " join feeds f on f.user_key = $1");

pub(super) async fn read(pool: &Pool, asked: Asked) -> Result<Told, sqlx::Error> {
    let Asked { user, after, scope, limit } = asked;
    let (start, seq, limit) = (after.start, after.seq.cast_signed(), limit as i64);
    // Before the page: whatever has a place up to here is then in the page, or left out of it for good.
    let query = sqlx::query_as(END).bind(user).bind(start).bind(seq);
    let end: Option<EndRow> = read_postgres!(pool, fetch_optional, query)?;
    if end.is_some_and(|end| end.is_lost) {
        return Ok(Told { end, messages: Vec::new(), threads: Vec::new() });
    }
    let messages = match scope {
        FeedScope::Received => NEW,
        FeedScope::Messages | FeedScope::MessagesAndThreads => ALL,
    };
    let query = sqlx::query_as(messages).bind(user).bind(start).bind(seq).bind(limit);
    let messages: Vec<FeedRow> = read_postgres!(pool, fetch_all, query)?;
    let threads: Vec<ThreadPlaceRow> = match scope {
        FeedScope::Received | FeedScope::Messages => Vec::new(),
        FeedScope::MessagesAndThreads => {
            let query = sqlx::query_as(THREADS).bind(user).bind(start).bind(seq).bind(limit);
            read_postgres!(pool, fetch_all, query)?
        }
    };
    Ok(Told { end, messages, threads })
}
