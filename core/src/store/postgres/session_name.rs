//! Which session a call was made in, so that another one can end it. It holds an advisory lock by a number that was drawn at
//! random, as long as it lives: every role sees all locks, and no number is given again, as that of a process is.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::clock::{ServerClock, server_clock};

const TAKE: &str = concat!("select pg_try_advisory_lock($1), ", server_clock!());
/// A lock by one number is shown in two halves.
macro_rules! holder {
    () => {
        "select pid from pg_locks
        where locktype = 'advisory' and objsubid = 1 and granted
            and database = (select oid from pg_database where datname = current_database())
            and (classid::bigint << 32 | objid::bigint) = "
    };
}
const IS_HELD: &str = concat!("select exists (", holder!(), "$1)");
/// One that waits for its client or for a lock is not at its commit. One that commits is let: ended while it waits for a
/// standby, it would show what no standby has. With the rights of whoever has logged in, whose session it is, where the role
/// was given another role.
const END: [&str; 2] = [
    concat!(
        "begin;
        set local role none;
        select pg_terminate_backend(held.pid)
        from (",
        holder!()
    ),
    ") as held join pg_stat_activity as session on session.pid = held.pid
        where session.wait_event_type in ('Client', 'Lock');
        commit",
];
/// How often it is looked whether it has ended, and for how long.
const INTERVAL: Duration = Duration::from_millis(20);
const END_TIMEOUT: Duration = Duration::from_millis(1_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct SessionName(i64);

impl SessionName {
    /// Names the session that this connection is of.
    pub(super) async fn take(
        connection: &mut PgConnection,
    ) -> Result<(Self, ServerClock), sqlx::Error> {
        let name = rand::random();
        let (is_taken, clock): (bool, _) =
            sqlx::query_as(TAKE).bind(name).fetch_one(connection).await?;
        if is_taken {
            Ok((Self(name), ServerClock::heard(clock)))
        } else {
            Err(sqlx::Error::Protocol("another session has the number of this one".to_owned()))
        }
    }

    /// Ends it, and waits until it has ended. What it committed is seen by every statement from then on; it commits nothing
    /// more.
    pub(in crate::store) async fn end(
        self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let [holder, end] = END;
        let statement = format!("{holder}{}{end}", self.0);
        let ended = async {
            while self.is_there(&mut *connection).await? {
                let end = sqlx::raw_sql(AssertSqlSafe(statement.as_str()));
                end.execute(&mut *connection).await?;
                tokio::time::sleep(INTERVAL).await;
            }
            Ok(())
        };
        tokio::time::timeout(END_TIMEOUT, ended).await.unwrap_or_else(|_| {
            let cause = "a session does not end that was given up in the middle of a batch";
            Err(sqlx::Error::Protocol(cause.to_owned()))
        })
    }

    async fn is_there(self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(IS_HELD).bind(self.0).fetch_one(connection).await
    }
}
