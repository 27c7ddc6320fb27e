//! The change feed of a user: the messages that have a place in the user's sequence.

use netrox_proto::{ids::UserId, v1};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Readers, read, read_postgres},
    message::{MessageRow, message_columns},
    user::UserKey,
};

/// A user, and the last place in the user's sequence; 0 before the first.
#[derive(Debug, FromRow)]
pub(crate) struct FeedOwner {
    pub(crate) key: UserKey,
    pub(crate) deleted: bool,
    pub(crate) last_seq: i64,
}

/// Where a user's feed ends, and whether the user is still there.
#[derive(Debug, FromRow)]
pub(crate) struct FeedEnd {
    pub(crate) id: Uuid,
    pub(crate) deleted: bool,
    pub(crate) last_seq: i64,
}

#[derive(Debug, FromRow)]
struct FeedRow {
    seq: i64,
    #[sqlx(flatten)]
    message: MessageRow,
    peer_id: Uuid,
}

/// The limit is cast so that SQLite does not compile the statement again for each value of it.
macro_rules! feed_of {
    ($user:literal, $user_seq:literal, $peer:literal) => {
        concat!(
            "select m.",
            $user_seq,
            " as seq, u.id as peer_id, ",
            message_columns!(),
            " from messages m join users u on u.key = m.",
            $peer,
            " where m.",
            $user,
            " = $1 and m.",
            $user_seq,
            " > $2",
            " order by m.",
            $user_seq,
            " limit cast($3 as bigint)"
        )
    };
}
const FIND: &str = "\
    select u.key, u.deleted, coalesce(f.last_seq, 0) as last_seq
    from users u left join feeds f on f.user_key = u.key where u.id = $1";
const FIND_ENDS: &str = "\
    select u.id, u.deleted, f.last_seq
    from users u join feeds f on f.user_key = u.key where u.id = any($1)";
const LAST_SEQ: &str = "select last_seq from feeds where user_key = $1";
const RECEIVED: &str = feed_of!("receiver", "receiver_seq", "sender");
const ALL: &str = concat!(
    "select * from (",
    feed_of!("receiver", "receiver_seq", "sender"),
    ") as received",
    " union all select * from (",
    feed_of!("sender", "sender_seq", "receiver"),
    ") as sent",
    " order by seq limit cast($3 as bigint)"
);

/// Part of a feed, from a position on.
#[derive(Debug)]
pub(crate) struct FeedPage {
    pub(crate) events: Vec<v1::Event>,
    /// The position after the page.
    pub(crate) last_seq: u64,
    /// Whether it reaches the end of the feed.
    pub(crate) complete: bool,
}

impl Store {
    pub(crate) async fn find_feed(&self, user: UserId) -> Result<Option<FeedOwner>, Error> {
        read!(self, fetch_optional, sqlx::query_as(FIND).bind(user.0))
    }

    /// The ends of the feeds of some users, as other cores may have moved them. Where there are no other
    /// cores, there is nothing to find.
    pub(crate) async fn find_feed_ends(&self, users: &[UserId]) -> Result<Vec<FeedEnd>, Error> {
        let Readers::Postgres(pool) = &self.readers else { return Ok(Vec::new()) };
        let ids: Vec<_> = users.iter().map(|user| user.0).collect();
        let ends = read_postgres!(pool, fetch_all, sqlx::query_as(FIND_ENDS).bind(ids));
        ends.map_err(|error| self.failure(error))
    }

    /// The user's last place in the sequence; 0 before the first.
    async fn last_seq(&self, user: UserKey) -> Result<u64, Error> {
        let last: Option<i64> =
            read!(self, fetch_optional, sqlx::query_scalar(LAST_SEQ).bind(user))?;
        Ok(last.unwrap_or(0).cast_unsigned())
    }

    /// What came after a position, in order, at most `limit` events.
    pub(crate) async fn read_feed(
        &self,
        user: UserKey,
        user_id: UserId,
        after: u64,
        received_only: bool,
        limit: usize,
    ) -> Result<FeedPage, Error> {
        // Read before the page: whatever has a place up to here is then in the page, or left out
        // of it for good.
        let end = self.last_seq(user).await?;
        let statement = if received_only { RECEIVED } else { ALL };
        let rows: Vec<FeedRow> = read!(
            self,
            fetch_all,
            sqlx::query_as(statement).bind(user).bind(after.cast_signed()).bind(limit as i64)
        )?;
        let complete = rows.len() < limit;
        let newest = rows.last().map_or(after, |row| row.seq.cast_unsigned());
        let last_seq = if complete { newest.max(end) } else { newest };
        let events = rows.into_iter().map(|row| row.into_event(user, user_id)).collect();
        Ok(FeedPage { events, last_seq, complete })
    }
}

impl FeedRow {
    fn into_event(self, user: UserKey, user_id: UserId) -> v1::Event {
        let peer_id = UserId(self.peer_id);
        let (sender, receiver) =
            if self.message.sender == user { (user_id, peer_id) } else { (peer_id, user_id) };
        let message = self.message.into_wire(sender.to_string(), receiver.to_string());
        v1::Event {
            seq: self.seq.cast_unsigned(),
            change: Some(v1::event::Change::Message(message)),
            first_seq: 0,
        }
    }
}
