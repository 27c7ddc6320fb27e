//! What became of a transaction whose commit failed.

use std::time::Duration;

use tokio::time::Instant;

use super::{CommitError, Open, PROBE, Writer};
use crate::store::{
    Error,
    batch::Rows,
    engine::{by, on},
    error::is_number_of_none,
};

/// How often a server is asked what became of a commit, also one that is gone and may come back.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);
const TRANSACTION_STATUS: &str = "select pg_xact_status($1::text::xid8)";
const MESSAGE_EXISTS: &str = "\
    select exists (select 1 from messages
        where thread_id = $1 and id = $2 and created = $3 and sender_seq = $4)";

/// What tells later whether a transaction was committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    /// PostgreSQL knows it by this number. After a crash the server may give a number again, or an id,
    /// that was not written to the disk: neither proves anything alone.
    pub(super) number: Option<String>,
    /// The last message that it stored.
    pub(super) message: Option<MessageTrace>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct MessageTrace {
    pub(super) thread_id: i64,
    pub(super) id: i64,
    pub(super) created: i64,
    pub(super) sender_seq: u64,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
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
    ) -> Result<Outcome, Error> {
        match &trace.number {
            None => self.settle_sqlite(trace.message, now).await,
            Some(number) => {
                let settled = self.settle_postgres(number, trace.message, now);
                Ok(by(Some(deadline), settled).await?)
            }
        }
    }

    /// Commits something of its own first, which either makes what is there durable or takes the place of
    /// what is not.
    async fn settle_sqlite(
        &mut self,
        message: Option<MessageTrace>,
        now: i64,
    ) -> Result<Outcome, Error> {
        let mut probe = self.begin().await?;
        probe.probe(now).await?;
        probe.commit(&Rows::default()).await.map_err(CommitError::into_inner)?;
        let Some(message) = message else { return Ok(Outcome::Unknown) };
        let stored = self.connected().await?.has(message).await?;
        Ok(if stored { Outcome::Stored } else { Outcome::NotStored })
    }

    /// The server may be at work on it still, or be gone and come back.
    async fn settle_postgres(
        &mut self,
        number: &str,
        message: Option<MessageTrace>,
        now: i64,
    ) -> Result<Outcome, sqlx::Error> {
        loop {
            match self.ask_postgres(number, message, now).await {
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

    /// `None` while the transaction is in progress.
    async fn ask_postgres(
        &mut self,
        number: &str,
        message: Option<MessageTrace>,
        now: i64,
    ) -> Result<Option<Outcome>, sqlx::Error> {
        let open = self.connected().await?;
        let status = on!(
            &mut open.connection,
            fetch_one,
            sqlx::query_scalar(TRANSACTION_STATUS).bind(number)
        );
        let status: Option<String> = match status {
            // It did not reach the disk of a server that crashed.
            Err(error) if is_number_of_none(&error) => return Ok(Some(Outcome::NotStored)),
            status => status?,
        };
        Ok(match status.as_deref() {
            Some("committed") => {
                // A session that was ended while it waited for a standby has committed, and the standby may have
                // nothing of it. What is committed after it returns when both are there.
                on!(&mut open.connection, execute, sqlx::query(PROBE).bind(now))?;
                Some(match message {
                    Some(message) if open.has(message).await? => Outcome::Stored,
                    Some(_) => Outcome::NotStored,
                    None => Outcome::Unknown,
                })
            }
            Some("aborted") => Some(Outcome::NotStored),
            Some("in progress") => None,
            _ => Some(Outcome::Unknown),
        })
    }
}

impl Open {
    async fn has(&mut self, message: MessageTrace) -> Result<bool, sqlx::Error> {
        on!(
            &mut self.connection,
            fetch_one,
            sqlx::query_scalar(MESSAGE_EXISTS)
                .bind(message.thread_id)
                .bind(message.id)
                .bind(message.created)
                .bind(message.sender_seq.cast_signed())
        )
    }
}
