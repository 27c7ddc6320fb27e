//! Changes of the directory: by a service, or by what a token says of its user.

use std::collections::HashMap;

use netrox_proto::{external_id::ExternalId, ids::UserId};
use sqlx::{PgConnection, SqliteConnection};
use uuid::Uuid;

use super::{FIND_ENTRY, POSTGRES_FIND_ENTRIES, UserKey, UserRow};
use crate::{
    command::UserChange,
    store::{
        engine::{Connection, on},
        erasure, external_id, presence,
    },
};

macro_rules! upsert {
    ($rows:literal) => {
        concat!(
            "insert into users (id, email, profile, claims_issued, upserted, updated) ",
            $rows,
            " on conflict (id) do update set email = excluded.email, profile = excluded.profile,
                claims_issued = excluded.claims_issued, upserted = excluded.upserted,
                deleted = false, updated = excluded.updated
            returning key, id, email, profile, deleted, claims_issued, upserted"
        )
    };
}
const SQLITE_UPSERT: &str = upsert!("values ($1, $2, $3, $4, $5, $6)");
const POSTGRES_UPSERT: &str = upsert!(
    "select id, email, profile, claims_issued, upserted, $6
    from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
        as w (id, email, profile, claims_issued, upserted)"
);
const MICROS_A_SECOND: i64 = 1_000_000;
/// Rows to lock for whoever writes to the feeds.
const INSERT_FEEDS: &str = "\
    insert into feeds (user_key, last_seq) select key, 0 from unnest($1::bigint[]) as w (key)";
/// Held to the end of the transaction. Taken before any row is locked, so that two cores that change
/// the same users in another order never wait for each other.
const LOCK_DIRECTORY: &str = "select pg_advisory_xact_lock(hashtext('netrox-chat directory'))";
const DELETE: &str = "\
    update users set email = '', profile = null, deleted = true, updated = $2 where id = $1
    returning key";

/// To be called before the directory is changed in a transaction.
pub(in crate::store) async fn lock(connection: &mut Connection) -> Result<(), sqlx::Error> {
    match connection {
        // The transaction is the only one.
        Connection::Sqlite(_) => Ok(()),
        Connection::Postgres(connection) => {
            sqlx::query(LOCK_DIRECTORY).execute(connection).await.map(drop)
        }
    }
}

/// A change of the directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upsert<'a> {
    pub(crate) change: &'a UserChange,
    pub(crate) source: Source,
}

/// Who says what is to be stored of a user.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// Counts, whatever there is. A user who was deleted comes back.
    Service,
    /// Counts unless there is something newer. A user who was deleted stays so.
    Claims { issued: Option<i64> },
}

/// Inserts or changes users, each once. `None` where one was deleted and stays so.
pub(in crate::store) async fn upsert(
    connection: &mut Connection,
    upserts: &[Upsert<'_>],
    now: i64,
) -> Result<Vec<Option<UserRow>>, sqlx::Error> {
    match connection {
        Connection::Sqlite(connection) => {
            let mut rows = Vec::with_capacity(upserts.len());
            let mut called = Vec::new();
            for upsert in upserts {
                rows.push(upsert_sqlite(connection, *upsert, now, &mut called).await?);
            }
            external_id::put_sqlite(connection, &called).await?;
            Ok(rows)
        }
        Connection::Postgres(connection) => upsert_postgres(connection, upserts, now).await,
    }
}

/// What is to be written of a user, where anything is.
struct Change<'a> {
    id: Uuid,
    email: &'a str,
    profile: Option<&'a str>,
    claims_issued: Option<i64>,
    upserted: Option<i64>,
}

impl<'a> Upsert<'a> {
    /// `None` where the user is as wanted, or stays deleted. `now` is in microseconds since the epoch.
    fn of(self, stored: Option<&'a UserRow>, now: i64) -> Option<Change<'a>> {
        let Self { change, source } = self;
        let unchanged = |row: &&UserRow| match source {
            Source::Service => !row.deleted && row.has(change),
            Source::Claims { issued } => row.deleted || row.keeps_claims(change, issued, now),
        };
        if stored.as_ref().is_some_and(unchanged) {
            return None;
        }
        let (mut claims_issued, mut upserted) =
            stored.map_or((None, None), |row| (row.claims_issued, row.upserted));
        match source {
            Source::Service => upserted = Some(now / MICROS_A_SECOND),
            Source::Claims { issued } if change.says_something() => {
                claims_issued = issued.or(claims_issued);
            }
            Source::Claims { .. } => {}
        }
        let email = change.email.as_deref().or(stored.map(|row| row.email.as_str()));
        let profile = match &change.profile {
            Some(profile) => profile.as_deref(),
            None => stored.and_then(|row| row.profile.as_deref()),
        };
        let email = email.unwrap_or_default();
        Some(Change { id: change.id.0, email, profile, claims_issued, upserted })
    }

    /// What the user is called from now on, where that is to be written.
    fn external_id(self, stored: Option<&UserRow>) -> Option<&'a ExternalId> {
        let told = self.change.external_id.as_ref()?;
        let is_kept = stored.is_some_and(|row| match self.source {
            Source::Service => row.is_called(told),
            Source::Claims { .. } => row.subject.is_some(),
        });
        (!is_kept).then_some(told)
    }

    /// Completes a row that is there now: `None` where the user stays deleted. With what is to be written beside it.
    fn entry(
        self,
        row: Option<UserRow>,
        stored: Option<&UserRow>,
        called: &mut Vec<(UserKey, &'a ExternalId)>,
    ) -> Option<UserRow> {
        let mut row = row.filter(|row| !row.deleted)?;
        (row.issuer, row.subject) =
            stored.map_or((None, None), |row| (row.issuer.clone(), row.subject.clone()));
        if let Some(id) = self.external_id(stored) {
            called.push((row.key, id));
            (row.issuer, row.subject) =
                (Some(id.issuer().to_owned()), Some(id.subject().to_owned()));
        }
        Some(row)
    }
}

async fn upsert_sqlite<'a>(
    connection: &mut SqliteConnection,
    upsert: Upsert<'a>,
    now: i64,
    called: &mut Vec<(UserKey, &'a ExternalId)>,
) -> Result<Option<UserRow>, sqlx::Error> {
    let id = upsert.change.id.0;
    let stored: Option<UserRow> =
        sqlx::query_as(FIND_ENTRY).bind(id).fetch_optional(&mut *connection).await?;
    let Some(change) = upsert.of(stored.as_ref(), now) else {
        return Ok(upsert.entry(stored.clone(), stored.as_ref(), called));
    };
    if let Some(returns) = stored.as_ref().filter(|row| row.deleted) {
        erasure::bound_sqlite(connection, returns.key).await?;
    }
    let row = sqlx::query_as(SQLITE_UPSERT)
        .bind(change.id)
        .bind(change.email)
        .bind(change.profile)
        .bind(change.claims_issued)
        .bind(change.upserted)
        .bind(now)
        .fetch_one(connection);
    Ok(upsert.entry(Some(row.await?), stored.as_ref(), called))
}

/// Five statements at most, however many users. Nobody else changes the directory meanwhile.
async fn upsert_postgres(
    connection: &mut PgConnection,
    upserts: &[Upsert<'_>],
    now: i64,
) -> Result<Vec<Option<UserRow>>, sqlx::Error> {
    let ids: Vec<_> = upserts.iter().map(|upsert| upsert.change.id.0).collect();
    let stored: Vec<UserRow> =
        sqlx::query_as(POSTGRES_FIND_ENTRIES).bind(ids).fetch_all(&mut *connection).await?;
    let mut rows: HashMap<_, _> = stored.iter().map(|row| (row.id, row.clone())).collect();
    let stored: HashMap<_, _> = stored.iter().map(|row| (row.id, row)).collect();
    let changes: Vec<_> = upserts
        .iter()
        .filter_map(|upsert| upsert.of(stored.get(&upsert.change.id.0).copied(), now))
        .collect();
    if !changes.is_empty() {
        let changed: Vec<UserRow> = sqlx::query_as(POSTGRES_UPSERT)
            .bind(changes.iter().map(|change| change.id).collect::<Vec<_>>())
            .bind(changes.iter().map(|change| change.email).collect::<Vec<_>>())
            .bind(changes.iter().map(|change| change.profile).collect::<Vec<_>>())
            .bind(changes.iter().map(|change| change.claims_issued).collect::<Vec<_>>())
            .bind(changes.iter().map(|change| change.upserted).collect::<Vec<_>>())
            .bind(now)
            .fetch_all(&mut *connection)
            .await?;
        let new = changed.iter().filter(|row| !stored.contains_key(&row.id));
        let new: Vec<_> = new.map(|row| row.key).collect();
        sqlx::query(INSERT_FEEDS).bind(new).execute(&mut *connection).await?;
        let is_back = |row: &&UserRow| stored.get(&row.id).is_some_and(|before| before.deleted);
        let returned: Vec<_> = changed.iter().filter(is_back).map(|row| row.key).collect();
        if !returned.is_empty() {
            erasure::bound_postgres(connection, returned).await?;
        }
        rows.extend(changed.into_iter().map(|row| (row.id, row)));
    }
    let mut called = Vec::new();
    let rows = upserts.iter().map(|upsert| {
        let id = upsert.change.id.0;
        upsert.entry(rows.remove(&id), stored.get(&id).copied(), &mut called)
    });
    let rows = rows.collect();
    external_id::put_postgres(connection, &called).await?;
    Ok(rows)
}

impl UserRow {
    /// Whether claims that were issued then change nothing. `self` is to have what the user's issuer calls them.
    pub(crate) fn keeps(&self, change: &UserChange, issued: Option<i64>, now: i64) -> bool {
        let is_called = self.subject.is_some() || change.external_id.is_none();
        is_called && self.keeps_claims(change, issued, now)
    }

    /// Whether they say what is there, or less, or what is older than it.
    fn keeps_claims(&self, change: &UserChange, issued: Option<i64>, now: i64) -> bool {
        if !change.says_something() {
            return true;
        }
        let Some(issued) = issued else { return self.claims_issued.is_some() || self.has(change) };
        // Of a clock that was ahead nothing is believed.
        let upserted = self.upserted.filter(|at| *at <= now / MICROS_A_SECOND);
        if upserted.is_some_and(|at| issued < at) {
            return true;
        }
        match self.claims_issued {
            Some(taken) => issued < taken || self.has(change),
            // What it says is dated from here on, also where it is known.
            None => false,
        }
    }

    /// Whether the change would change nothing.
    fn has(&self, change: &UserChange) -> bool {
        change.email.as_ref().is_none_or(|email| *email == self.email)
            && change.profile.as_ref().is_none_or(|profile| *profile == self.profile)
    }
}

/// Whether there was such a user. What they have sent is erased from then on, if it is to be.
pub(in crate::store) async fn delete(
    connection: &mut Connection,
    id: UserId,
    erases_messages: bool,
    now: i64,
) -> Result<bool, sqlx::Error> {
    let deleted: Option<i64> =
        on!(connection, fetch_optional, sqlx::query_scalar(DELETE).bind(id.0).bind(now))?;
    if let Some(key) = deleted {
        external_id::forget(connection, UserKey(key)).await?;
        presence::forget(connection, UserKey(key)).await?;
        if erases_messages {
            erasure::begin(connection, UserKey(key), now).await?;
        }
    }
    Ok(deleted.is_some())
}
