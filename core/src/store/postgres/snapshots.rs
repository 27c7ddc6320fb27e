//! Whether somebody holds what our hot rows were. Each commit replaces the rows of its feeds and threads, and walks through
//! what it replaced before; that is cleaned up once nobody may see it any more. A snapshot that is held keeps all of it, and
//! sends get slower by the minute.

use std::time::Duration;

use sqlx::FromRow;

use super::Pool;
use crate::{
    notice::Notices,
    store::{
        engine::{READ_TIMEOUT, within},
        error::Words,
    },
};

const INTERVAL: Duration = Duration::from_secs(10);
/// Transactions since a snapshot was taken, and rows that were replaced and not cleaned up: with fewer nothing is felt yet.
const MIN_TRANSACTIONS: i32 = 1_000;
const MIN_DEAD_ROWS: i64 = 10_000;
/// Other roles' sessions show their names and snapshots, and little else. The workers that clean up have no user.
const FIND: &str = "\
    with held as (
        select 'session ' || pid || ' of ' || usename
                || coalesce(' (' || nullif(application_name, '') || ')', '') as held_by,
            greatest(age(backend_xmin), age(backend_xid)) as transactions
        from pg_stat_activity
        where pid <> pg_backend_pid() and usename is not null
            and (datname is null or datname = current_database())
        union all
        select 'prepared transaction ' || gid, age(transaction)
        from pg_prepared_xacts where database = current_database()
        union all
        select 'replication slot ' || slot_name, age(xmin) from pg_replication_slots
    ),
    dead as (
        select coalesce(sum(n_dead_tup), 0)::bigint as dead_rows from pg_stat_user_tables
        where schemaname = current_schema() and relname in ('feeds', 'threads')
    )
    select held_by, transactions, dead_rows from held, dead
    where transactions >= $1 and dead_rows >= $2
    order by transactions desc limit 1";

#[derive(Debug, FromRow)]
struct Held {
    held_by: String,
    transactions: i32,
    dead_rows: i64,
}

/// Does not end by itself.
pub(in crate::store) async fn watch(pool: &Pool) {
    let notices = Notices::default();
    loop {
        tokio::time::sleep(INTERVAL).await;
        match find(pool).await {
            Ok(Some(Held { held_by, transactions, dead_rows })) => {
                if notices.happened(()).is_some() {
                    tracing::warn!(
                        held_by,
                        transactions,
                        dead_rows,
                        "a snapshot of the database is held: what sends replace cannot be cleaned up, and they get \
                         slower the longer it is"
                    );
                }
            }
            Ok(None) => {}
            // Whoever writes says so.
            Err(error) => tracing::debug!(error = %Words(&error), "cannot look for snapshots"),
        }
    }
}

async fn find(pool: &Pool) -> Result<Option<Held>, sqlx::Error> {
    let found = async {
        let mut loan = pool.take().await?;
        let query = sqlx::query_as(FIND).bind(MIN_TRANSACTIONS).bind(MIN_DEAD_ROWS);
        let found = query.fetch_optional(loan.connection()?).await;
        loan.give_back(&found);
        found
    };
    within(READ_TIMEOUT, found).await
}
