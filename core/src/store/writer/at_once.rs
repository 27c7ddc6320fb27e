//! A transaction that is one call. PostgreSQL alone: SQLite is asked without a round trip.
//!
//! Whoever is not answered does not know whether it was committed, whatever the server was at. So a server that was silent
//! for a moment is asked first whether it is there.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Engine, LATEST_START, Open, TRANSACTION_TIMEOUT, Trace, Writer, transaction::CommitError,
};
use crate::store::{
    Error,
    batch::{BatchData, Sends},
    engine::{Connection, by},
    history::Start,
};

/// How long the last answer of a server proves that it is there.
const HEARD_FOR: Duration = Duration::from_millis(10);

/// A connection that a call can be made on.
#[derive(Debug)]
pub(crate) struct AtOnce<'a> {
    open: &'a mut Open,
}

impl Writer {
    /// Whether new messages are stored in one call. They need references then.
    pub(crate) fn stores_at_once(&self) -> bool {
        matches!(self.engine, Engine::Postgres { .. })
    }

    /// `None` where it cannot be done at once.
    pub(crate) async fn at_once(&mut self) -> Result<Option<AtOnce<'_>>, Error> {
        if !self.stores_at_once() {
            return Ok(None);
        }
        let deadline = Some(Instant::now() + TRANSACTION_TIMEOUT);
        self.connect_soundly(deadline).await?;
        let Some(open) = &mut self.open else { return Ok(None) };
        if open.heard.elapsed() > HEARD_FOR && !by(deadline, open.answers()).await? {
            return Ok(None);
        }
        Ok(Some(AtOnce { open }))
    }
}

impl Open {
    /// Whether the server is there, with the history that the connection was opened on.
    async fn answers(&mut self) -> Result<bool, sqlx::Error> {
        let Connection::Postgres(connection) = &mut self.connection else { return Ok(false) };
        let start: Start = sqlx::query_scalar(LATEST_START).fetch_one(connection).await?;
        Ok(start == self.start)
    }
}

impl AtOnce<'_> {
    /// What feeds move in.
    pub(crate) fn start(&self) -> Start {
        self.open.start
    }

    /// Stores and commits them; gives what was there before. `None` where nothing was stored, because something is to be
    /// decided.
    pub(crate) async fn store(
        self,
        sends: &Sends<'_>,
        now: i64,
    ) -> Result<Option<BatchData>, CommitError> {
        let Open { connection, start, session, heard, .. } = self.open;
        let (Connection::Postgres(connection), Some(session)) = (connection, session) else {
            return Ok(None);
        };
        let deadline = Some(Instant::now() + TRANSACTION_TIMEOUT);
        match by(deadline, sends.store(connection, *start, now)).await {
            Ok(found) => {
                *heard = Instant::now();
                Ok(found)
            }
            Err(error) => match Error::from(error) {
                error if error.leaves_nothing() => Err(CommitError::NotStored(error)),
                error => {
                    let trace = Trace::of_sends(*session, sends.references());
                    Err(CommitError::InDoubt(error, trace))
                }
            },
        }
    }
}
