//! Whether somebody holds what our hot rows were. Each commit replaces the rows of its feeds and threads, and walks through
//! what it replaced before; that is cleaned up once nobody may see it any more. A snapshot that is held keeps all of it, and
//! sends get slower by the minute.

use std::{collections::HashMap, time::Duration};

use prometheus_client::metrics::gauge::Gauge;
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
/// In how many of them the same one is held: a report of some seconds is nobody's trouble.
const LOOKS: u32 = 4;
/// Transactions since a snapshot was taken, and rows that were replaced and not cleaned up: with fewer nothing is felt yet.
const MIN_TRANSACTIONS: i32 = 1_000;
const MIN_DEAD_ROWS: i64 = 10_000;
/// For each row that counts. PostgreSQL itself lets a fifth of a table stand before it cleans up.
const MIN_DEAD_ROWS_PER_ROW: i64 = 10;
/// Other roles' sessions show their names and snapshots, and little else. The workers that clean up have no user,
/// and a snapshot of a vacuum holds nothing.
const FIND: &str = "\
    with held as (
        select 'session ' || pid || ' of ' || usename
                || coalesce(' (' || nullif(application_name, '') || ')', '') as held_by,
            coalesce(xact_start::text, '') as since,
            greatest(age(backend_xmin), age(backend_xid)) as transactions
        from pg_stat_activity
        where pid <> pg_backend_pid() and usename is not null
            and (datname is null or datname = current_database())
            and pid not in (select pid from pg_stat_progress_vacuum)
        union all
        select 'prepared transaction ' || gid, prepared::text, age(transaction)
        from pg_prepared_xacts where database = current_database()
        union all
        select 'replication slot ' || slot_name, '', age(xmin) from pg_replication_slots
    ),
    dead as (
        select coalesce(sum(n_dead_tup), 0)::bigint as dead_rows,
            coalesce(sum(n_live_tup), 0)::bigint as live_rows
        from pg_stat_user_tables
        where schemaname = current_schema() and relname in ('feeds', 'threads')
    )
    select held_by, since, transactions, dead_rows from held, dead
    where transactions >= $1 and dead_rows >= greatest($2, $3 * live_rows)
    order by transactions desc limit 64";

#[derive(Debug, FromRow)]
struct Held {
    held_by: String,
    /// When its transaction began; empty where that is not shown.
    since: String,
    transactions: i32,
    dead_rows: i64,
}

/// In how many looks, one after another, each was held.
#[derive(Debug, Default)]
struct Looks(HashMap<(String, String), u32>);

impl Looks {
    /// Gives the oldest that lasts.
    fn lasting(&mut self, held: Vec<Held>) -> Option<Held> {
        let before = std::mem::take(&mut self.0);
        let mut lasting = None;
        for held in held {
            let name = (held.held_by.clone(), held.since.clone());
            let looks = before.get(&name).map_or(1, |looks| looks.saturating_add(1));
            self.0.insert(name, looks);
            if looks >= LOOKS {
                lasting.get_or_insert(held);
            }
        }
        lasting
    }
}

/// `shown` is 1 while one lasts. Does not end by itself.
pub(in crate::store) async fn watch(pool: &Pool, shown: &Gauge) {
    let notices = Notices::default();
    let mut looks = Looks::default();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let held = match find(pool).await {
            Ok(held) => held,
            // Whoever writes says so.
            Err(error) => {
                tracing::debug!(error = %Words(&error), "cannot look for snapshots");
                continue;
            }
        };
        let lasting = looks.lasting(held);
        shown.set(lasting.is_some().into());
        if let Some(Held { held_by, transactions, dead_rows, .. }) = lasting
            && let Some(untold) = notices.happened(())
        {
            tracing::warn!(
                untold,
                held_by,
                transactions,
                dead_rows,
                "a snapshot of the database is held: what sends replace cannot be cleaned up, and they get slower the \
                 longer it is"
            );
        }
    }
}

async fn find(pool: &Pool) -> Result<Vec<Held>, sqlx::Error> {
    let found = async {
        let mut loan = pool.take().await?;
        let query = sqlx::query_as(FIND).bind(MIN_TRANSACTIONS).bind(MIN_DEAD_ROWS);
        let found = query.bind(MIN_DEAD_ROWS_PER_ROW).fetch_all(loan.connection()?).await;
        loan.give_back(&found);
        found
    };
    within(READ_TIMEOUT, found).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(held_by: &str, since: &str) -> Held {
        let (held_by, since) = (held_by.to_owned(), since.to_owned());
        Held { held_by, since, transactions: 5_000, dead_rows: 50_000 }
    }

    #[test]
    fn only_a_snapshot_that_lasts_is_told() {
        let mut looks = Looks::default();
        let mut told = |held: Vec<Held>| looks.lasting(held).map(|held| held.held_by);
        // A session that takes another one each time.
        let mut number = 0..;
        let mut short = || held("a", &format!("{:?}", number.next()));
        for _ in 1..LOOKS {
            assert_eq!(told(vec![short(), held("b", "0")]), None);
        }
        assert_eq!(told(vec![short(), held("b", "0")]).as_deref(), Some("b"));
        assert_eq!(told(vec![short()]), None);
        // It begins anew.
        for _ in 1..LOOKS {
            assert_eq!(told(vec![held("b", "0")]), None);
        }
        assert_eq!(told(vec![held("b", "0")]).as_deref(), Some("b"));
    }
}
