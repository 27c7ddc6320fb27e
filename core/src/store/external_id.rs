//! What issuers of access tokens call users.

use std::collections::HashMap;

use netrox_proto::{external_id::ExternalId, ids::UserId};
use sqlx::{PgConnection, SqliteConnection};
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Connection, Readers, on, read_postgres},
    user::UserKey,
};

/// Whose an external id is.
pub(crate) type Owners = HashMap<ExternalId, UserId>;

macro_rules! find {
    ($named:literal) => {
        concat!(
            "select e.issuer, e.subject, u.id from ",
            $named,
            " join external_ids e on e.issuer = n.issuer and e.subject = n.subject
            join users u on u.key = e.user_key"
        )
    };
}
const SQLITE_FIND: &str =
    find!("(select value ->> 0 as issuer, value ->> 1 as subject from json_each($1)) n");
const POSTGRES_FIND: &str = find!("unnest($1::text[], $2::text[]) as n (issuer, subject)");
macro_rules! put {
    ($rows:literal) => {
        concat!(
            "insert into external_ids (user_key, issuer, subject) ",
            $rows,
            " on conflict (user_key) do update set issuer = excluded.issuer, subject = excluded.subject"
        )
    };
}
const SQLITE_PUT: &str = put!("values ($1, $2, $3)");
const POSTGRES_PUT: &str = put!("select * from unnest($1::bigint[], $2::text[], $3::text[])");
const FORGET: &str = "delete from external_ids where user_key = $1";

type Row = (String, String, Uuid);

impl Store {
    /// Whose they are, as far as they are known.
    pub(crate) async fn find_owners(&self, ids: &[&ExternalId]) -> Result<Owners, Error> {
        let rows = match self.readers()? {
            Readers::Sqlite(pool) => {
                sqlx::query_as(SQLITE_FIND).bind(json_pairs(ids)).fetch_all(pool).await
            }
            Readers::Postgres(pool) => {
                let (issuers, subjects) = columns(ids);
                let find = sqlx::query_as(POSTGRES_FIND).bind(issuers).bind(subjects);
                read_postgres!(pool, fetch_all, find)
            }
        };
        Ok(owners(self.known(rows)?))
    }
}

/// The same in a transaction. Nobody else changes the directory meanwhile.
pub(super) async fn find_owners(
    connection: &mut Connection,
    ids: &[&ExternalId],
) -> Result<Owners, sqlx::Error> {
    let rows = match connection {
        Connection::Sqlite(connection) => {
            sqlx::query_as(SQLITE_FIND).bind(json_pairs(ids)).fetch_all(connection).await
        }
        Connection::Postgres(connection) => {
            let (issuers, subjects) = columns(ids);
            let find = sqlx::query_as(POSTGRES_FIND).bind(issuers).bind(subjects);
            find.fetch_all(connection).await
        }
    };
    rows.map(owners)
}

/// Writes what users are called from now on. No other user is called so.
pub(super) async fn put_sqlite(
    connection: &mut SqliteConnection,
    called: &[(UserKey, &ExternalId)],
) -> Result<(), sqlx::Error> {
    for (key, id) in called {
        let put = sqlx::query(SQLITE_PUT).bind(*key).bind(id.issuer()).bind(id.subject());
        put.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The same in one statement.
pub(super) async fn put_postgres(
    connection: &mut PgConnection,
    called: &[(UserKey, &ExternalId)],
) -> Result<(), sqlx::Error> {
    if called.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = called.iter().map(|(key, _)| *key).collect();
    let ids: Vec<_> = called.iter().map(|(_, id)| *id).collect();
    let (issuers, subjects) = columns(&ids);
    let put = sqlx::query(POSTGRES_PUT).bind(keys).bind(issuers).bind(subjects);
    put.execute(connection).await.map(drop)
}

pub(super) async fn forget(connection: &mut Connection, user: UserKey) -> Result<(), sqlx::Error> {
    on!(connection, execute, sqlx::query(FORGET).bind(user))
}

fn owners(rows: Vec<Row>) -> Owners {
    let owner =
        |(issuer, subject, user): Row| Some((ExternalId::new(issuer, subject).ok()?, UserId(user)));
    rows.into_iter().filter_map(owner).collect()
}

/// As a JSON array of arrays of two texts.
fn json_pairs(ids: &[&ExternalId]) -> String {
    serde_json::Value::from_iter(ids.iter().map(|id| vec![id.issuer(), id.subject()])).to_string()
}

fn columns<'a>(ids: &[&'a ExternalId]) -> (Vec<&'a str>, Vec<&'a str>) {
    ids.iter().map(|id| (id.issuer(), id.subject())).unzip()
}
