//! The directory.

use netrox_proto::{ids::UserId, v1};
use serde::Serialize;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use super::{Error, Store};
use crate::command::UserChange;

/// What stands for a user inside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub(crate) struct UserKey(pub(crate) i64);

#[derive(Debug, Clone, FromRow)]
pub(crate) struct UserRow {
    pub(crate) key: UserKey,
    id: Uuid,
    email: String,
    profile: Option<String>,
    pub(crate) deleted: bool,
}

impl UserRow {
    pub(crate) fn id(&self) -> UserId {
        UserId(self.id)
    }
}

impl From<UserRow> for v1::User {
    fn from(row: UserRow) -> Self {
        Self { id: row.id().to_string(), email: row.email, profile_json: row.profile }
    }
}

const FIND: &str = "select key, id, email, profile, deleted from users where id = $1";
const FIND_MANY: &str = "\
    select u.key, u.id, u.email, u.profile, u.deleted
    from json_each($1) j join users u on u.id = unhex(j.value)";
const INSERT: &str = "\
    insert into users (id, email, profile, updated)
    values ($1, coalesce($2, ''), $3, $4)
    returning key, id, email, profile, deleted";
const UPDATE: &str = "\
    update users set email = $2, profile = $3, deleted = 0, updated = $4 where key = $1
    returning key, id, email, profile, deleted";
const IS_DELETED: &str = "select deleted from users where id = $1";
const DELETE: &str = "\
    update users set email = '', profile = null, deleted = 1, updated = $2 where id = $1";

/// A JSON array of UUIDs, as `unhex` of `json_each` reads it.
pub(super) fn hex_array(ids: impl IntoIterator<Item = UserId>) -> String {
    let mut json = String::from("[");
    for id in ids {
        if json.len() > 1 {
            json.push(',');
        }
        json.push('"');
        json.push_str(id.0.as_simple().encode_lower(&mut Uuid::encode_buffer()));
        json.push('"');
    }
    json.push(']');
    json
}

impl Store {
    pub(crate) async fn find_user(&self, id: UserId) -> Result<Option<UserRow>, Error> {
        sqlx::query_as(FIND)
            .bind(id.0)
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| self.failure(error))
    }

    /// Those of the users that exist, deleted ones too, in no order.
    pub(crate) async fn find_users(&self, ids: &[UserId]) -> Result<Vec<UserRow>, Error> {
        let ids = hex_array(ids.iter().copied());
        sqlx::query_as(FIND_MANY)
            .bind(ids)
            .fetch_all(&self.readers)
            .await
            .map_err(|error| self.failure(error))
    }
}

/// Inserts or changes a user; restores one that was deleted.
pub(super) async fn upsert(
    connection: &mut SqliteConnection,
    change: &UserChange,
    now: i64,
) -> Result<UserRow, sqlx::Error> {
    let stored: Option<UserRow> =
        sqlx::query_as(FIND).bind(change.id.0).fetch_optional(&mut *connection).await?;
    let Some(stored) = stored else {
        return sqlx::query_as(INSERT)
            .bind(change.id.0)
            .bind(change.email.as_deref())
            .bind(change.profile.as_ref().and_then(Option::as_deref))
            .bind(now)
            .fetch_one(connection)
            .await;
    };
    if !stored.deleted && stored.has(change) {
        return Ok(stored);
    }
    sqlx::query_as(UPDATE)
        .bind(stored.key)
        .bind(change.email.as_ref().unwrap_or(&stored.email))
        .bind(change.profile.as_ref().unwrap_or(&stored.profile))
        .bind(now)
        .fetch_one(connection)
        .await
}

impl UserRow {
    /// Whether the change would change nothing.
    pub(crate) fn has(&self, change: &UserChange) -> bool {
        change.email.as_ref().is_none_or(|email| *email == self.email)
            && change.profile.as_ref().is_none_or(|profile| *profile == self.profile)
    }
}

pub(super) async fn is_deleted(
    connection: &mut SqliteConnection,
    id: UserId,
) -> Result<bool, sqlx::Error> {
    let deleted: Option<bool> =
        sqlx::query_scalar(IS_DELETED).bind(id.0).fetch_optional(connection).await?;
    Ok(deleted.unwrap_or(false))
}

/// Whether there was such a user.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    id: UserId,
    now: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(DELETE).bind(id.0).bind(now).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}
