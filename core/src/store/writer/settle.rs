//! What became of a transaction whose commit failed.

use std::{collections::HashMap, time::Duration};

use netrox_proto::ids::{ClientRef, UserId};
use sqlx::FromRow;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use self::trace::Trace;
use self::trace::{RowTrace, SendsTrace};
use super::{CommitError, PROBE, Writer};
use crate::store::{
    Error,
    batch::{Rows, StoredMessage},
    engine::{Connection, by, on},
    error::is_number_of_none,
};

mod trace;

/// How often a server is asked what became of a commit, also one that is gone and may come back.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);
const TRANSACTION_STATUS: &str = "select pg_xact_status($1::text::xid8)";
/// Of senders that are named by their ids: a call that was not answered has told no keys.
const FIND_REFERENCES: &str = "\
    select u.id as sender_id, m.client_ref, m.id, m.thread_id, m.created
    from unnest($1::uuid[], $2::uuid[]) as w (sender, client_ref)
    join users u on u.id = w.sender
    join messages m on m.sender = u.key and m.client_ref = w.client_ref";

#[derive(Debug, FromRow)]
struct ReferenceRow {
    sender_id: Uuid,
    client_ref: Uuid,
    #[sqlx(flatten)]
    message: StoredMessage,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommitOutcome {
    Stored,
    /// Of new messages whose numbers were not told, in their order.
    Found(Vec<StoredMessage>),
    NotStored,
    Unknown,
}

impl Writer {
    /// What became of a transaction whose commit failed. SQLite's answer comes when it comes.
    pub(crate) async fn settle(
        &mut self,
        trace: &Trace,
        now: i64,
        deadline: Instant,
    ) -> Result<CommitOutcome, Error> {
        if let Some(sends) = &trace.sends {
            let settled = self.settle_sends(sends, now);
            return Ok(by(Some(deadline), settled).await?);
        }
        match &trace.number {
            None => self.settle_sqlite(trace.row, now).await,
            Some(number) => {
                let settled = self.settle_postgres(number, trace.row, now);
                Ok(by(Some(deadline), settled).await?)
            }
        }
    }

    /// Commits something of its own first, which either makes what is there durable or takes the place of
    /// what is not.
    async fn settle_sqlite(
        &mut self,
        row: Option<RowTrace>,
        now: i64,
    ) -> Result<CommitOutcome, Error> {
        let mut probe = self.begin().await?;
        probe.probe(now).await?;
        probe.commit(&Rows::default()).await.map_err(CommitError::into_inner)?;
        let Some(row) = row else { return Ok(CommitOutcome::Unknown) };
        Ok(self.connected().await?.judge(row).await?)
    }

    /// The server may be at work on it still, or be gone and come back.
    async fn settle_postgres(
        &mut self,
        number: &str,
        row: Option<RowTrace>,
        now: i64,
    ) -> Result<CommitOutcome, sqlx::Error> {
        loop {
            match self.ask_postgres(number, row, now).await {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "cannot find out what became of a commit");
                    self.discard().await;
                }
            }
            tokio::time::sleep(SETTLE_INTERVAL).await;
        }
    }

    /// The same of a call. A connection is open only where its session has ended.
    async fn settle_sends(
        &mut self,
        sends: &SendsTrace,
        now: i64,
    ) -> Result<CommitOutcome, sqlx::Error> {
        loop {
            match self.ask_for_sends(sends, now).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => {
                    tracing::debug!(%error, "cannot find out what became of a call");
                    self.discard().await;
                }
            }
            tokio::time::sleep(SETTLE_INTERVAL).await;
        }
    }

    /// All of it was stored, or nothing: where one reference is not there, those that are came by another way.
    async fn ask_for_sends(
        &mut self,
        SendsTrace { references, .. }: &SendsTrace,
        now: i64,
    ) -> Result<CommitOutcome, sqlx::Error> {
        let Connection::Postgres(connection) = &mut self.connected().await?.connection else {
            return Ok(CommitOutcome::Unknown);
        };
        // As of any commit: what no standby may have is no outcome.
        sqlx::query(PROBE).bind(now).execute(&mut *connection).await?;
        let (senders, names): (Vec<_>, Vec<_>) =
            references.iter().map(|(sender, name)| (sender.0, name.0)).unzip();
        let query = sqlx::query_as(FIND_REFERENCES).bind(senders).bind(names);
        let rows: Vec<ReferenceRow> = query.fetch_all(connection).await?;
        let found: HashMap<_, _> = rows
            .into_iter()
            .map(|row| ((UserId(row.sender_id), ClientRef(row.client_ref)), row.message))
            .collect();
        let messages = references.iter().map(|reference| found.get(reference).copied());
        Ok(match messages.collect::<Option<Vec<_>>>() {
            Some(messages) => CommitOutcome::Found(messages),
            None => CommitOutcome::NotStored,
        })
    }

    /// `None` while the transaction is in progress.
    async fn ask_postgres(
        &mut self,
        number: &str,
        row: Option<RowTrace>,
        now: i64,
    ) -> Result<Option<CommitOutcome>, sqlx::Error> {
        let open = self.connected().await?;
        let status = on!(
            &mut open.connection,
            fetch_one,
            sqlx::query_scalar(TRANSACTION_STATUS).bind(number)
        );
        let status: Option<String> = match status {
            // It did not reach the disk of a server that crashed.
            Err(error) if is_number_of_none(&error) => return Ok(Some(CommitOutcome::NotStored)),
            status => status?,
        };
        Ok(match status.as_deref() {
            Some("committed") => {
                // A session that was ended while it waited for a standby has committed, and the standby may have
                // nothing of it. What is committed after it returns when both are there.
                on!(&mut open.connection, execute, sqlx::query(PROBE).bind(now))?;
                Some(match row {
                    Some(row) => open.judge(row).await?,
                    None => CommitOutcome::Unknown,
                })
            }
            Some("aborted") => Some(CommitOutcome::NotStored),
            Some("in progress") => None,
            _ => Some(CommitOutcome::Unknown),
        })
    }
}
