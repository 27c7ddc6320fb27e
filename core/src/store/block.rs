//! Who blocks whom.

use netrox_proto::ids::UserId;
use sqlx::FromRow;
use uuid::Uuid;

use super::{Error, Store, engine::read, user::UserKey};

/// In the order of keys, which stays.
const LIST: &str = "\
    select u.id as peer_id, b.created from blocks b join users u on u.key = b.blocked
    where b.blocker = $1 and b.blocked > coalesce((select key from users where id = $2), 0)
    order by b.blocked limit cast($3 as bigint)";

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
}
