//! The change feed of a user: the messages and states of threads that have a place in the user's sequence. [`page`] reads it.

use netrox_proto::ids::UserId;
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Readers, read_postgres},
    history::{Position, Start},
    user::UserKey,
};

mod page;

pub(crate) use self::page::FeedPage;

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
use is_lost;

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
}
