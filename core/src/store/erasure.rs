//! Users who were deleted with all that they have sent. That it is to be erased is noted in the transaction that deletes the user; how
//! far that is, in those that erase.

use netrox_proto::ids::UserId;
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Connection, Readers, on, read, read_postgres},
    postgres::server_clock,
    user::UserKey,
};

/// Asked for again it begins again: what was sent since is erased, too.
const BEGIN: &str = "\
    insert into erasures (user_key, begun, through_id)
    select cast($1 as bigint), cast($2 as bigint), coalesce(max(id), 0) from messages where true
    on conflict (user_key) do update set through_id = excluded.through_id, next_seq = 0,
        begun = case when excluded.begun > erasures.begun then excluded.begun
            else erasures.begun + 1 end";
macro_rules! next {
    ($which:expr) => {
        concat!(
            "select e.user_key, u.id, u.deleted, e.begun, e.through_id, e.next_seq
            from erasures e join users u on u.key = e.user_key ",
            $which,
            " order by e.begun, e.user_key limit 1"
        )
    };
}
const SQLITE_NEXT: &str = next!("");
/// None that another core is at, as long as it lives.
const POSTGRES_NEXT: &str = next!(concat!(
    "where e.worker is null or e.worker = $1 or e.worked < ",
    server_clock!(),
    " - 20000000"
));
const COUNT: &str = "select count(*) from erasures";
/// In the order of places in their sender's feed: what is erased takes another, and comes again behind the others.
const SENT: &str = "\
    select id, sender_seq, deleted from messages
    where sender = $1 and sender_seq > $2 order by sender_seq limit cast($3 as bigint)";
const SQLITE_GO_ON: &str = "\
    update erasures set next_seq = $4 where user_key = $1 and begun = $2 and next_seq = $3";
const POSTGRES_GO_ON: &str = concat!(
    "update erasures set next_seq = $4, worker = $5, worked = ",
    server_clock!(),
    " where user_key = $1 and begun = $2 and next_seq = $3"
);
const END: &str = "delete from erasures where user_key = $1 and begun = $2 and next_seq = $3";

/// One that is not at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct Erasure {
    pub(crate) user_key: UserKey,
    id: Uuid,
    /// Not of one who has come back.
    deleted: bool,
    /// Microseconds since the epoch; another one when it was asked for again.
    pub(crate) begun: i64,
    through_id: i64,
    pub(crate) next_seq: i64,
}

impl Erasure {
    pub(crate) fn user(&self) -> UserId {
        UserId(self.id)
    }

    /// Whether a message is to be erased. What was sent after the user came back is not.
    pub(crate) fn is_of(&self, message: &SentRow) -> bool {
        !message.deleted && (self.deleted || message.id <= self.through_id)
    }
}

/// A message of the user's, with its place in their feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct SentRow {
    pub(crate) id: i64,
    pub(crate) sender_seq: i64,
    deleted: bool,
}

/// How far an erasure gets with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) user_key: UserKey,
    pub(crate) begun: i64,
    /// Nothing is noted where it is at another place by then.
    pub(crate) from_seq: i64,
    /// `None` at its end.
    pub(crate) to_seq: Option<i64>,
    /// The core that works at it.
    pub(crate) worker: Uuid,
}

impl Store {
    /// The oldest that no other core is at.
    pub(crate) async fn next_erasure(&self, worker: Uuid) -> Result<Option<Erasure>, Error> {
        let next = match self.readers()? {
            Readers::Sqlite(pool) => sqlx::query_as(SQLITE_NEXT).fetch_optional(pool).await,
            Readers::Postgres(pool) => {
                read_postgres!(pool, fetch_optional, sqlx::query_as(POSTGRES_NEXT).bind(worker))
            }
        };
        self.known(next)
    }

    pub(crate) async fn count_erasures(&self) -> Result<i64, Error> {
        read!(self, fetch_one, sqlx::query_scalar(COUNT))
    }

    /// What its user has sent, from where it is on.
    pub(crate) async fn list_sent(
        &self,
        erasure: &Erasure,
        limit: usize,
    ) -> Result<Vec<SentRow>, Error> {
        let Erasure { user_key, next_seq, .. } = *erasure;
        let limit = limit as i64;
        read!(self, fetch_all, sqlx::query_as(SENT).bind(user_key).bind(next_seq).bind(limit))
    }
}

/// In the transaction that deletes the user.
pub(super) async fn begin(
    connection: &mut Connection,
    user: UserKey,
    now: i64,
) -> Result<(), sqlx::Error> {
    on!(connection, execute, sqlx::query(BEGIN).bind(user).bind(now))
}

/// In the transaction that erases what is noted.
pub(super) async fn go_on(connection: &mut Connection, step: &Step) -> Result<(), sqlx::Error> {
    let Step { user_key, begun, from_seq, to_seq, worker } = *step;
    let Some(to_seq) = to_seq else {
        return on!(
            connection,
            execute,
            sqlx::query(END).bind(user_key).bind(begun).bind(from_seq)
        );
    };
    match connection {
        Connection::Sqlite(connection) => {
            let query = sqlx::query(SQLITE_GO_ON).bind(user_key).bind(begun);
            query.bind(from_seq).bind(to_seq).execute(connection).await.map(drop)
        }
        Connection::Postgres(connection) => {
            let query = sqlx::query(POSTGRES_GO_ON).bind(user_key).bind(begun);
            query.bind(from_seq).bind(to_seq).bind(worker).execute(connection).await.map(drop)
        }
    }
}
