//! Conversations.

use netrox_proto::{ids::UserId, time::timestamp, v1};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Readers, read, read_postgres},
    user::{UserKey, UserRow},
};

const FIND: &str = "\
    select t.id, coalesce(s.seen_id, 0) as seen_id,
        coalesce(p.shown_seen_id, p.seen_id, 0) as peer_seen_id,
        case when t.last_message_at = t.last_activity
                and case t.low_key when $1 then t.high_swallowed else t.low_swallowed end > t.last_message
            then case when case t.low_key when $1 then t.low_swallowed else t.high_swallowed end > t.last_message
                then case t.low_key when $1 then t.low_swallowed else t.high_swallowed end
                else t.last_message end end as ends_at
    from threads t left join thread_states s on s.user_key = $1 and s.thread_id = t.id
    left join thread_states p on p.user_key = $2 and p.thread_id = t.id
    where t.low_key = $3 and t.high_key = $4";
/// Threads with their newest message that is there for the user $1. Not with the time of their last activity: a clock that was
/// ahead would keep them on top. Null where all was swallowed.
macro_rules! placed {
    ($own:literal, $peer:literal) => {
        concat!(
            "select t.id, case when t.last_message_at = t.last_activity
                then case when t.",
            $own,
            "_swallowed > t.last_message then t.",
            $own,
            "_swallowed when t.last_message = 0 and t.",
            $peer,
            "_swallowed is not null then null else t.last_message end
                else coalesce((select m.id from messages m where m.thread_id = t.id
                        and (m.sender = $1 or m.receiver_seq is not null or m.hidden_for_receiver is null)
                    order by m.id desc limit 1),
                    case when t.",
            $peer,
            "_swallowed is null then 0 end) end as place
            from threads t where t.",
            $own,
            "_key = $1"
        )
    };
}
macro_rules! list_ids {
    ($aggregate:literal) => {
        concat!(
            "select ",
            $aggregate,
            " from (",
            placed!("low", "high"),
            " union all ",
            placed!("high", "low"),
            ") as mine where place is not null"
        )
    };
}
/// As one row: a row of the driver costs more than a row of the table.
const SQLITE_LIST_IDS: &str = list_ids!("json_group_array(id order by place desc, id desc)");
const POSTGRES_LIST_IDS: &str =
    list_ids!("coalesce(array_agg(id order by place desc, id desc), '{}')");
macro_rules! get_many {
    ($ids:literal) => {
        concat!(
            "select t.id,
                case when t.user_one = $2 then t.user_one else coalesce(t.late_one, t.user_one) end as user_one,
                case when t.user_one = $2 then t.created else coalesce(t.late_created, t.created) end as created,
                case when case t.low_key when $2 then t.high_swallowed else t.low_swallowed end > t.last_message
                    then coalesce((select m.created from messages m
                        where m.thread_id = t.id and m.id = t.last_message), t.created)
                    else t.last_activity end as last_activity,
                u.key as peer_key, u.id as peer_id, u.email as peer_email, u.profile as peer_profile
            from ",
            $ids,
            " join threads t on t.id = j.value
            join users u on u.key = case t.low_key when $2 then t.high_key else t.low_key end
            order by j.key"
        )
    };
}
const SQLITE_GET_MANY: &str = get_many!("json_each($1) j");
const POSTGRES_GET_MANY: &str = get_many!("unnest($1) with ordinality as j (value, key)");

#[derive(Debug, FromRow)]
struct ThreadRow {
    id: i64,
    user_one: UserKey,
    created: i64,
    last_activity: i64,
    peer_key: UserKey,
    peer_id: Uuid,
    peer_email: String,
    peer_profile: Option<String>,
}

impl ThreadRow {
    fn into_wire(self, user: &v1::User) -> v1::Thread {
        let peer = v1::User {
            id: UserId(self.peer_id).to_string(),
            email: self.peer_email,
            profile_json: self.peer_profile,
            external_id: None,
        };
        let (one, two) = if self.user_one == self.peer_key {
            (peer, user.clone())
        } else {
            (user.clone(), peer)
        };
        v1::Thread {
            id: self.id,
            user_one: Some(one),
            user_two: Some(two),
            created: Some(timestamp(self.created)),
            last_activity: Some(timestamp(self.last_activity)),
            state: None,
            last_message: None,
        }
    }
}

/// The thread of two users, and what each has seen of it.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct FoundThread {
    pub(crate) id: i64,
    pub(crate) seen_id: i64,
    pub(crate) peer_seen_id: i64,
    /// The last message that is there for the user, where some of the peer's behind it were swallowed: they are many, perhaps.
    pub(crate) ends_at: Option<i64>,
}

impl Store {
    pub(crate) async fn find_thread(
        &self,
        user: UserKey,
        peer: UserKey,
    ) -> Result<Option<FoundThread>, Error> {
        let (low_key, high_key) = (user.min(peer), user.max(peer));
        read!(
            self,
            fetch_optional,
            sqlx::query_as(FIND).bind(user).bind(peer).bind(low_key).bind(high_key)
        )
    }

    /// All threads of a user, the most recently active first.
    pub(crate) async fn list_thread_ids(&self, user: UserKey) -> Result<Vec<i64>, Error> {
        let result = match self.readers()? {
            Readers::Sqlite(pool) => {
                let ids = sqlx::query_scalar(SQLITE_LIST_IDS).bind(user).fetch_one(pool).await;
                ids.and_then(|ids: String| {
                    serde_json::from_str(&ids).map_err(|error| sqlx::Error::Decode(error.into()))
                })
            }
            Readers::Postgres(pool) => {
                read_postgres!(pool, fetch_one, sqlx::query_scalar(POSTGRES_LIST_IDS).bind(user))
            }
        };
        self.known(result)
    }

    /// Some of the threads of a user, in the order of the ids.
    pub(crate) async fn get_threads(
        &self,
        ids: &[i64],
        user: &UserRow,
        user_on_wire: &v1::User,
    ) -> Result<Vec<v1::Thread>, Error> {
        let rows: Result<Vec<ThreadRow>, _> = match self.readers()? {
            Readers::Sqlite(pool) => {
                sqlx::query_as(SQLITE_GET_MANY)
                    .bind(serde_json::json!(ids).to_string())
                    .bind(user.key)
                    .fetch_all(pool)
                    .await
            }
            Readers::Postgres(pool) => {
                let query = sqlx::query_as(POSTGRES_GET_MANY).bind(ids).bind(user.key);
                read_postgres!(pool, fetch_all, query)
            }
        };
        let rows = self.known(rows)?;
        Ok(rows.into_iter().map(|row| row.into_wire(user_on_wire)).collect())
    }
}
