//! A page of the threads of a user, and what is unread in all of them.

use std::collections::HashSet;

use super::{
    Error, Store,
    engine::{Readers, read, read_postgres},
    thread_state::{MOST_UNREAD, counts, own_threads, range, unread},
    user::UserKey,
};

/// What a thread notes of its newest messages counts where it notes the newest of all.
macro_rules! noted {
    () => {
        "t.last_message_at = t.last_activity and t.last_message in (t.low_sent, t.high_sent)"
    };
}
macro_rules! last_noted {
    ($own:literal, $peer:literal) => {
        concat!(
            "select t.id, case when ",
            noted!(),
            " and t.",
            $peer,
            "_sent = t.",
            $peer,
            "_shown then case when ",
            last_noted!(@own $own),
            " > t.",
            $peer,
            "_shown then ",
            last_noted!(@own $own),
            " else t.",
            $peer,
            "_shown end end as noted, case when t.last_message_at = t.last_activity then
                case when t.",
            $own,
            "_swallowed > t.last_message then t.",
            $own,
            "_swallowed else t.last_message end end as bound from threads t where t.",
            $own,
            "_key = $1"
        )
    };
    (@own $own:literal) => {
        concat!(
            "case when t.",
            $own,
            "_swallowed > coalesce(t.",
            $own,
            "_sent, 0) then t.",
            $own,
            "_swallowed else t.",
            $own,
            "_sent end"
        )
    };
}
/// Those with a message that was ever visible to the user, the greatest first. As `last_id!` has it, and evaluated once a
/// thread: a limit keeps a subquery from being merged into the one around it, for each mention.
const LIST_PAGE: &str = concat!(
    "select id, last_id from (
        select t.id, coalesce(t.noted, (select m.id from messages m
            where m.thread_id = t.id and (m.sender = $1 or m.receiver_seq is not null)
                and m.id <= coalesce(t.bound, 9223372036854775807)
            order by m.id desc limit 1), 0) as last_id
        from (",
    last_noted!("low", "high"),
    " union all ",
    last_noted!("high", "low"),
    " limit 9223372036854775807) t limit 9223372036854775807
    ) listed where last_id > 0 and last_id < $2
    order by last_id desc limit cast($3 as bigint)"
);
macro_rules! maybe_unread {
    ($aggregate:literal) => {
        concat!(
            "select ",
            $aggregate,
            " from (",
            maybe_unread!(of "low", "high"),
            " union all ",
            maybe_unread!(of "high", "low"),
            " limit cast($2 as bigint)) t"
        )
    };
    (of $own:literal, $peer:literal) => {
        concat!(
            "select t.id from threads t
            left join thread_states s on s.user_key = $1 and s.thread_id = t.id
            where t.",
            $own,
            "_key = $1 and coalesce(case when ",
            noted!(),
            " then t.",
            $peer,
            "_sent > coalesce(s.seen_id, 0) end, true) and not exists (select 1 from blocks b
                where b.blocker = $1 and b.blocked = t.",
            $peer,
            "_key)"
        )
    };
}
const SQLITE_MAYBE_UNREAD: &str = maybe_unread!("json_group_array(t.id)");
const POSTGRES_MAYBE_UNREAD: &str = maybe_unread!("coalesce(array_agg(t.id), '{}')");
macro_rules! count_unread {
    ($engine:ident, $condition:literal) => {
        concat!(
            "select cast(coalesce(sum(",
            unread!($engine),
            "), 0) as bigint) from ",
            own_threads!($condition),
            " t left join thread_states s on s.user_key = $1 and s.thread_id = t.id"
        )
    };
}
const SQLITE_COUNT_UNREAD: &str =
    count_unread!(sqlite, " and id in (select value from json_each($2))");
const POSTGRES_COUNT_UNREAD: &str = count_unread!(postgres, " and id = any($2)");
/// How many threads are counted at a time: few at first, since they may tell all.
const COUNTED_FIRST: usize = 8;
const COUNTED_AT_MOST: usize = 128;

impl Store {
    /// The threads of a user whose last visible message is before another, with it, the latest first.
    pub(crate) async fn list_thread_page(
        &self,
        user: UserKey,
        before: i64,
        limit: usize,
    ) -> Result<Vec<(i64, i64)>, Error> {
        read!(self, fetch_all, sqlx::query_as(LIST_PAGE).bind(user).bind(before).bind(limit as i64))
    }

    /// What is unread in all threads of a user, [`MOST_UNREAD`] at most. The first threads that may have anything may tell all.
    pub(crate) async fn unread_total(&self, user: UserKey) -> Result<i64, Error> {
        let mut counted = HashSet::new();
        let mut total = 0;
        for limit in [MOST_UNREAD, i64::MAX] {
            let mut ids = self.maybe_unread(user, limit).await?;
            let is_all = ids.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            ids.retain(|id| counted.insert(*id));
            let (mut rest, mut step) = (&ids[..], COUNTED_FIRST);
            while !rest.is_empty() && total < MOST_UNREAD {
                let (some, others) = rest.split_at(step.min(rest.len()));
                total += self.count_unread(user, some).await?;
                (rest, step) = (others, COUNTED_AT_MOST.min(2 * step));
            }
            if is_all || total >= MOST_UNREAD {
                break;
            }
        }
        Ok(total.min(MOST_UNREAD))
    }

    async fn maybe_unread(&self, user: UserKey, limit: i64) -> Result<Vec<i64>, Error> {
        let ids = match self.readers()? {
            Readers::Sqlite(pool) => {
                let query = sqlx::query_scalar(SQLITE_MAYBE_UNREAD).bind(user).bind(limit);
                query.fetch_one(pool).await.and_then(|ids: String| {
                    serde_json::from_str(&ids).map_err(|error| sqlx::Error::Decode(error.into()))
                })
            }
            Readers::Postgres(pool) => {
                let query = sqlx::query_scalar(POSTGRES_MAYBE_UNREAD).bind(user).bind(limit);
                read_postgres!(pool, fetch_one, query)
            }
        };
        self.known(ids)
    }

    async fn count_unread(&self, user: UserKey, ids: &[i64]) -> Result<i64, Error> {
        let counted = match self.readers()? {
            Readers::Sqlite(pool) => {
                let ids = serde_json::json!(ids).to_string();
                let query = sqlx::query_scalar(SQLITE_COUNT_UNREAD).bind(user).bind(ids);
                query.fetch_one(pool).await
            }
            Readers::Postgres(pool) => {
                let query = sqlx::query_scalar(POSTGRES_COUNT_UNREAD).bind(user).bind(ids);
                read_postgres!(pool, fetch_one, query)
            }
        };
        self.known(counted)
    }
}
