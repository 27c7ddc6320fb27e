//! What one user is to see of a thread: who got how far, and how much is unread (PROTOCOL-2 section 2).
//!
//! Nothing of it is counted on the way of a message. A thread notes the newest message of each side. Where that says that
//! nothing can be unread, nothing is counted. Elsewhere the messages above the mark are, up to [`MOST_UNREAD`]: turn by turn,
//! so that what the user wrote meanwhile, however much, is passed over.
//!
//! What was swallowed is passed over where it is behind all that was not. Known weakness: after a block, a long run of it before a
//! newer message is read through until the user has seen that message. So too by a page of the history that begins in the run,
//! and on PostgreSQL behind 1,200 messages that are not seen, of which few count.

use netrox_proto::{ids::UserId, v1};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Readers, read_postgres},
    user::UserKey,
};

/// How many states one statement reads: each may have to count.
const STATES_AT_A_TIME: usize = 16;
/// Beyond it nobody counts (PROTOCOL-2 section 2).
pub(crate) const MOST_UNREAD: i64 = 1_000;

/// Threads `t` of a user $1, with what is the user's and what is the peer's: of the user's also what the peer does not see. What
/// an older core wrote is not noted: null.
macro_rules! own_threads {
    ($condition:literal) => {
        concat!(
            "(select id, peer_key, own_sent, peer_sent, peer_shown,
                case when own_sent > peer_shown then own_sent else peer_shown end as noted_last_id
            from (
                select id, high_key as peer_key,
                    case when last_message_at = last_activity
                        and last_message in (low_sent, high_sent) then
                            case when low_swallowed > coalesce(low_sent, 0) then low_swallowed
                                else low_sent end
                        end as own_sent,
                    case when last_message_at = last_activity
                        and last_message in (low_sent, high_sent) then high_sent end as peer_sent,
                    case when last_message_at = last_activity
                        and last_message in (low_sent, high_sent) then high_shown end as peer_shown
                from threads where low_key = $1",
            $condition,
            " union all
                select id, low_key, case when last_message_at = last_activity
                        and last_message in (low_sent, high_sent) then
                            case when high_swallowed > coalesce(high_sent, 0) then high_swallowed
                                else high_sent end
                        end,
                    case when last_message_at = last_activity
                        and last_message in (low_sent, high_sent) then low_sent end,
                    case when last_message_at = last_activity
                        and last_message in (low_sent, high_sent) then low_shown end
                from threads where high_key = $1",
            $condition,
            ") as sides)"
        )
    };
}
pub(super) use own_threads;

/// The greatest id in `t` that was ever visible to the user. A file that an older core dispatched is not noted as shown: what is
/// shown counts only where all is. Above the newest that is noted there is only what the peer sent and the user never sees.
macro_rules! last_id {
    () => {
        "coalesce(case when t.peer_sent = t.peer_shown then t.noted_last_id end,
            (select m.id from messages m
            where m.thread_id = t.id and (m.sender = $1 or m.receiver_seq is not null)
                and m.id <= coalesce(case when t.own_sent > t.peer_sent then t.own_sent else t.peer_sent end,
                    9223372036854775807)
            order by m.id desc limit 1), 0)"
    };
}

/// Whether a message `m` to the user is one to count.
macro_rules! counts {
    () => {
        "m.sender = t.peer_key and not m.deleted and m.hidden_for_receiver is null
            and m.receiver_seq is not null"
    };
}
pub(super) use counts;

/// Messages `m` of a thread, in their order, from one on or after it. Where it knows of few threads, PostgreSQL would rather look
/// through those of all in the order of their ids; a range of both has one index. SQLite
/// stops at the newest of the peer that was not swallowed.
macro_rules! range {
    (sqlite, $from:literal, $id:literal) => {
        concat!(
            "m.thread_id = t.id and m.id ",
            $from,
            " ",
            $id,
            " and m.id <= coalesce(t.peer_sent, 9223372036854775807)"
        )
    };
    (postgres, $from:literal, $id:literal) => {
        concat!("(m.thread_id, m.id) ", $from, " (t.id, ", $id, ") and m.thread_id <= t.id")
    };
}
pub(super) use range;

/// Messages of the peer above the mark `s`, in `t`. Mostly the first that follow it tell all: they are read one by one. Behind
/// them a step goes from one turn to the next: `start` is where the next begins. After so many turns, which nobody noted perhaps,
/// the rest is read one by one. SQLite has to be told by which index turns are found.
macro_rules! unread {
    (sqlite) => {
        unread!(@ sqlite, "messages n indexed by messages_turns")
    };
    (postgres) => {
        unread!(@ postgres, "messages n")
    };
    (@ $engine:ident, $turns:literal) => {
        concat!(
            "case when t.peer_sent <= coalesce(s.seen_id, 0) then 0 else (
            with recursive near (passed, counted, last_id) as (
                select count(*), coalesce(sum(first.counts), 0), max(first.id) from (
                    select m.id, case when ",
            counts!(),
            " then 1 else 0 end as counts from messages m where ",
            range!($engine, ">", "coalesce(s.seen_id, 0)"),
            " order by m.thread_id, m.id limit 1200) as first),
            turn (step, start, counted) as (
                select 0, case when near.passed < 1200 or near.counted >= 1000
                            or near.last_id >= t.peer_sent then null
                        else (select min(m.id) from messages m
                            where m.thread_id = t.id and m.id > near.last_id) end,
                    cast(near.counted as bigint)
                from near
                union all
                select turn.step + 1, (select min(n.id) from ",
            $turns,
            " where n.thread_id = t.id and n.id > turn.start and n.continues is null),
                    turn.counted + case when (select m.sender from messages m
                            where m.thread_id = t.id and m.id = turn.start) = t.peer_key
                        then (select count(*) from (
                            select 1 from messages m where ",
            range!($engine, ">=", "turn.start"),
            " and m.id < coalesce((select min(n.id) from ",
            $turns,
            " where n.thread_id = t.id and n.id > turn.start
                                        and n.continues is null), 9223372036854775807)
                                and ",
            counts!(),
            " order by m.thread_id, m.id limit 1000) as of_turn)
                        else 0 end
                from turn
                where turn.start is not null and turn.counted < 1000 and turn.step < 500
                    and turn.start <= coalesce(t.peer_sent, 9223372036854775807))
            select case when whole > 1000 then 1000 else whole end from (
                select last.counted + case when last.start is null or last.counted >= 1000
                        or last.start > t.peer_sent then 0
                    else (select count(*) from (
                        select 1 from messages m where ",
            range!($engine, ">=", "last.start"),
            " and ",
            counts!(),
            " order by m.thread_id, m.id limit 1000) as rest) end as whole
                from (select turn.start, turn.counted from turn
                    order by turn.step desc limit 1) as last) as counting) end"
        )
    };
}
pub(super) use unread;

macro_rules! states {
    ($engine:ident, $threads:expr) => {
        concat!(
            "select t.id as thread_id, u.id as peer_id, ",
            last_id!(),
            " as last_id, cast(",
            unread!($engine),
            " as bigint) as unread, coalesce(s.seen_id, 0) as seen_id,
            coalesce(s.delivered_id, 0) as delivered_id, coalesce(p.shown_seen_id, p.seen_id, 0) as peer_seen_id,
            coalesce(p.shown_delivered_id, p.delivered_id, 0) as peer_delivered_id,
            exists (select 1 from blocks b where b.blocker = $1 and b.blocked = t.peer_key) as blocked,
            coalesce((select f.last_seq from feeds f where f.user_key = $1), 0) as rev
            from ",
            $threads,
            " t join users u on u.key = t.peer_key
            left join thread_states s on s.user_key = $1 and s.thread_id = t.id
            left join thread_states p on p.user_key = t.peer_key and p.thread_id = t.id"
        )
    };
}
const SQLITE_STATES: &str =
    states!(sqlite, own_threads!(" and id in (select value from json_each($2))"));
const POSTGRES_STATES: &str = states!(postgres, own_threads!(" and id = any($2)"));
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ThreadStateRow {
    pub(crate) thread_id: i64,
    peer_id: Uuid,
    pub(crate) last_id: i64,
    unread: i64,
    pub(crate) seen_id: i64,
    delivered_id: i64,
    pub(crate) peer_seen_id: i64,
    peer_delivered_id: i64,
    blocked: bool,
    rev: i64,
}

impl From<ThreadStateRow> for v1::ThreadState {
    fn from(row: ThreadStateRow) -> Self {
        Self {
            thread_id: row.thread_id,
            peer_id: UserId(row.peer_id).to_string(),
            last_id: row.last_id,
            unread: i32::try_from(row.unread).unwrap_or(i32::MAX),
            seen_id: row.seen_id,
            delivered_id: row.delivered_id,
            // A mark may be on what the user never saw.
            peer_seen_id: row.peer_seen_id.min(row.last_id),
            peer_delivered_id: row.peer_delivered_id.min(row.last_id),
            blocked: row.blocked,
            rev: row.rev.cast_unsigned(),
        }
    }
}

impl Store {
    /// The states of some threads of a user, in no order, each as it is at one instant.
    pub(crate) async fn thread_states(
        &self,
        user: UserKey,
        ids: &[i64],
    ) -> Result<Vec<ThreadStateRow>, Error> {
        let mut states = Vec::with_capacity(ids.len());
        for ids in ids.chunks(STATES_AT_A_TIME) {
            states.extend(self.read_states(user, ids).await?);
        }
        Ok(states)
    }

    async fn read_states(&self, user: UserKey, ids: &[i64]) -> Result<Vec<ThreadStateRow>, Error> {
        let rows = match self.readers()? {
            Readers::Sqlite(pool) => {
                let ids = serde_json::json!(ids).to_string();
                sqlx::query_as(SQLITE_STATES).bind(user).bind(ids).fetch_all(pool).await
            }
            Readers::Postgres(pool) => {
                let query = sqlx::query_as(POSTGRES_STATES).bind(user).bind(ids);
                read_postgres!(pool, fetch_all, query)
            }
        };
        self.known(rows)
    }
}
