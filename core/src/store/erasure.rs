//! Users who were deleted with all that they have sent. That it is to be erased is noted in the transaction that deletes the user; how
//! far that is, in those that erase.

use std::time::Duration;

use netrox_proto::ids::UserId;
use sqlx::{FromRow, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Connection, Readers, on, read, read_postgres},
    postgres::server_clock,
    user::UserKey,
};

/// Asked for again it begins again: what was sent since is erased, too. By the clock of the database, where cores share it.
macro_rules! begin {
    ($now:expr) => {
        concat!(
            "insert into erasures (user_key, begun, through_id)
            select cast($1 as bigint), ",
            $now,
            ", coalesce(max(id), 0) from messages where true
            on conflict (user_key) do update set through_id = excluded.through_id, bounded = false,
                next_seq = 0, begun = case when excluded.begun > erasures.begun
                    then excluded.begun else erasures.begun + 1 end"
        )
    };
}
const SQLITE_BEGIN: &str = begin!("cast($2 as bigint)");
const POSTGRES_BEGIN: &str = begin!(server_clock!());
/// What the user sends from now on stays, whatever becomes of them. Nobody who is deleted sends.
macro_rules! bound {
    ($users:literal) => {
        concat!(
            "update erasures set bounded = true,
                through_id = (select coalesce(max(id), 0) from messages)
            where not bounded and user_key ",
            $users
        )
    };
}
const SQLITE_BOUND: &str = bound!("= $1");
const POSTGRES_BOUND: &str = bound!("= any($1)");
/// `waits`: for how many microseconds it may not end yet.
macro_rules! next {
    ($waits:expr, $which:expr) => {
        concat!(
            "select e.user_key, u.id, e.begun, e.next_seq, ",
            $waits,
            " as waits from erasures e join users u on u.key = e.user_key ",
            $which,
            " order by e.begun, e.user_key limit 1000"
        )
    };
}
const SQLITE_NEXT: &str = next!("0", "");
/// None that another core is at, as long as it lives. What another core was storing for the user when they were deleted is stored
/// some seconds later, or never.
const POSTGRES_NEXT: &str = next!(
    concat!("least(greatest(e.begun + 5000000 - ", server_clock!(), ", 0), 5000000)"),
    concat!(
        "where e.worker is null or e.worker = $1 or e.worked < ",
        server_clock!(),
        " - 20000000"
    )
);
const COUNT: &str = "select count(*) from erasures";
/// In the order of places in their sender's feed: what is erased takes another, and comes again behind the others.
const SENT: &str = "\
    select id, sender_seq, deleted from messages
    where sender = $1 and sender_seq > $2 order by sender_seq limit cast($3 as bigint)";
/// Up to which message is to be erased: all, unless the user has come back. A core of before, which brings them back, does not note
/// that: then what they have sent since it began stays.
macro_rules! through {
    () => {
        " returning case when bounded or not (select u.deleted from users u where u.key = user_key)
            then through_id else 9223372036854775807 end"
    };
}
const SQLITE_GO_ON: &str = concat!(
    "update erasures set next_seq = $4 where user_key = $1 and begun = $2 and next_seq = $3",
    through!()
);
const POSTGRES_GO_ON: &str = concat!(
    "update erasures set next_seq = $4, worker = $5, worked = ",
    server_clock!(),
    " where user_key = $1 and begun = $2 and next_seq = $3",
    through!()
);
const END: &str = "\
    delete from erasures where user_key = $1 and begun = $2 and next_seq = $3
    returning through_id";

/// One that is not at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct Erasure {
    pub(crate) user_key: UserKey,
    id: Uuid,
    /// Microseconds since the epoch; another one when it was asked for again.
    pub(crate) begun: i64,
    pub(crate) next_seq: i64,
    waits: i64,
}

impl Erasure {
    pub(crate) fn user(&self) -> UserId {
        UserId(self.id)
    }

    /// How long after it was read it may end.
    pub(crate) fn waits(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.waits).unwrap_or_default())
    }
}

/// A message of the user's, with its place in their feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct SentRow {
    pub(crate) id: i64,
    pub(crate) sender_seq: i64,
    pub(crate) deleted: bool,
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
    /// Those that no other core is at, the oldest first.
    pub(crate) async fn next_erasures(&self, worker: Uuid) -> Result<Vec<Erasure>, Error> {
        let next = match self.readers()? {
            Readers::Sqlite(pool) => sqlx::query_as(SQLITE_NEXT).fetch_all(pool).await,
            Readers::Postgres(pool) => {
                read_postgres!(pool, fetch_all, sqlx::query_as(POSTGRES_NEXT).bind(worker))
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
    match connection {
        Connection::Sqlite(connection) => {
            sqlx::query(SQLITE_BEGIN).bind(user).bind(now).execute(connection).await.map(drop)
        }
        Connection::Postgres(connection) => {
            sqlx::query(POSTGRES_BEGIN).bind(user).execute(connection).await.map(drop)
        }
    }
}

/// In the transaction in which a user comes back.
pub(super) async fn bound_sqlite(
    connection: &mut SqliteConnection,
    user: UserKey,
) -> Result<(), sqlx::Error> {
    sqlx::query(SQLITE_BOUND).bind(user).execute(connection).await.map(drop)
}

/// The same of several.
pub(super) async fn bound_postgres(
    connection: &mut PgConnection,
    users: Vec<UserKey>,
) -> Result<(), sqlx::Error> {
    sqlx::query(POSTGRES_BOUND).bind(users).execute(connection).await.map(drop)
}

/// In the transaction that erases what is noted. Gives up to which message that is to be done, at the end or not; `None` where the
/// erasure is elsewhere by then. Who comes back meanwhile waits for the transaction.
pub(super) async fn go_on(
    connection: &mut Connection,
    step: &Step,
) -> Result<Option<i64>, sqlx::Error> {
    let Step { user_key, begun, from_seq, to_seq, worker } = *step;
    let Some(to_seq) = to_seq else {
        return on!(
            connection,
            fetch_optional,
            sqlx::query_scalar(END).bind(user_key).bind(begun).bind(from_seq)
        );
    };
    match connection {
        Connection::Sqlite(connection) => {
            let query = sqlx::query_scalar(SQLITE_GO_ON).bind(user_key).bind(begun);
            query.bind(from_seq).bind(to_seq).fetch_optional(connection).await
        }
        Connection::Postgres(connection) => {
            let query = sqlx::query_scalar(POSTGRES_GO_ON).bind(user_key).bind(begun);
            query.bind(from_seq).bind(to_seq).bind(worker).fetch_optional(connection).await
        }
    }
}
