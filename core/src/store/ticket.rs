//! Tickets that were used, and the keys that tickets are signed with.

use std::{collections::HashSet, fmt, ops::RangeInclusive};

use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Connection, on, read},
};

/// The newest first. Cores that begin at the same time may each make one.
const LIST_KEYS: &str = "\
    select id, key, created from ticket_keys where created between $1 and $2
    order by created desc, id limit 1000";
const IS_SPENT: &str = "select exists (select 1 from spent_tickets where id = $1)";
const ADD_KEY: &str =
    "insert into ticket_keys (id, key, created) values ($1, $2, $3) on conflict (id) do nothing";
const FORGET_KEYS: &str = "delete from ticket_keys where created < $1";
const SQLITE_SPEND: &str = "\
    insert into spent_tickets (id, expires) values ($1, $2) on conflict (id) do nothing returning id";
/// In one order at all cores, which would else wait for each other in a circle.
const POSTGRES_SPEND: &str = "\
    insert into spent_tickets (id, expires)
    select id, expires from unnest($1::uuid[], $2::bigint[]) as w (id, expires) order by id
    on conflict (id) do nothing returning id";
const SQLITE_FORGET: &str = "\
    delete from spent_tickets where id in (
        select id from spent_tickets where expires < $1 order by expires limit $2)";
/// Other cores do the same.
const POSTGRES_FORGET: &str = "\
    delete from spent_tickets where id in (
        select id from spent_tickets where expires < $1 order by expires limit $2
        for update skip locked)";
/// Beyond as many as are added, so that they become fewer where there are many.
const FORGOTTEN_AT_A_TIME: i64 = 1_000;

/// What tickets are signed with.
#[derive(Clone, FromRow)]
pub(crate) struct KeyRow {
    pub(crate) id: i64,
    pub(crate) key: Vec<u8>,
    /// Microseconds since the epoch.
    pub(crate) created: i64,
}

/// Keys stay out of logs.
impl fmt::Debug for KeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRow").field("created", &self.created).finish_non_exhaustive()
    }
}

/// A ticket that is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpentRow {
    pub(crate) id: Uuid,
    /// Microseconds since the epoch.
    pub(crate) expires: i64,
}

impl Store {
    /// Those of a while.
    pub(crate) async fn list_ticket_keys(
        &self,
        created: RangeInclusive<i64>,
    ) -> Result<Vec<KeyRow>, Error> {
        let (first, last) = created.into_inner();
        read!(self, fetch_all, sqlx::query_as(LIST_KEYS).bind(first).bind(last))
    }

    /// Whether it is known of a ticket that it was used. It may be used meanwhile: a commit finds that out.
    pub(crate) async fn is_ticket_spent(&self, id: Uuid) -> Result<bool, Error> {
        read!(self, fetch_one, sqlx::query_scalar(IS_SPENT).bind(id))
    }
}

/// Adds a key, and forgets those from before an instant.
pub(super) async fn add_key(
    connection: &mut Connection,
    KeyRow { id, key, created }: &KeyRow,
    forget_before: i64,
) -> Result<(), sqlx::Error> {
    on!(connection, execute, sqlx::query(FORGET_KEYS).bind(forget_before))?;
    on!(connection, execute, sqlx::query(ADD_KEY).bind(id).bind(key).bind(created))
}

/// Gives those of the tickets, each named once, that were not used before. Forgets some of those that were good until an instant.
pub(super) async fn spend(
    connection: &mut Connection,
    tickets: &[SpentRow],
    forget_before: i64,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let count = i64::try_from(tickets.len()).unwrap_or(i64::MAX);
    let limit = count.saturating_add(FORGOTTEN_AT_A_TIME);
    match connection {
        Connection::Sqlite(connection) => {
            let forget = sqlx::query(SQLITE_FORGET).bind(forget_before).bind(limit);
            forget.execute(&mut *connection).await?;
            let mut spent = HashSet::new();
            for ticket in tickets {
                let spend = sqlx::query_scalar(SQLITE_SPEND).bind(ticket.id).bind(ticket.expires);
                let first: Option<Uuid> = spend.fetch_optional(&mut *connection).await?;
                spent.extend(first);
            }
            Ok(spent)
        }
        Connection::Postgres(connection) => {
            let forget = sqlx::query(POSTGRES_FORGET).bind(forget_before).bind(limit);
            forget.execute(&mut *connection).await?;
            let (ids, expires): (Vec<_>, Vec<_>) =
                tickets.iter().map(|ticket| (ticket.id, ticket.expires)).unzip();
            let spend = sqlx::query_scalar(POSTGRES_SPEND).bind(ids).bind(expires);
            Ok(spend.fetch_all(connection).await?.into_iter().collect())
        }
    }
}
