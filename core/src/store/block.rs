//! Who blocks whom.

use netrox_proto::ids::UserId;
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Readers, read, read_postgres},
    postgres::server_clock,
    user::UserKey,
};
use crate::delivery::audience::Standing;

/// In the order of keys, which stays.
const LIST: &str = "\
    select u.id as peer_id, b.created from blocks b join users u on u.key = b.blocked
    where b.blocker = $1 and b.blocked > coalesce((select key from users where id = $2), 0)
    order by b.blocked limit cast($3 as bigint)";

/// What the other cores cannot know yet, and more: by the clock of the server, for longer than a transaction takes.
const OF_LATE: &str = concat!(
    "select one.id as blocker, two.id as blocked, b.noted from blocks b
    join users one on one.key = b.blocker join users two on two.key = b.blocked
    where b.noted > ",
    server_clock!(),
    " - 30000000"
);

/// How a user $1 stands with another: whether either blocks the other, and whether the other was ever shown a message of the
/// first. Threads note the newest such message, but for those of an older core.
const STANDING: &str = "\
    select u.deleted, p.deleted as peer_deleted,
        exists (select 1 from blocks b where b.blocker = u.key and b.blocked = p.key)
            or exists (select 1 from blocks b where b.blocker = p.key and b.blocked = u.key) as apart,
        coalesce((select case
                when t.last_message_at = t.last_activity and t.last_message in (t.low_sent, t.high_sent)
                    and case t.low_key when u.key then t.low_shown else t.high_shown end is not null
                then case t.low_key when u.key then t.low_shown else t.high_shown end > 0
                else exists (select 1 from messages m
                    where m.thread_id = t.id and m.sender = u.key and m.receiver_seq is not null) end
            from threads t
            where t.low_key = case when u.key < p.key then u.key else p.key end
                and t.high_key = case when u.key < p.key then p.key else u.key end), false) as written
    from users u left join users p on p.id = $2 where u.id = $1";

#[derive(Debug, Clone, Copy, FromRow)]
struct StandingRow {
    deleted: bool,
    peer_deleted: Option<bool>,
    apart: bool,
    written: bool,
}

impl From<Option<StandingRow>> for Standing {
    fn from(row: Option<StandingRow>) -> Self {
        match row {
            None => Self::UserUnknown,
            Some(StandingRow { deleted: true, .. }) => Self::UserDeleted,
            Some(StandingRow { peer_deleted: None, .. }) => Self::PeerUnknown,
            Some(StandingRow {
                peer_deleted: Some(false), apart: false, written: true, ..
            }) => Self::Told,
            Some(StandingRow { .. }) => Self::NotTold,
        }
    }
}

/// A block that other cores may not have heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromRow)]
pub(crate) struct NewBlock {
    blocker: Uuid,
    blocked: Uuid,
    /// When it was stored, by the clock of the server.
    noted: i64,
}

impl NewBlock {
    pub(crate) fn blocker(&self) -> UserId {
        UserId(self.blocker)
    }

    pub(crate) fn blocked(&self) -> UserId {
        UserId(self.blocked)
    }
}

#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct BlockRow {
    peer_id: Uuid,
    /// Microseconds since the epoch.
    pub(crate) created: i64,
}

impl BlockRow {
    pub(crate) fn peer_id(&self) -> UserId {
        UserId(self.peer_id)
    }
}

impl Store {
    /// Those whom a user blocks, behind one of them.
    pub(crate) async fn list_blocks(
        &self,
        user: UserKey,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BlockRow>, Error> {
        let after = after.map(|user| user.0);
        read!(self, fetch_all, sqlx::query_as(LIST).bind(user).bind(after).bind(limit as i64))
    }

    /// Whether a user may be told what another does just now.
    pub(crate) async fn standing(&self, from: UserId, to: UserId) -> Result<Standing, Error> {
        let row: Option<StandingRow> =
            read!(self, fetch_optional, sqlx::query_as(STANDING).bind(from.0).bind(to.0))?;
        Ok(row.into())
    }

    /// Blocks that were stored by any core a short while ago. None where one core alone writes, which knows them.
    pub(crate) async fn blocks_of_late(&self) -> Result<Vec<NewBlock>, Error> {
        let rows = match self.readers()? {
            Readers::Sqlite(_) => return Ok(Vec::new()),
            Readers::Postgres(pool) => {
                read_postgres!(pool, fetch_all, sqlx::query_as(OF_LATE))
            }
        };
        self.known(rows)
    }
}
