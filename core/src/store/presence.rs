//! What is stored of who is online: when users were last seen, who hides, and what cores without a bus write down.

use std::{collections::HashMap, time::Duration};

use netrox_proto::ids::UserId;
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Connection, Readers, on, read, read_postgres},
    postgres::server_clock,
    user::{UserKey, hex_array},
};

const SQLITE_LAST_SEEN: &str = "\
    select u.id, s.minute from json_each($1) j join users u on u.id = unhex(j.value)
    join last_seen s on s.user_key = u.key";
const POSTGRES_LAST_SEEN: &str = "\
    select u.id, s.minute from users u join last_seen s on s.user_key = u.key where u.id = any($1)";
const IS_HIDDEN: &str = "\
    select exists (select 1 from hidden_users where user_key = $1 and hidden) as is_hidden";

const SQLITE_NOTE_SEEN: &str = "\
    insert into last_seen (user_key, minute)
    select u.key, j.value ->> 1 from json_each($1) j join users u on u.id = unhex(j.value ->> 0)
    where not u.deleted
    on conflict (user_key) do update set minute = excluded.minute
    where excluded.minute > last_seen.minute";
const POSTGRES_NOTE_SEEN: &str = "\
    insert into last_seen (user_key, minute)
    select u.key, max(w.minute) from unnest($1::uuid[], $2::bigint[]) as w (id, minute)
    join users u on u.id = w.id
    where not u.deleted group by u.key order by u.key
    on conflict (user_key) do update set minute = excluded.minute
    where excluded.minute > last_seen.minute";

const FIND_DELETED: &str = "select deleted from users where id = $1";
const SQLITE_HIDE: &str = "\
    insert into hidden_users (user_key, hidden) select u.key, $2 from users u where u.id = $1
        and ($2 or exists (select 1 from hidden_users h where h.user_key = u.key))
    on conflict (user_key) do update set hidden = excluded.hidden
    where hidden_users.hidden <> excluded.hidden";
const POSTGRES_HIDE: &str = "\
    insert into hidden_users (user_key, hidden) select u.key, $2 from users u where u.id = $1
        and ($2 or exists (select 1 from hidden_users h where h.user_key = u.key))
    on conflict (user_key) do update set hidden = excluded.hidden, noted = excluded.noted
    where hidden_users.hidden <> excluded.hidden";

const FORGET_SEEN: &str = "delete from last_seen where user_key = $1";
const SQLITE_FORGET_HIDDEN: &str = "delete from hidden_users where user_key = $1";
/// Other cores learn by it that the user is gone.
const POSTGRES_FORGET_HIDDEN: &str = "\
    insert into hidden_users (user_key, hidden) values ($1, false)
    on conflict (user_key) do update set hidden = false, noted = excluded.noted";

const KEEP_ROLL: &str = concat!(
    "insert into rolls (core, version, renewed, users) values ($1, 1, ",
    server_clock!(),
    ", coalesce($2, ''::bytea))
    on conflict (core) do update set renewed = excluded.renewed,
        version = rolls.version + case when $2::bytea is null then 0 else 1 end,
        users = coalesce($2, rolls.users)"
);
/// Those of cores that are gone are gone, too.
const FORGET_ROLLS: &str =
    concat!("delete from rolls where renewed < ", server_clock!(), " - 3600000000");
const LIST_ROLLS: &str = concat!(
    "select core, version, octet_length(users) % 16 as rest, greatest(",
    server_clock!(),
    " - renewed, 0) as age from rolls where renewed > ",
    server_clock!(),
    " - 15000000"
);
const READ_ROLL: &str = "select users from rolls where core = $1";

#[derive(Debug, Clone, Copy, FromRow)]
struct LastSeenRow {
    id: Uuid,
    minute: i64,
}

/// What a core has written down lately.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct RollRow {
    core: Uuid,
    /// Another one where it is not as it was.
    pub(crate) version: i64,
    /// Bytes behind the users.
    rest: i32,
    /// Since it was renewed, in microseconds.
    age: i64,
}

impl RollRow {
    pub(crate) fn core(&self) -> Uuid {
        self.core
    }

    /// How many bytes are behind the users.
    pub(crate) fn rest(&self) -> usize {
        self.rest.unsigned_abs() as usize
    }

    /// How long ago it was renewed.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_micros(self.age.unsigned_abs())
    }
}

impl Store {
    /// The minutes since the epoch in which users were last seen.
    pub(crate) async fn last_seen(&self, users: &[UserId]) -> Result<HashMap<UserId, i64>, Error> {
        let rows: Result<Vec<LastSeenRow>, _> = match self.readers()? {
            Readers::Sqlite(pool) => {
                let users = hex_array(users.iter().copied());
                sqlx::query_as(SQLITE_LAST_SEEN).bind(users).fetch_all(pool).await
            }
            Readers::Postgres(pool) => {
                let users: Vec<_> = users.iter().map(|user| user.0).collect();
                let query = sqlx::query_as(POSTGRES_LAST_SEEN).bind(users);
                read_postgres!(pool, fetch_all, query)
            }
        };
        let rows = self.known(rows)?;
        Ok(rows.into_iter().map(|row| (UserId(row.id), row.minute)).collect())
    }

    pub(crate) async fn is_hidden(&self, user: UserKey) -> Result<bool, Error> {
        read!(self, fetch_one, sqlx::query_scalar(IS_HIDDEN).bind(user))
    }

    /// Who is online with which core, as far as cores write it down. None where one core alone writes.
    pub(crate) async fn list_rolls(&self) -> Result<Vec<RollRow>, Error> {
        let rows = match self.readers()? {
            Readers::Sqlite(_) => return Ok(Vec::new()),
            Readers::Postgres(pool) => read_postgres!(pool, fetch_all, sqlx::query_as(LIST_ROLLS)),
        };
        self.known(rows)
    }

    pub(crate) async fn read_roll(&self, core: Uuid) -> Result<Option<Vec<u8>>, Error> {
        let users = match self.readers()? {
            Readers::Sqlite(_) => return Ok(None),
            Readers::Postgres(pool) => {
                let query = sqlx::query_scalar(READ_ROLL).bind(core);
                read_postgres!(pool, fetch_optional, query)
            }
        };
        self.known(users)
    }
}

/// A user is deleted.
pub(in crate::store) async fn forget(
    connection: &mut Connection,
    user: UserKey,
) -> Result<(), sqlx::Error> {
    match connection {
        Connection::Sqlite(connection) => {
            sqlx::query(FORGET_SEEN).bind(user).execute(&mut *connection).await?;
            sqlx::query(SQLITE_FORGET_HIDDEN).bind(user).execute(connection).await.map(drop)
        }
        Connection::Postgres(connection) => {
            sqlx::query(FORGET_SEEN).bind(user).execute(&mut *connection).await?;
            sqlx::query(POSTGRES_FORGET_HIDDEN).bind(user).execute(connection).await.map(drop)
        }
    }
}

/// Users who are not known or were deleted are left out. So is what is no later than what is there.
pub(in crate::store) async fn note_seen(
    connection: &mut Connection,
    seen: &[(UserId, i64)],
) -> Result<(), sqlx::Error> {
    match connection {
        Connection::Sqlite(connection) => {
            let seen: Vec<_> = seen
                .iter()
                .map(|(user, minute)| (user.0.as_simple().to_string(), minute))
                .collect();
            let seen = serde_json::json!(seen).to_string();
            sqlx::query(SQLITE_NOTE_SEEN).bind(seen).execute(connection).await.map(drop)
        }
        Connection::Postgres(connection) => {
            let (users, minutes): (Vec<_>, Vec<_>) =
                seen.iter().map(|(user, minute)| (user.0, *minute)).unzip();
            let query = sqlx::query(POSTGRES_NOTE_SEEN).bind(users).bind(minutes);
            query.execute(connection).await.map(drop)
        }
    }
}

/// Whether the user was deleted; nothing of one who never was there.
pub(in crate::store) async fn hide(
    connection: &mut Connection,
    user: UserId,
    hides: bool,
) -> Result<Option<bool>, sqlx::Error> {
    let deleted: Option<bool> =
        on!(&mut *connection, fetch_optional, sqlx::query_scalar(FIND_DELETED).bind(user.0))?;
    if deleted == Some(false) {
        match connection {
            Connection::Sqlite(connection) => {
                sqlx::query(SQLITE_HIDE).bind(user.0).bind(hides).execute(connection).await?;
            }
            Connection::Postgres(connection) => {
                sqlx::query(POSTGRES_HIDE).bind(user.0).bind(hides).execute(connection).await?;
            }
        }
    }
    Ok(deleted)
}

/// Writes down who is online with a core, or that it is as it was.
pub(super) async fn keep_roll(
    connection: &mut Connection,
    core: Uuid,
    users: Option<&[u8]>,
) -> Result<(), sqlx::Error> {
    match connection {
        // Nobody else would read it.
        Connection::Sqlite(_) => Ok(()),
        Connection::Postgres(connection) => {
            sqlx::query(KEEP_ROLL).bind(core).bind(users).execute(&mut *connection).await?;
            sqlx::query(FORGET_ROLLS).execute(connection).await.map(drop)
        }
    }
}
