//! Who blocks whom, as it is imported.

use std::collections::BTreeSet;

use super::{Intake, Taken, check_time};
use crate::{
    lines::BlockLine,
    store::{
        copy::table::Block,
        engine::{Connection, on},
    },
};

const IS_THERE: &str = "select exists (select 1 from blocks where blocker = $1 and blocked = $2)";
/// Where cores look it up by that alone.
const NOTE: &str = "update feeds set has_blocks = true where user_key = any($1)";

impl Intake {
    /// Whether some of them are not there.
    pub(crate) async fn has_new_blocks(
        &mut self,
        lines: &[BlockLine],
    ) -> Result<bool, sqlx::Error> {
        let users = lines.iter().flat_map(|line| [line.user_id, line.peer_id]).collect();
        let keys = self.keys_of(users).await?;
        for line in lines {
            let pair = keys.get(&line.user_id).copied().zip(keys.get(&line.peer_id).copied());
            let is_there = match pair {
                Some((blocker, blocked)) => self.is_blocked(blocker, blocked).await?,
                None => false,
            };
            if !is_there {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_blocked(&mut self, blocker: i64, blocked: i64) -> Result<bool, sqlx::Error> {
        on!(
            &mut self.connection,
            fetch_one,
            sqlx::query_scalar(IS_THERE).bind(blocker).bind(blocked)
        )
    }

    /// One that is there stays as it is.
    pub(crate) async fn blocks(&mut self, lines: Vec<BlockLine>) -> Result<Taken, sqlx::Error> {
        let mut taken = Taken::default();
        let users = lines.iter().flat_map(|line| [line.user_id, line.peer_id]).collect();
        let keys = self.keys_of(users).await?;
        let (mut new, mut pairs) = (Vec::new(), BTreeSet::new());
        for (place, line) in lines.iter().enumerate() {
            let (Some(user), Some(peer)) = (keys.get(&line.user_id), keys.get(&line.peer_id))
            else {
                taken.refuse(place, "no such user: the lines of users come first");
                continue;
            };
            let (blocker, blocked) = (*user, *peer);
            if blocker == blocked {
                taken.refuse(place, "nobody blocks themselves");
                continue;
            }
            if let Err(reason) = check_time("created", Some(line.created)) {
                taken.refuse(place, reason);
                continue;
            }
            if self.is_blocked(blocker, blocked).await? || !pairs.insert((blocker, blocked)) {
                taken.known += 1;
                continue;
            }
            new.push(Block { blocker, blocked, created: line.created.0 });
            taken.stored += 1;
        }
        let blockers: Vec<_> = new.iter().map(|block| block.blocker).collect();
        self.write(new).await?;
        if let (Connection::Postgres(connection), false) =
            (&mut self.connection, blockers.is_empty())
        {
            sqlx::query(NOTE).bind(blockers).execute(connection).await?;
        }
        Ok(taken)
    }
}
