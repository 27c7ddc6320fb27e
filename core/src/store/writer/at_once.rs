//! A transaction that is one call. PostgreSQL alone: SQLite is asked without a round trip.
//!
//! Whoever is not answered does not know whether it was committed, whatever the server was at. So a server that was silent
//! for a moment is asked first whether it is there.
//!
//! Unlike a transaction that has begun, a call that is on its way holds no lock: what comes later could be stored before it.
//! So the server carries it out until a time only, by its own clock, and its session is ended before the next one writes.

use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, LATEST_START_AND_CLOCK, Open, Trace, Writer, transaction::CommitError};
use crate::{
    notice::Notices,
    store::{
        Error,
        batch::{BatchData, Sends, Turn},
        engine::{Connection, by},
        history::Start,
        postgres::{Connected, Notice, ServerClock, SessionName},
    },
};

/// How long the last answer of a server proves that it is there.
const HEARD_FOR: Duration = Duration::from_millis(10);

/// What a call may take to the server. Later, what its sender sent by another core may have been stored before it.
const BEGINS_WITHIN: Duration = Duration::from_millis(250);

/// What is known of a session that calls are made in.
#[derive(Debug)]
pub(super) struct CallSession {
    name: SessionName,
    clock: ServerClock,
    /// Whether the function is there, as far as is known.
    takes_calls: bool,
}

impl CallSession {
    /// What the function cannot do, or not do now, is done step by step where that may be another matter.
    fn refused(&mut self, error: Error, notices: &Notices<Notice>) -> Result<(), Error> {
        let is_missing = error.is_about_a_function();
        if !is_missing && !matches!(error, Error::Rejected(_)) {
            return Err(error);
        }
        self.takes_calls = !is_missing;
        if let Some(untold) = notices.happened(Notice::StepByStep) {
            tracing::warn!(
                untold,
                %error,
                "the function store_messages fails: batches of messages are stored step by step, which is slower"
            );
        }
        Ok(())
    }

    pub(super) fn of(connected: &Connected) -> Self {
        Self { name: connected.session, clock: connected.clock, takes_calls: true }
    }
}

/// A connection that a call can be made on.
#[derive(Debug)]
pub(crate) struct AtOnce<'a> {
    open: &'a mut Open,
    unanswered: &'a mut Option<SessionName>,
    deadline: Instant,
    notices: &'a Notices<Notice>,
    /// Whether what is stored is indexed.
    searches: bool,
}

impl Writer {
    /// Whether new messages are stored in one call. They need references then.
    pub(crate) fn stores_at_once(&self) -> bool {
        matches!(self.engine, Engine::Postgres { .. })
    }

    /// `None` where it cannot be done at once.
    pub(crate) async fn at_once(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<AtOnce<'_>>, Error> {
        let Some(deadline) = deadline.filter(|_| self.stores_at_once()) else { return Ok(None) };
        self.connect_soundly(Some(deadline)).await?;
        let Self {
            open: Some(open),
            unanswered,
            engine: Engine::Postgres { known, .. },
            searches,
            ..
        } = self
        else {
            return Ok(None);
        };
        if !open.session.as_ref().is_some_and(|session| session.takes_calls) {
            return Ok(None);
        }
        if !open.was_heard() && !by(Some(deadline), open.answers()).await? {
            return Ok(None);
        }
        let searches = *searches;
        Ok(Some(AtOnce { open, unanswered, deadline, notices: &known.notices, searches }))
    }
}

impl Open {
    /// Whether the server was there a moment ago, and its clock is known.
    fn was_heard(&self) -> bool {
        self.heard.elapsed() <= HEARD_FOR
            && self.session.as_ref().is_some_and(|session| session.clock.is_fresh())
    }

    /// Whether the server is there, with the history that the connection was opened on.
    async fn answers(&mut self) -> Result<bool, sqlx::Error> {
        let (Connection::Postgres(connection), Some(session)) =
            (&mut self.connection, &mut self.session)
        else {
            return Ok(false);
        };
        let (start, clock): (Start, _) =
            sqlx::query_as(LATEST_START_AND_CLOCK).fetch_one(connection).await?;
        session.clock = ServerClock::heard(clock);
        Ok(start == self.start)
    }
}

impl AtOnce<'_> {
    /// What feeds move in.
    pub(crate) fn start(&self) -> Start {
        self.open.start
    }

    /// Stores and commits them; gives what was there before. `None` where nothing was stored, because something is to be
    /// decided, or it came too late.
    pub(crate) async fn store(
        self,
        sends: &Sends<'_>,
        now: i64,
    ) -> Result<Option<BatchData>, CommitError> {
        let Self { open, unanswered, deadline, notices, searches } = self;
        let Open { connection, start, session, heard, .. } = open;
        let (Connection::Postgres(connection), Some(session)) = (connection, session) else {
            return Ok(None);
        };
        *unanswered = Some(session.name);
        let begin_by = session.clock.at(deadline.min(Instant::now() + BEGINS_WITHIN));
        let turn = Turn { begin_by, not_after: session.clock.at(deadline) };
        let stored = sends.store(connection, *start, now, turn, searches);
        match by(Some(deadline), stored).await {
            Ok((found, clock)) => {
                *unanswered = None;
                *heard = Instant::now();
                session.clock = clock.unwrap_or(session.clock);
                Ok(found)
            }
            Err(error) => match Error::from(error) {
                error if error.leaves_nothing() => {
                    *unanswered = None;
                    *heard = Instant::now();
                    session.refused(error, notices).map_err(CommitError::NotStored)?;
                    Ok(None)
                }
                error => {
                    let trace = Trace::of_sends(deadline, sends.references());
                    Err(CommitError::InDoubt(error, trace))
                }
            },
        }
    }
}
