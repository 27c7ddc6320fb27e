//! The directory.

mod change;

use netrox_proto::{external_id::ExternalId, ids::UserId, v1};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

pub(crate) use self::change::{Source, Upsert};
pub(super) use self::change::{delete, lock, upsert};
use super::{
    Error, Store,
    engine::{Readers, read, read_postgres},
};

/// What stands for a user inside the database.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub(crate) struct UserKey(pub(crate) i64);

/// What there is of a user elsewhere.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct UserFacts {
    /// When the entry was changed last, in microseconds since the epoch.
    pub(crate) updated: i64,
    /// Where the feed ends.
    pub(crate) last_seq: i64,
    pub(crate) threads: i64,
}

#[derive(Debug, Clone, FromRow)]
pub(crate) struct UserRow {
    pub(crate) key: UserKey,
    id: Uuid,
    email: String,
    profile: Option<String>,
    pub(crate) deleted: bool,
    /// The `iat` of the claims that were taken last, of those that had one.
    claims_issued: Option<i64>,
    /// When a service changed it last. Both in seconds since the epoch.
    upserted: Option<i64>,
    /// What its issuer calls it, where that was asked for.
    #[sqlx(default)]
    issuer: Option<String>,
    #[sqlx(default)]
    subject: Option<String>,
}

impl UserRow {
    pub(crate) fn id(&self) -> UserId {
        UserId(self.id)
    }

    /// Of its texts, in bytes.
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.profile, &self.issuer, &self.subject];
        self.email.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// Whether it has no external id, where that was asked for.
    pub(crate) fn is_called_nothing(&self) -> bool {
        self.subject.is_none()
    }

    fn is_called(&self, id: &ExternalId) -> bool {
        self.issuer.as_deref() == Some(id.issuer()) && self.subject.as_deref() == Some(id.subject())
    }
}

impl From<UserRow> for v1::User {
    fn from(row: UserRow) -> Self {
        let id = row.id().to_string();
        let external_id = row.issuer.zip(row.subject);
        let external_id = external_id.map(|(issuer, subject)| v1::ExternalId { issuer, subject });
        Self { id, email: row.email, profile_json: row.profile, external_id }
    }
}

const FIND: &str = "\
    select key, id, email, profile, deleted, claims_issued, upserted from users where id = $1";
const SQLITE_FIND_MANY: &str = "\
    select u.key, u.id, u.email, u.profile, u.deleted, u.claims_issued, u.upserted
    from json_each($1) j join users u on u.id = unhex(j.value)";
const POSTGRES_FIND_MANY: &str = "\
    select key, id, email, profile, deleted, claims_issued, upserted
    from users where id = any($1)";
/// With what their issuers call them.
macro_rules! with_external_id {
    ($users:literal, $rest:literal) => {
        concat!(
            "select u.key, u.id, u.email, u.profile, u.deleted, u.claims_issued, u.upserted,
                e.issuer, e.subject
            from ",
            $users,
            " left join external_ids e on e.user_key = u.key ",
            $rest
        )
    };
}
const FIND_ENTRY: &str = with_external_id!("users u", "where u.id = $1");
const SQLITE_FIND_ENTRIES: &str =
    with_external_id!("json_each($1) j join users u on u.id = unhex(j.value)", "");
const POSTGRES_FIND_ENTRIES: &str = with_external_id!("users u", "where u.id = any($1)");
const LIST_ENTRIES: &str =
    with_external_id!("users u", "where u.id >= $1 and not u.deleted order by u.id limit $2");
const FACTS: &str = "\
    select u.updated, coalesce(f.last_seq, 0) as last_seq,
        (select count(*) from threads where low_key = u.key)
            + (select count(*) from threads where high_key = u.key) as threads
    from users u left join feeds f on f.user_key = u.key where u.id = $1";
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
        read!(self, fetch_optional, sqlx::query_as(FIND).bind(id.0))
    }

    pub(crate) async fn user_facts(&self, id: UserId) -> Result<Option<UserFacts>, Error> {
        read!(self, fetch_optional, sqlx::query_as(FACTS).bind(id.0))
    }

    /// Whether the user was deleted from the directory; not of one who never was in it.
    pub(crate) async fn is_deleted(&self, id: UserId) -> Result<bool, Error> {
        Ok(self.find_user(id).await?.is_some_and(|user| user.deleted))
    }

    /// Those of the users that exist, deleted ones too, in no order.
    pub(crate) async fn find_users(&self, ids: &[UserId]) -> Result<Vec<UserRow>, Error> {
        let rows = match self.readers()? {
            Readers::Sqlite(pool) => {
                let ids = hex_array(ids.iter().copied());
                sqlx::query_as(SQLITE_FIND_MANY).bind(ids).fetch_all(pool).await
            }
            Readers::Postgres(pool) => {
                let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
                read_postgres!(pool, fetch_all, sqlx::query_as(POSTGRES_FIND_MANY).bind(ids))
            }
        };
        self.known(rows)
    }

    /// The same as of [`Self::find_user`], with what the user's issuer calls them.
    pub(crate) async fn find_entry(&self, id: UserId) -> Result<Option<UserRow>, Error> {
        read!(self, fetch_optional, sqlx::query_as(FIND_ENTRY).bind(id.0))
    }

    /// The same as of [`Self::find_users`], with what their issuers call them.
    pub(crate) async fn find_entries(&self, ids: &[UserId]) -> Result<Vec<UserRow>, Error> {
        let rows = match self.readers()? {
            Readers::Sqlite(pool) => {
                let ids = hex_array(ids.iter().copied());
                sqlx::query_as(SQLITE_FIND_ENTRIES).bind(ids).fetch_all(pool).await
            }
            Readers::Postgres(pool) => {
                let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
                read_postgres!(pool, fetch_all, sqlx::query_as(POSTGRES_FIND_ENTRIES).bind(ids))
            }
        };
        self.known(rows)
    }

    /// The users from an id on, in the order of ids, and without those who were deleted.
    pub(crate) async fn list_entries(&self, from: Uuid, limit: i64) -> Result<Vec<UserRow>, Error> {
        read!(self, fetch_all, sqlx::query_as(LIST_ENTRIES).bind(from).bind(limit))
    }
}
