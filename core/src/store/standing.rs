//! How users stand with each other: who may be told what somebody does just now.

use netrox_proto::ids::UserId;
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Readers, read_postgres},
    postgres::server_clock,
    user::hex_array,
};
use crate::delivery::audience::{Sight, Standing};

/// How users stand with a user $2: whether either blocks the other, whether either hides, and whether $2 was ever shown a message of
/// the other. Threads note the newest such message, but for those of an older core.
macro_rules! standings {
    ($users:literal) => {
        concat!(
            "select w.id, u.deleted, p.deleted as peer_deleted,
                exists (select 1 from hidden_users h where h.user_key in (u.key, p.key) and h.hidden)
                    as hidden,
                exists (select 1 from blocks b where b.blocker = u.key and b.blocked = p.key)
                    or exists (select 1 from blocks b where b.blocker = p.key and b.blocked = u.key)
                    as apart,
                coalesce((select case
                        when t.last_message_at = t.last_activity
                            and t.last_message in (t.low_sent, t.high_sent)
                            and case t.low_key when u.key then t.low_shown else t.high_shown end is not null
                        then case t.low_key when u.key then t.low_shown else t.high_shown end > 0
                        else exists (select 1 from messages m where m.thread_id = t.id
                            and m.sender = u.key and m.receiver_seq is not null) end
                    from threads t
                    where t.low_key = case when u.key < p.key then u.key else p.key end
                        and t.high_key = case when u.key < p.key then p.key else u.key end), false)
                    as written
            from ",
            $users,
            " w left join users u on u.id = w.id left join users p on p.id = $2"
        )
    };
}
const SQLITE: &str = standings!("(select unhex(value) as id from json_each($1))");
const POSTGRES: &str = standings!("(select unnest($1::uuid[]) as id)");

/// What other cores cannot know yet, and more: by the clock of the server, for longer than a transaction takes.
const BLOCKS_OF_LATE: &str = concat!(
    "select one.id as one, two.id as two, b.noted from blocks b
    join users one on one.key = b.blocker join users two on two.key = b.blocked
    where b.noted > ",
    server_clock!(),
    " - 30000000"
);
const HIDDEN_OF_LATE: &str = concat!(
    "select u.id as one, u.id as two, h.noted from hidden_users h join users u on u.key = h.user_key
    where h.noted > ",
    server_clock!(),
    " - 30000000"
);

#[derive(Debug, Clone, Copy, FromRow)]
struct StandingRow {
    id: Uuid,
    deleted: Option<bool>,
    peer_deleted: Option<bool>,
    hidden: bool,
    apart: bool,
    written: bool,
}

impl From<StandingRow> for Sight {
    fn from(row: StandingRow) -> Self {
        let StandingRow { deleted, peer_deleted, hidden, apart, written, .. } = row;
        let standing = match (deleted, peer_deleted) {
            (None, _) => Standing::UserUnknown,
            (Some(true), _) => Standing::UserDeleted,
            (Some(false), None) => Standing::PeerUnknown,
            (Some(false), Some(false)) if written && !apart => Standing::Told,
            (Some(false), Some(_)) => Standing::NotTold,
        };
        Self { standing, hidden }
    }
}

/// What a core stored that others may not have heard of: between two users, or of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromRow)]
pub(crate) struct NewStanding {
    one: Uuid,
    two: Uuid,
    /// When it was stored, by the clock of the server.
    noted: i64,
}

impl NewStanding {
    pub(crate) fn users(&self) -> (UserId, UserId) {
        (UserId(self.one), UserId(self.two))
    }
}

impl Store {
    /// How users stand with another, who is told of them.
    pub(crate) async fn standings(
        &self,
        users: &[UserId],
        to: UserId,
    ) -> Result<Vec<(UserId, Sight)>, Error> {
        let rows: Result<Vec<StandingRow>, _> = match self.readers()? {
            Readers::Sqlite(pool) => {
                let users = hex_array(users.iter().copied());
                sqlx::query_as(SQLITE).bind(users).bind(to.0).fetch_all(pool).await
            }
            Readers::Postgres(pool) => {
                let users: Vec<_> = users.iter().map(|user| user.0).collect();
                let query = sqlx::query_as(POSTGRES).bind(users).bind(to.0);
                read_postgres!(pool, fetch_all, query)
            }
        };
        let rows = self.known(rows)?;
        Ok(rows.into_iter().map(|row| (UserId(row.id), row.into())).collect())
    }

    /// Blocks that were stored by any core a short while ago. None where one core alone writes, which knows them.
    pub(crate) async fn blocks_of_late(&self) -> Result<Vec<NewStanding>, Error> {
        self.of_late(BLOCKS_OF_LATE).await
    }

    /// The same of users who hide, or no longer do.
    pub(crate) async fn hidden_of_late(&self) -> Result<Vec<NewStanding>, Error> {
        self.of_late(HIDDEN_OF_LATE).await
    }

    async fn of_late(&self, query: &'static str) -> Result<Vec<NewStanding>, Error> {
        let rows = match self.readers()? {
            Readers::Sqlite(_) => return Ok(Vec::new()),
            Readers::Postgres(pool) => read_postgres!(pool, fetch_all, sqlx::query_as(query)),
        };
        self.known(rows)
    }
}
