//! What users have taken of their quotas.
//!
//! Both are read behind the lock of the user's feed, which every core takes that begins a thread of theirs, or stores or deletes a
//! file: what two cores find, one after the other, is true. What files take is a counter that a trigger keeps.

use std::collections::HashMap;

use netrox_proto::ids::UserId;
use sqlx::{FromRow, PgConnection, SqliteConnection};

use super::{Error, Store, engine::read, user::UserKey};

/// Conversations that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstContacts {
    /// Microseconds since the epoch.
    pub(crate) since: i64,
    /// More are not counted.
    pub(crate) most: u32,
}

/// The newest conversations that a user has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub(crate) struct Begun {
    pub(crate) count: i64,
    /// Of those that are counted.
    pub(crate) oldest: Option<i64>,
}

#[derive(FromRow)]
struct BegunRow {
    user_key: UserKey,
    #[sqlx(flatten)]
    begun: Begun,
}

const BEGUN_POSTGRES: &str = "\
    select w.user_key, count(t.created) as count, min(t.created) as oldest
    from unnest($1::bigint[]) as w (user_key)
    cross join lateral (select created from threads
        where user_one = w.user_key and created > $2 order by created desc limit $3) as t
    group by w.user_key";
const BEGUN_SQLITE: &str = "\
    select j.value as user_key,
        (select count(*) from (select 1 from threads
            where user_one = j.value and created > $2 limit $3)) as count,
        (select min(created) from (select created from threads
            where user_one = j.value and created > $2 order by created desc limit $3)) as oldest
    from json_each($1) j";
/// What was never asked for is counted.
const COUNT_POSTGRES: &str = "\
    insert into user_storage (user_key, bytes)
    select w.user_key, coalesce((select sum(attachment_size) from messages
        where sender = w.user_key and attachment_path is not null and not deleted), 0)::bigint
    from unnest($1::bigint[]) as w (user_key)
    where not exists (select 1 from user_storage s where s.user_key = w.user_key)
    on conflict (user_key) do nothing";
const COUNT_SQLITE: &str = "\
    insert or ignore into user_storage (user_key, bytes)
    select j.value, coalesce((select sum(attachment_size) from messages
        where sender = j.value and attachment_path is not null and deleted = 0), 0)
    from json_each($1) j
    where not exists (select 1 from user_storage s where s.user_key = j.value)";
const BYTES_POSTGRES: &str = "select user_key, bytes from user_storage where user_key = any($1)";
const BYTES_SQLITE: &str = "\
    select user_key, bytes from user_storage where user_key in (select value from json_each($1))";
/// Without a lock, and with the instant of the newest file.
macro_rules! used {
    ($is_there:literal) => {
        concat!(
            "select coalesce(
                (select bytes from user_storage s where s.user_key = u.key),
                (select cast(sum(attachment_size) as bigint) from messages
                    where sender = u.key and attachment_path is not null and ",
            $is_there,
            "), 0) as bytes,
                (select created from messages
                    where sender = u.key and attachment_path is not null and ",
            $is_there,
            " order by id desc limit 1) as newest,
                exists (select 1 from user_storage s where s.user_key = u.key) as is_counted
            from users u where u.id = $1"
        )
    };
}
const USED_POSTGRES: &str = used!("not deleted");
const USED_SQLITE: &str = used!("deleted = 0");

/// What the files of a user take.
#[derive(Debug, Clone, Copy, Default, FromRow)]
pub(crate) struct UsedStorage {
    pub(crate) bytes: i64,
    /// When the newest was sent, in microseconds since the epoch.
    pub(crate) newest: Option<i64>,
    /// The database keeps it. Else all of it was looked at.
    pub(crate) is_counted: bool,
}

impl Store {
    /// What the files of a user take, as it was a moment ago. Nothing of one who is not known.
    pub(crate) async fn used_storage(&self, user: UserId) -> Result<UsedStorage, Error> {
        let statement = if self.cluster().is_some() { USED_POSTGRES } else { USED_SQLITE };
        let used: Option<UsedStorage> =
            read!(self, fetch_optional, sqlx::query_as(statement).bind(user.0))?;
        Ok(used.unwrap_or_default())
    }
}

fn by_key(rows: Vec<BegunRow>) -> HashMap<UserKey, Begun> {
    rows.into_iter().map(|row| (row.user_key, row.begun)).collect()
}

pub(super) async fn begun_postgres(
    connection: &mut PgConnection,
    senders: Vec<UserKey>,
    contacts: FirstContacts,
) -> Result<HashMap<UserKey, Begun>, sqlx::Error> {
    let query = sqlx::query_as(BEGUN_POSTGRES).bind(senders).bind(contacts.since);
    query.bind(i64::from(contacts.most)).fetch_all(connection).await.map(by_key)
}

pub(super) async fn begun_sqlite(
    connection: &mut SqliteConnection,
    senders: String,
    contacts: FirstContacts,
) -> Result<HashMap<UserKey, Begun>, sqlx::Error> {
    let query = sqlx::query_as(BEGUN_SQLITE).bind(senders).bind(contacts.since);
    query.bind(i64::from(contacts.most)).fetch_all(connection).await.map(by_key)
}

pub(super) async fn bytes_postgres(
    connection: &mut PgConnection,
    senders: Vec<UserKey>,
) -> Result<HashMap<UserKey, i64>, sqlx::Error> {
    sqlx::query(COUNT_POSTGRES).bind(&senders).execute(&mut *connection).await?;
    let query = sqlx::query_as(BYTES_POSTGRES).bind(senders);
    Ok(query.fetch_all(connection).await?.into_iter().collect())
}

pub(super) async fn bytes_sqlite(
    connection: &mut SqliteConnection,
    senders: String,
) -> Result<HashMap<UserKey, i64>, sqlx::Error> {
    sqlx::query(COUNT_SQLITE).bind(&senders).execute(&mut *connection).await?;
    let query = sqlx::query_as(BYTES_SQLITE).bind(senders);
    Ok(query.fetch_all(connection).await?.into_iter().collect())
}
