//! The change feed of a user: the messages that have a place in the user's sequence.

use netrox_proto::{ids::UserId, v1};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Readers, read, read_postgres},
    history::{Position, Start},
    message::{MessageRow, message_columns},
    user::UserKey,
};

/// A user, and where the user's feed ends; seq 0 before the first change.
#[derive(Debug, FromRow)]
pub(crate) struct FeedOwner {
    pub(crate) key: UserKey,
    pub(crate) deleted: bool,
    last_seq: i64,
    start: Start,
    /// Whether the position that was asked for is no part of the history.
    pub(crate) is_lost: bool,
}

impl FeedOwner {
    pub(crate) fn end(&self) -> Position {
        Position { start: self.start, seq: self.last_seq.cast_unsigned() }
    }
}

#[derive(Debug, FromRow)]
struct FoundFeed {
    place: i64,
    #[sqlx(flatten)]
    owner: FeedOwner,
}

/// Where a user's feed ends, and whether the user is still there.
#[derive(Debug, FromRow)]
pub(crate) struct FeedEnd {
    pub(crate) id: Uuid,
    pub(crate) deleted: bool,
    last_seq: i64,
    start: Start,
    /// The later starts in which the feed moved, and where it stood when each began, in the same order.
    starts: Vec<Start>,
    stood: Vec<i64>,
}

impl FeedEnd {
    pub(crate) fn position(&self) -> Position {
        Position { start: self.start, seq: self.last_seq.cast_unsigned() }
    }

    #[cfg(test)]
    pub(crate) fn of_test(end: Position, deleted: bool, later: &[(Start, i64)]) -> Self {
        let (starts, stood) = later.iter().copied().unzip();
        let last_seq = end.seq.cast_signed();
        Self { id: Uuid::nil(), deleted, last_seq, start: end.start, starts, stood }
    }

    /// Whether a position, which was reached before this was read, is no part of the history.
    pub(crate) fn has_lost(&self, position: Position) -> bool {
        let beyond = |seq: i64| position.seq.cast_signed() > seq;
        let later = self.starts.iter().zip(&self.stood);
        beyond(self.last_seq)
            || later.into_iter().any(|(start, seq)| *start > position.start && beyond(*seq))
    }
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

/// Whether the position of a user is lost; `f` is the feed or null.
macro_rules! is_lost {
    ($user_key:literal) => {
        is_lost!($user_key, "$2", "$3")
    };
    ($user_key:literal, $start:literal, $seq:literal) => {
        concat!(
            "(",
            $seq,
            " > coalesce(f.last_seq, 0)
            or exists (select 1 from feed_starts b where b.user_key = ",
            $user_key,
            " and b.start > ",
            $start,
            " and b.last_seq < ",
            $seq,
            ")
            or cast(",
            $start,
            " as bigint) <> 0 and not exists (select 1 from starts s where s.start = ",
            $start,
            "))"
        )
    };
}
/// Of many users, each with the position that is asked for; `place` tells which of them a row is for.
macro_rules! find_many {
    ($wanted:literal, $place:literal, $id:literal, $start:literal, $seq:literal) => {
        concat!(
            "select cast(",
            $place,
            " as bigint) as place, u.key, u.deleted, coalesce(f.last_seq, 0) as last_seq,
            coalesce(f.start, 0) as start, ",
            is_lost!("u.key", $start, $seq),
            " as is_lost from ",
            $wanted,
            " join users u on u.id = ",
            $id,
            " left join feeds f on f.user_key = u.key"
        )
    };
}
const SQLITE_FIND_MANY: &str = find_many!(
    "json_each($1) w",
    "w.key",
    "unhex(w.value ->> 0)",
    "(w.value ->> 1)",
    "(w.value ->> 2)"
);
const POSTGRES_FIND_MANY: &str = find_many!(
    "unnest($1::uuid[], $2::bigint[], $3::bigint[]) with ordinality as w (id, start, seq, place)",
    "w.place - 1",
    "w.id",
    "w.start",
    "w.seq"
);
/// Most feeds have not moved in a later start.
const FIND_ENDS: &str = "\
    select u.id, u.deleted, f.last_seq, f.start,
        case when f.start <= w.start then '{}' else array(
            select b.start from feed_starts b where b.user_key = f.user_key and b.start > w.start
            order by b.start) end as starts,
        case when f.start <= w.start then '{}' else array(
            select b.last_seq from feed_starts b where b.user_key = f.user_key and b.start > w.start
            order by b.start) end as stood
    from unnest($1::uuid[], $2::bigint[]) as w (id, start)
    join users u on u.id = w.id join feeds f on f.user_key = u.key";
const KNOWN_STARTS: &str = "select start from starts where start = any($1)";
const END: &str = concat!(
    "select f.last_seq, f.start, ",
    is_lost!("$1"),
    " as is_lost from feeds f where f.user_key = $1"
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
/// What is new, at its first place: most messages have no other.
const NEW: &str = both!(
    feed_of!(
        "receiver",
        "sender",
        "receiver_seq",
        "m.receiver_seq",
        " and m.receiver_first_seq is null"
    ),
    feed_of!("receiver", "sender", "receiver_first_seq", "m.receiver_first_seq", "")
);
/// What is new or changed, at its latest place.
const ALL: &str = both!(
    feed_of!(
        "receiver",
        "sender",
        "receiver_seq",
        "coalesce(m.receiver_first_seq, m.receiver_seq)",
        ""
    ),
    feed_of!("sender", "receiver", "sender_seq", "coalesce(m.sender_first_seq, m.sender_seq)", "")
);

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
    /// Of each user, in their order, with the position that is asked for, if one is. In one statement.
    pub(crate) async fn find_feeds(
        &self,
        wanted: &[(UserId, Position)],
    ) -> Result<Vec<Option<FeedOwner>>, Error> {
        let rows: Result<Vec<FoundFeed>, _> = match self.readers()? {
            Readers::Sqlite(pool) => {
                let wanted = wanted.iter().map(|(user, after)| {
                    (user.0.simple().to_string(), after.start.0, after.seq.cast_signed())
                });
                let wanted: Vec<_> = wanted.collect();
                let json = serde_json::to_string(&wanted).unwrap_or_default();
                sqlx::query_as(SQLITE_FIND_MANY).bind(json).fetch_all(pool).await
            }
            Readers::Postgres(pool) => {
                let ids: Vec<_> = wanted.iter().map(|(user, _)| user.0).collect();
                let starts: Vec<_> = wanted.iter().map(|(_, after)| after.start).collect();
                let seqs: Vec<_> =
                    wanted.iter().map(|(_, after)| after.seq.cast_signed()).collect();
                let query = sqlx::query_as(POSTGRES_FIND_MANY).bind(ids).bind(starts).bind(seqs);
                read_postgres!(pool, fetch_all, query)
            }
        };
        let mut found: Vec<_> = wanted.iter().map(|_| None).collect();
        for FoundFeed { place, owner } in self.known(rows)? {
            let place = usize::try_from(place).ok().and_then(|place| found.get_mut(place));
            if let Some(place) = place {
                *place = Some(owner);
            }
        }
        Ok(found)
    }

    /// The ends of the feeds of some users, as other cores may have moved them, with the starts in which each moved after the
    /// one beside the user. Where there are no other cores, there is nothing to find.
    pub(crate) async fn find_feed_ends(
        &self,
        users: &[(UserId, Start)],
    ) -> Result<Vec<FeedEnd>, Error> {
        let Readers::Postgres(pool) = self.readers()? else { return Ok(Vec::new()) };
        let (ids, starts): (Vec<_>, Vec<_>) =
            users.iter().map(|(user, start)| (user.0, *start)).unzip();
        let query = sqlx::query_as(FIND_ENDS).bind(ids).bind(starts);
        let ends = read_postgres!(pool, fetch_all, query);
        self.known(ends)
    }

    /// Those of the starts that the database has.
    pub(crate) async fn find_starts(&self, starts: &[Start]) -> Result<Vec<Start>, Error> {
        let Readers::Postgres(pool) = self.readers()? else { return Ok(starts.to_vec()) };
        let query = sqlx::query_scalar(KNOWN_STARTS).bind(starts);
        let found = read_postgres!(pool, fetch_all, query);
        self.known(found)
    }

    /// What came after a position, in order, at most `limit` events; `None` where the position is no part of the history.
    pub(crate) async fn read_feed(
        &self,
        user: UserKey,
        user_id: UserId,
        after: Position,
        received_only: bool,
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
        let statement = if received_only { NEW } else { ALL };
        let rows: Vec<FeedRow> = read!(
            self,
            fetch_all,
            sqlx::query_as(statement).bind(user).bind(start).bind(seq).bind(limit as i64)
        )?;
        if rows.iter().any(|row| row.is_lost) {
            return Ok(None);
        }
        let is_complete = rows.len() < limit;
        let end = Position { start: end_start, seq: last_seq.cast_unsigned() };
        let end = match rows.last() {
            None => end,
            Some(newest) => {
                let read = Position { start: newest.start, seq: newest.seq.cast_unsigned() };
                // The end is of the same history.
                let goes_on = is_complete && read.start == end.start && read.seq < end.seq;
                if goes_on { end } else { read }
            }
        };
        let events = rows.into_iter().map(|row| row.into_event(user, user_id)).collect();
        Ok(Some(FeedPage { events, end, is_complete }))
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
            first_seq: self.first_seq.cast_unsigned(),
        }
    }
}
